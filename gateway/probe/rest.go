package probe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
)

// get asks a REST worker: GET on the root of its origin.
func (i *Inspector) get(ctx context.Context, scheme, host string) (info registry.Info, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+host+"/", nil)
	if err != nil {
		return registry.Info{}, refusal(codeBadURL, "the url has a host that cannot be called")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "muster")
	resp, err := i.client.Do(req)
	if err != nil {
		return registry.Info{}, failed(ctx, i.cfg.Timeout, err)
	}
	// Nothing is learned from how closing goes: the body was read or is not wanted.
	defer func() { _ = resp.Body.Close() }()
	if err := checkHead(resp); err != nil {
		return registry.Info{}, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, i.cfg.MaxBody+1))
	switch {
	case int64(len(body)) > i.cfg.MaxBody || resp.ContentLength > i.cfg.MaxBody:
		return registry.Info{}, refusal(codeTooLarge, "GET / answers more than %d bytes", i.cfg.MaxBody)
	case err != nil:
		return registry.Info{}, failed(ctx, i.cfg.Timeout, fmt.Errorf("the answer broke off after %d bytes: %w", len(body), err))
	}
	return ReadInfo(body)
}

// checkHead judges what comes before the body.
func checkHead(resp *http.Response) error {
	location := resp.Header.Get("Location")
	switch {
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode/100 == 3 && location != "":
		return refusal(codeRedirected, "GET / answers %d with Location %q; redirects are not followed, give the url that answers itself",
			resp.StatusCode, Printable(location, maxObserved))
	default:
		return refusal(codeBadStatus, "GET / answers status %d; only 200 is good", resp.StatusCode)
	}
	if enc := strings.Join(resp.Header.Values("Content-Encoding"), ", "); enc != "" && !strings.EqualFold(enc, "identity") {
		return refusal(codeNotJSON, "GET / answers with Content-Encoding %q although identity was asked for", Printable(enc, maxObserved))
	}
	return nil
}

// ReadInfo reads the answer of GET /: one JSON object with the members class,
// type, uuid and version, read strictly. Other members are ignored. An error is
// as Inspect's; the Info beside missing_field holds what is there. The object's
// depth is bounded by the reader, its size by the caller.
func ReadInfo(body []byte) (registry.Info, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return registry.Info{}, refusal(codeEmptyAnswer, "GET / answers 200 with an empty body")
	}
	members, err := element.ReadObject(body, len(body))
	if err != nil {
		return registry.Info{}, withCause(refusal(codeNotJSON, "GET / does not answer one JSON object: %s; it begins %q",
			Printable(err.Error(), maxObserved), Printable(string(body[:min(len(body), maxObserved)]), 60)), err)
	}
	values := make(map[string]string, 4)
	states := make(map[string]string, 4)
	for _, m := range members {
		text, state := stringValue(m.Value)
		values[m.Name], states[m.Name] = text, state
	}
	info := registry.Info{
		Class: values["class"], Type: values["type"],
		ID: registry.WorkerID(values["uuid"]), Version: values["version"],
	}
	return info, missing(func(name string) string {
		if state, ok := states[name]; ok {
			return state
		}
		return "absent"
	})
}

// missing names all members that are not there, with what is there instead.
// state is empty for a good member.
func missing(state func(name string) string) error {
	var names []string
	for _, name := range []string{"class", "type", "uuid", "version"} {
		if s := state(name); s != "" {
			names = append(names, name+" ("+s+")")
		}
	}
	if len(names) == 0 {
		return nil
	}
	return refusal(codeMissingField, "the worker's answer lacks %s; names are exact, and each has to be a string that is not empty",
		strings.Join(names, ", "))
}

// stringValue reads a member of the info answer. state says what is wrong with
// it, in one word, and is empty for a string that is not.
func stringValue(raw []byte) (text, state string) {
	if string(raw) == "null" {
		return "", "null"
	}
	if len(raw) == 0 || raw[0] != '"' {
		return "", "not a string"
	}
	if text = string(element.AppendText(nil, raw)); text == "" {
		return "", "empty"
	}
	return text, ""
}

package transform

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/muster-fleet/muster/gateway/address"
	"github.com/muster-fleet/muster/gateway/probe"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
)

const (
	// maxAnswer bounds what is read of a worker's answer: more than any message
	// that is kept.
	maxAnswer = 64 << 10
	// maxObserved bounds, in characters, what is repeated of a worker's words
	// within a sentence of ours.
	maxObserved = 200
)

// callREST posts the body to the worker. 200 is success, all else is not.
func (a *attempt) callREST(ctx context.Context, w *registry.Worker, g *given, bearer string) (string, error) {
	body, err := g.body()
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return "", fail(codeWorkerUnreachable, "the worker's url cannot be called").because(err)
	}
	req.GetBody = nil // nothing is ever sent twice
	for name, value := range map[string]string{
		"Authorization": "Bearer " + bearer, "Content-Type": "application/json", "Accept": "application/json",
		"Accept-Encoding": "identity", "User-Agent": "muster", "Muster-Run": string(a.run.ID),
	} {
		req.Header.Set(name, value)
	}
	if deadline, ok := ctx.Deadline(); ok {
		req.Header.Set("Request-Timeout", strconv.FormatInt(max(time.Until(deadline).Milliseconds(), 1), 10)+"ms")
	}
	client, done := a.engine.httpClient(w)
	defer done()
	resp, err := client.Do(req)
	if err != nil {
		return "", unreachable(w, err)
	}
	// Nothing is learned from how closing goes: the answer was read or is not wanted.
	defer func() { _ = resp.Body.Close() }()
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil && (resp.StatusCode == http.StatusOK || ctx.Err() != nil) {
		return "", fail(codeWorkerBroke, "the worker's answer broke off").because(err)
	}
	if resp.StatusCode == http.StatusOK {
		return goodMessage(said), nil
	}
	f := badMessage(resp, said)
	f.status = resp.StatusCode
	return "", f
}

// httpClient makes a client for one call: it keeps no connection, follows no
// redirect, knows no proxy, and dials what the address policy allows.
func (e *Engine) httpClient(w *registry.Worker) (*http.Client, func()) {
	name := ""
	if u, err := url.Parse(w.URL); err == nil {
		name = u.Hostname()
	}
	t := &http.Transport{
		DialContext: e.deps.Dialer.DialContext,
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			raw, err := e.deps.Dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			cfg := e.deps.TLS().Clone()
			cfg.ServerName, cfg.NextProtos = name, []string{"http/1.1"}
			conn := tls.Client(raw, cfg)
			if err := conn.HandshakeContext(ctx); err != nil {
				return nil, errors.Join(fmt.Errorf("TLS handshake: %w", err), raw.Close())
			}
			return conn, nil
		},
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
	}
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, t.CloseIdleConnections
}

// unreachable explains why there was no answer.
func unreachable(w *registry.Worker, err error) *failure {
	if f := untrusted(w, err); f != nil {
		return f
	}
	refused := new(address.Refused)
	if errors.As(err, &refused) {
		return fail(codeAddressRefused, "the worker's name leads to an address that workers may not have: %s", refused.Error()).because(err)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fail(codeWorkerUnreachable, "the worker cannot be reached, or did not answer: %s", probe.Printable(err.Error(), maxObserved)).because(err)
}

// goodMessage is what a worker says beside success: the text of the member
// message or description of a JSON object, or the body as it is.
func goodMessage(said []byte) string {
	members := texts(said)
	switch {
	case members["message"] != "":
		return members["message"]
	case members["description"] != "":
		return members["description"]
	}
	return string(said)
}

// badMessage is what a worker says of its failure: the error body of the
// contract, or what it is instead.
func badMessage(resp *http.Response, said []byte) *failure {
	members := texts(said)
	code, description := members["error"], members["description"]
	switch {
	case code != "" && description != "":
		return fail(codeWorkerStatus, "%s: %s", code, description)
	case code+description != "":
		return fail(codeWorkerStatus, "%s%s", code, description)
	}
	if to := resp.Header.Get("Location"); resp.StatusCode/100 == 3 && to != "" {
		return fail(codeWorkerStatus, "the worker answered %d with Location %q; redirects are not followed: register the address that answers itself",
			resp.StatusCode, probe.Printable(to, maxObserved))
	}
	return fail(codeWorkerStatus, "the worker answered %d without the contract's error body%s", resp.StatusCode,
		after("; it begins ", quotedStart(said)))
}

func quotedStart(said []byte) string {
	if len(said) == 0 {
		return ""
	}
	return strconv.Quote(probe.Printable(string(said), maxObserved))
}

// texts returns the members of a JSON object that are strings; none when it is no
// JSON object.
func texts(said []byte) map[string]string {
	members, err := element.ReadObject(said, len(said))
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for _, m := range members {
		if len(m.Value) > 0 && m.Value[0] == '"' {
			out[m.Name] = string(element.AppendText(nil, m.Value))
		}
	}
	return out
}

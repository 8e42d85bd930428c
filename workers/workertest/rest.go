package workertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/muster-fleet/muster/workers/element"
)

// maxInfo bounds the answer to GET /.
const maxInfo = 64 << 10

// restTarget is a worker behind the published contract.
type restTarget struct {
	url    string
	within time.Duration
	client *http.Client
}

func newREST(o Options) *restTarget {
	const dialTimeout = 5 * time.Second
	return &restTarget{
		url: o.URL, within: o.AnswerWithin,
		client: &http.Client{
			Transport: &http.Transport{
				TLSClientConfig: o.TLS, TLSHandshakeTimeout: dialTimeout,
				DisableCompression: true, MaxIdleConnsPerHost: o.Callers, Proxy: nil,
			},
			// A token must not follow a redirect, and a gateway's does not.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (t *restTarget) close() { t.client.CloseIdleConnections() }

// root is the address of the information endpoint: path and query dropped.
func (t *restTarget) root() string {
	u, err := url.Parse(t.url)
	if err != nil {
		// Options were checked before.
		return t.url
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}).String()
}

func (t *restTarget) describe(ctx context.Context) (Info, error) {
	const within = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.root(), nil)
	if err != nil {
		return Info{}, fmt.Errorf("make the request: %w", err)
	}
	req.Close = true // a new connection each time may reach another replica
	a, err := t.do(req, maxInfo)
	if err != nil {
		return Info{}, fmt.Errorf("GET /: %w", err)
	}
	if a.status != http.StatusOK {
		return Info{}, fmt.Errorf("GET / without a token answered status %d; 200 is due", a.status)
	}
	members, err := element.ReadObject(a.body, maxInfo)
	if err != nil {
		return Info{}, fmt.Errorf("the answer to GET / is not one JSON object: %w", err)
	}
	return readInfo(members)
}

func readInfo(members []element.Member) (info Info, err error) {
	var missing []string
	for _, f := range []struct {
		name string
		into *string
	}{{"class", &info.Class}, {"type", &info.Type}, {"uuid", &info.UUID}, {"version", &info.Version}} {
		raw := memberOf(members, f.name)
		if len(raw) < len(`"x"`) || raw[0] != '"' {
			missing = append(missing, f.name)
			continue
		}
		*f.into = string(element.AppendText(nil, raw))
	}
	if len(missing) > 0 {
		return info, fmt.Errorf("the answer to GET / lacks %s (each must be a string that is not empty)", strings.Join(missing, ", "))
	}
	return info, nil
}

// extraInfo names the members of the information answer beside the four.
func (t *restTarget) extraInfo(ctx context.Context) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.root(), nil)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	a, err := t.do(req, maxInfo)
	if err != nil {
		return nil, err
	}
	members, err := element.ReadObject(a.body, maxInfo)
	if err != nil {
		return nil, fmt.Errorf("the answer to GET / is not one JSON object: %w", err)
	}
	var extra []string
	for _, m := range members {
		if !strings.Contains(" class type uuid version ", " "+m.Name+" ") {
			extra = append(extra, clip(m.Name))
		}
	}
	return extra, nil
}

func (t *restTarget) filter(ctx context.Context, c call) (outcome, error) {
	sent, err := sentBatch(c.kind, c.elements, false)
	if err != nil {
		return outcome{}, err
	}
	body := requestBody(c.kind, c.elements)
	a, err := t.post(ctx, c, bytes.NewReader(body), nil)
	if err != nil {
		return outcome{}, err
	}
	if a.refused != nil {
		return outcome{refused: a.refused}, nil
	}
	return readReply(sent, a.body, false)
}

// answer is an HTTP answer, read to its end.
type answer struct {
	status  int
	body    []byte
	refused *refusal // set outside 200-299
	// later says that the worker has no room now: 409, or 503 either with
	// Retry-After or called busy.
	later bool
}

// post sends a body of the caller's making; change may alter the request.
func (t *restTarget) post(ctx context.Context, c call, body io.Reader, change func(*http.Request)) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, t.within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, body)
	if err != nil {
		return answer{}, fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Muster-Hops", "1")
	req.Header.Set("Request-Timeout", t.within.String())
	if c.bearer {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if change != nil {
		change(req)
	}
	const perReply, times = 1 << 20, 4
	return t.do(req, max(req.ContentLength, 0)*times+perReply)
}

// do makes one call and applies what holds for every answer.
func (t *restTarget) do(req *http.Request, most int64) (answer, error) {
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := t.client.Do(req)
	if err != nil {
		return answer{}, t.callError(req.Context(), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil && req.Context().Err() != nil:
		return answer{}, t.callError(req.Context(), err)
	case err != nil:
		return answer{}, fmt.Errorf("the answer broke off after %d bytes: %w", len(body), err)
	case int64(len(body)) > most:
		return answer{}, fmt.Errorf("the answer has more than %d bytes", most)
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return answer{}, fmt.Errorf("the answer has Content-Encoding %q although identity was asked for", clip(enc))
	}
	a := answer{status: resp.StatusCode, body: body}
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return a, fmt.Errorf("the worker answered with a redirect (status %d), which is never followed", resp.StatusCode)
	case resp.StatusCode < 200 || resp.StatusCode >= 300:
		a.refused = readRefusal(resp.StatusCode, resp.Header.Get("Content-Type"), body)
		a.later = resp.StatusCode == http.StatusConflict || resp.StatusCode == http.StatusServiceUnavailable &&
			(resp.Header.Get("Retry-After") != "" || a.refused.code == "busy")
	}
	return a, nil
}

// callError says what became of a call that got no whole answer.
func (t *restTarget) callError(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", t.within)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the URL is in the report already
	}
	return fmt.Errorf("%w: %w", errNoConnection, err)
}

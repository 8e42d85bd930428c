package workertest

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
	"strings"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/element"
)

// wireCases are robustness that belongs to one transport.
func wireCases() []testCase {
	return []testCase{
		{"info-four-keys", Robust, true, false, caseFourKeys},
		{"unknown-members", Robust, true, false, caseUnknownMembers},
		{"body-without-length", Robust, true, false, caseChunked},
		{"slow-caller", Robust, true, false, caseSlow},
		{"vanished-caller", Robust, true, false, caseVanished},
		{"health", Robust, false, true, caseHealth},
		{"any-chunking", Robust, false, true, caseAnyChunking},
		{"refuses-gaps", Robust, false, true, caseGaps},
	}
}

// caseFourKeys: the information endpoint is open to anyone, so it tells no more
// than it has to.
func caseFourKeys(ctx context.Context, s *suite) error {
	extra, err := s.rest.extraInfo(ctx)
	if err != nil {
		return err
	}
	if len(extra) > 0 {
		return fmt.Errorf("GET / answers anyone, and tells more than class, type, uuid and version: %s", strings.Join(extra, ", "))
	}
	return nil
}

// caseUnknownMembers adds members that the contract does not name: at the top
// they are ignored, within an element they may be refused as the caller's mistake.
func caseUnknownMembers(ctx context.Context, s *suite) error {
	for _, kind := range kinds {
		elements := s.people.batch(kind, 1, len(s.people.all(kind)))
		plain, err := s.ask(ctx, call{kind: kind, elements: elements})
		if err != nil {
			return err
		}
		list := strings.Join(elements, ",")
		top := `{"version":2,"parameters":{"more":[1,{}],"type":"` + kind.Key() + `"},"data":[` + list + `],"trace":{"id":null}}`
		got, err := s.askBody(ctx, kind, elements, top)
		if err != nil {
			return fmt.Errorf("%s with unknown members beside data: %w", kind.Key(), err)
		}
		if got.refused != nil {
			return fmt.Errorf("%s with unknown members beside data: refused with %s; they must be ignored", kind.Key(), got.refused)
		}
		if i := firstDifference(plain.verdicts, got.verdicts); i >= 0 {
			return fmt.Errorf("%s: unknown members beside data changed the verdict on element %d", kind.Key(), i)
		}
		inside := make([]string, len(elements))
		for i, e := range elements {
			inside[i] = `{"unknown":{"to":["the","contract"]},` + e[1:]
		}
		got, err = s.askBody(ctx, kind, inside, string(requestBody(kind, inside)))
		if err != nil {
			return fmt.Errorf("%s with an unknown member each: %w", kind.Key(), err)
		}
		if r := got.refused; r != nil && (r.status >= http.StatusInternalServerError || r.flaw != nil) {
			return fmt.Errorf("%s with an unknown member each: %s; ignore it, or refuse it with 400 and the error body", kind.Key(), r)
		}
	}
	return nil
}

// askBody posts a body as it is, with a good token.
func (s *suite) askBody(ctx context.Context, kind element.Kind, elements []string, body string) (outcome, error) {
	t, err := s.good(ctx)
	if err != nil {
		return outcome{}, err
	}
	a, err := s.rest.post(ctx, call{token: t, bearer: true}, strings.NewReader(body), nil)
	if err != nil {
		return outcome{}, err
	}
	if a.refused != nil {
		return outcome{refused: a.refused}, nil
	}
	sent, err := sentBatch(kind, elements, true)
	if err != nil {
		return outcome{}, err
	}
	return readReply(sent, a.body, true)
}

// caseChunked sends the body without announcing its length, as proxies do.
func caseChunked(ctx context.Context, s *suite) error {
	elements := s.people.batch(element.Nodes, 1, len(s.people.all(element.Nodes)))
	return s.stream(ctx, elements, 0)
}

// caseSlow sends the body in pieces with pauses; others are served meanwhile.
func caseSlow(ctx context.Context, s *suite) error {
	elements := s.people.batch(element.Nodes, 1, len(s.people.all(element.Nodes)))
	slow := make(chan error, 1)
	const pause = 60 * time.Millisecond
	go func() { slow <- s.stream(ctx, elements, pause) }()
	_, err := s.ask(ctx, call{kind: element.Nodes, elements: elements})
	if slowErr := <-slow; slowErr != nil {
		return fmt.Errorf("a caller whose body took a second to arrive: %w", slowErr)
	}
	if err != nil {
		return fmt.Errorf("a quick caller beside a slow one: %w", err)
	}
	return nil
}

// stream posts nodes through a pipe, so that no length is announced.
func (s *suite) stream(ctx context.Context, elements []string, pause time.Duration) error {
	t, err := s.good(ctx)
	if err != nil {
		return err
	}
	r, w := io.Pipe()
	body := requestBody(element.Nodes, elements)
	written := make(chan struct{})
	go func() {
		defer close(written)
		writeSlowly(ctx, w, body, pause)
	}()
	a, err := s.rest.post(ctx, call{token: t, bearer: true}, r, nil)
	// The worker may have answered early; the writer must not wait for it.
	_ = r.Close()
	<-written
	if err != nil {
		return err
	}
	if a.refused != nil {
		return fmt.Errorf("a good request without Content-Length was refused: %s", a.refused)
	}
	sent, err := sentBatch(element.Nodes, elements, false)
	if err != nil {
		return err
	}
	_, err = readReply(sent, a.body, false)
	return err
}

func writeSlowly(ctx context.Context, w *io.PipeWriter, body []byte, pause time.Duration) {
	const pieces = 16
	size := len(body)/pieces + 1
	for len(body) > 0 {
		n := min(size, len(body))
		if _, err := w.Write(body[:n]); err != nil {
			return // the request is over
		}
		body = body[n:]
		if pause > 0 && !wait(ctx, pause) {
			_ = w.CloseWithError(ctx.Err()) // never fails
			return
		}
	}
	_ = w.Close() // never fails
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// caseVanished lets callers go away in the middle of their body; the worker must
// go on serving the others.
func caseVanished(ctx context.Context, s *suite) error {
	t, err := s.good(ctx)
	if err != nil {
		return err
	}
	const callers = 8
	for range callers {
		if err := s.rest.vanish(ctx, t); err != nil {
			return err
		}
	}
	_, err = s.ask(ctx, call{kind: element.Nodes, elements: s.people.batch(element.Nodes, 1, callers)})
	if err != nil {
		return fmt.Errorf("after %d callers went away: %w", callers, err)
	}
	return nil
}

// vanish sends half a request over a connection of its own and closes it.
func (t *restTarget) vanish(ctx context.Context, token string) error {
	u, err := url.Parse(t.url)
	if err != nil {
		return fmt.Errorf("parse the URL: %w", err)
	}
	conn, err := dial(ctx, u, t.client)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoConnection, err)
	}
	defer conn.Close()
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n", u.RequestURI(), u.Host, token)
	b.WriteString("Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n" + `{"parameters":{"type":"nodes"},"data":[`)
	if _, err := conn.Write(b.Bytes()); err != nil {
		return fmt.Errorf("%w: %w", errNoConnection, err)
	}
	return nil
}

func dial(ctx context.Context, u *url.URL, client *http.Client) (net.Conn, error) {
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	var d net.Dialer
	if u.Scheme != "https" {
		return d.DialContext(ctx, "tcp", host)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if tr, ok := client.Transport.(*http.Transport); ok && tr.TLSClientConfig != nil {
		config = tr.TLSClientConfig.Clone()
	}
	config.NextProtos = []string{"http/1.1"}
	return (&tls.Dialer{NetDialer: &d, Config: config}).DialContext(ctx, "tcp", host)
}

// caseHealth: grpc.health is open to anyone.
func caseHealth(ctx context.Context, s *suite) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.AnswerWithin)
	defer cancel()
	r, err := grpc_health_v1.NewHealthClient(s.grpc.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return fmt.Errorf("grpc.health without a token: %w", s.grpc.callError(err))
	}
	if r.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("grpc.health tells %s; SERVING is due", r.GetStatus())
	}
	return nil
}

// caseAnyChunking: how elements are cut into messages changes nothing.
func caseAnyChunking(ctx context.Context, s *suite) error {
	for _, kind := range kinds {
		elements := s.people.batch(kind, 1, len(s.people.all(kind)))
		want, err := s.ask(ctx, call{kind: kind, elements: elements})
		if err != nil {
			return err
		}
		for _, size := range []int{1, 7, len(elements)} {
			got, err := s.ask(ctx, call{kind: kind, elements: elements, chunk: size})
			if err != nil {
				return fmt.Errorf("%s in chunks of %d: %w", kind.Key(), size, err)
			}
			if i := firstDifference(want.verdicts, got.verdicts); i >= 0 {
				return fmt.Errorf("%s in chunks of %d: another verdict on element %d than in one chunk", kind.Key(), size, i)
			}
		}
	}
	return nil
}

// caseGaps: a stream whose ordinals have a gap is not judged.
func caseGaps(ctx context.Context, s *suite) error {
	t, err := s.good(ctx)
	if err != nil {
		return err
	}
	const n = 6
	c := call{kind: element.Nodes, elements: s.people.batch(element.Nodes, 1, n), token: t, bearer: true, chunk: n / 2}
	chunks := chunksOf(c)
	chunks[1].Base++
	sent, err := sentBatch(c.kind, c.elements, false)
	if err != nil {
		return err
	}
	out, err := s.grpc.stream(ctx, c, sent, &workerv1.FilterHeader{Kind: wireKind(c.kind)}, chunks)
	switch {
	case errors.Is(err, errNoConnection):
		return err
	case err == nil && out.refused == nil:
		return errors.New("a stream with a gap in its ordinals was judged; INVALID_ARGUMENT is due")
	default:
		return nil
	}
}

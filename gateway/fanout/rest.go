package fanout

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/muster-fleet/muster/gateway/address"
	"github.com/muster-fleet/muster/gateway/fanout/h1"
	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/workers/element"
)

// target is a worker's address, taken apart.
type target struct {
	tls  bool
	addr string // host:port to dial
	name string // host without port
	host string // as sent
	path string // path and query
}

func parseTarget(raw string) (target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return target{}, err
	}
	t := target{name: u.Hostname(), host: u.Host, path: u.RequestURI()}
	port := u.Port()
	switch u.Scheme {
	case "https", "grpcs":
		t.tls = true
		port = or(port, "443")
	case "http", "grpc":
		port = or(port, "80")
	default:
		return target{}, fmt.Errorf("scheme %q", u.Scheme)
	}
	if t.name == "" {
		return target{}, errors.New("no host")
	}
	t.addr = net.JoinHostPort(t.name, port)
	return t, nil
}

// poster sends a POST; it is *h1.Client, and net/http in a test that holds the
// two equal.
type poster interface {
	Do(ctx context.Context, r *h1.Request) (*h1.Response, error)
	Prune()
	Close()
}

// restCarrier speaks the published worker contract.
type restCarrier struct {
	client poster
}

func newRESTCarrier(f *Fleet, t target, limit int) (carrier, error) {
	client, err := h1.New(f.h1Config(t, limit))
	if err != nil {
		return nil, err
	}
	return &restCarrier{client: client}, nil
}

// userAgent is all that a worker learns of the caller's software.
const userAgent = "muster"

func (f *Fleet) h1Config(t target, limit int) h1.Config {
	cfg := h1.Config{
		Dial: f.deps.Dialer.DialContext, Addr: t.addr, Host: t.host, Target: t.path,
		Fields: []h1.Field{
			{Name: "User-Agent", Value: userAgent},
			{Name: "Content-Type", Value: "application/json"},
			{Name: "Accept", Value: "application/json"},
			{Name: "Accept-Encoding", Value: "identity"},
		},
		MaxIdle: limit, IdleTimeout: f.cfg.IdleTimeout, MaxAge: f.cfg.MaxAge,
	}
	if t.tls {
		cfg.TLS = func() *tls.Config { return f.tlsConfig(t.name) }
	}
	return cfg
}

// tlsConfig is for one connection over which HTTP/1.1 is spoken.
func (f *Fleet) tlsConfig(name string) *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.deps.TLS != nil {
		cfg = f.deps.TLS.Config()
	}
	cfg.ServerName = name
	cfg.NextProtos = []string{"http/1.1"}
	return cfg
}

func (c *restCarrier) prune() { c.client.Prune() }
func (c *restCarrier) close() { c.client.Close() }

// restCall is the memory of one call, used again.
type restCall struct {
	fields []h1.Field
	parts  [][]byte
	req    h1.Request
}

var restCalls = sync.Pool{New: func() any { return new(restCall) }}

// ask posts the unit's elements and matches the answer while it arrives.
func (c *restCarrier) ask(ctx context.Context, u *unit) (*verdict.Set, error) {
	call, _ := restCalls.Get().(*restCall)
	defer call.free()
	call.fields = u.appendFields(ctx, call.fields[:0])
	call.parts = appendBody(call.parts[:0], u.batch, u.from, u.to)
	sent := length(call.parts)
	call.req = h1.Request{Fields: call.fields, Body: call.parts, Size: sent, Fresh: u.second, Addr: u.lost}
	resp, err := c.client.Do(ctx, &call.req)
	if err != nil {
		return nil, u.exchangeFailure(err)
	}
	set, err := u.readAnswer(resp, sent)
	// Closing gives the connection back or drops it; it has no error of its own.
	_ = resp.Close()
	return set, err
}

func (c *restCall) free() {
	clear(c.fields)
	clear(c.parts)
	c.req = h1.Request{}
	restCalls.Put(c)
}

func (u *unit) appendFields(ctx context.Context, fields []h1.Field) []h1.Field {
	fields = append(fields, h1.Field{Name: "Authorization", Value: u.auth}, h1.Field{Name: headerHops, Value: u.ask.hops})
	if deadline, ok := ctx.Deadline(); ok {
		left := max(time.Until(deadline).Milliseconds(), 1)
		fields = append(fields, h1.Field{Name: headerTimeout, Value: strconv.FormatInt(left, 10) + "ms"})
	}
	if trace.SpanContextFromContext(ctx).IsValid() {
		carrier := fieldCarrier{&fields}
		propagation.TraceContext{}.Inject(ctx, carrier)
	}
	return fields
}

const (
	headerHops    = "Muster-Hops"
	headerTimeout = "Request-Timeout"
)

// fieldCarrier lets the trace context be written straight into fields.
type fieldCarrier struct{ fields *[]h1.Field }

func (c fieldCarrier) Get(string) string { return "" }
func (c fieldCarrier) Keys() []string    { return nil }
func (c fieldCarrier) Set(name, value string) {
	*c.fields = append(*c.fields, h1.Field{Name: name, Value: value})
}

// The body that every REST worker gets is the caller's own bytes between these.
var (
	openNodes = []byte(`{"parameters":{"type":"nodes"},"data":[`)
	openRels  = []byte(`{"parameters":{"type":"relationships"},"data":[`)
	closeBody = []byte(`]}`)
)

func appendBody(parts [][]byte, b *element.Batch, from, to int) [][]byte {
	parts = append(parts, opening(b.Kind()))
	parts = b.AppendSegments(parts, from, to)
	return append(parts, closeBody)
}

func opening(k element.Kind) []byte {
	if k == element.Relationships {
		return openRels
	}
	return openNodes
}

func length(parts [][]byte) (n int64) {
	for _, p := range parts {
		n += int64(len(p))
	}
	return n
}

// exchangeFailure turns what Do returned into its row.
func (u *unit) exchangeFailure(err error) error {
	var dial *h1.DialError
	var lost *h1.LostError
	var framing *h1.FramingError
	switch {
	case errors.As(err, &dial):
		return dialFailure(dial.Err)
	case errors.As(err, &lost) && !lost.Answered:
		u.lost = lost.Addr
		return &failure{row: rowUnreachable, reason: "connection_lost", again: !u.second, cause: err,
			detail: "the connection failed before an answer"}
	case errors.As(err, &lost):
		return workerError("connection_lost", "the connection was lost within the answer", err)
	case errors.As(err, &framing):
		return workerError("framing", "its answer is not well-formed HTTP ("+framing.Reason+")", err)
	default:
		return err
	}
}

// dialFailure is a failure to connect.
func dialFailure(err error) *failure {
	var refused *address.Refused
	if errors.As(err, &refused) {
		return &failure{row: rowAddressRefused, reason: "address_refused", cause: err,
			detail: "its name leads to an address that workers may not have; no connection was made"}
	}
	return &failure{row: rowUnreachable, reason: "connect", again: true, cause: err, detail: "no connection"}
}

// readAnswer reads a reply by the table.
func (u *unit) readAnswer(resp *h1.Response, sent int64) (*verdict.Set, error) {
	if resp.Encoded {
		return nil, violation(&verdict.Violation{Reason: "encoded", Detail: "the answer has a Content-Encoding"})
	}
	switch {
	case resp.Status >= 200 && resp.Status < 300:
		set, err := verdict.ReadReply(resp, u.batch, verdict.ReplyOptions{
			Mask: u.worker.Settings.Mask, MaxBytes: replyFactor*sent + replySpare, From: u.from, To: u.to,
		}, &u.leg.hint)
		if err != nil {
			return nil, u.exchangeFailure(err)
		}
		return set, nil
	case resp.Status == 401, resp.Status == 403:
		return nil, u.refusal(resp)
	default:
		return nil, u.otherStatus(resp)
	}
}

const (
	// An answer may have replyFactor times the bytes of the request, and replySpare.
	replyFactor = 4
	replySpare  = 1 << 20
	// maxErrorBody bounds what is read of an error body.
	maxErrorBody = 64 << 10
)

// refusal passes a 401 or 403 on, if it has the error body of the contract.
func (u *unit) refusal(resp *h1.Response) error {
	code, description, ok, err := readError(resp)
	if err != nil {
		return u.exchangeFailure(err)
	}
	if !ok {
		return workerError("status", "it answered "+strconv.Itoa(resp.Status)+" without the contract's error body", nil)
	}
	f := &failure{row: rowRefusedToken, reason: "unauthorized", detail: "it refused with " + strconv.Itoa(resp.Status),
		code: cleanCode(code), said: clean(description)}
	if resp.Status == 403 {
		f.row, f.reason = rowDenied, "forbidden"
	}
	return f
}

func (u *unit) otherStatus(resp *h1.Response) error {
	f := workerError("status", "it answered "+strconv.Itoa(resp.Status), nil)
	// The status decides; a body that breaks off only costs its text.
	if code, description, ok, err := readError(resp); err == nil && ok {
		f.said = clean(code + ": " + description)
	}
	return f
}

// readError reads an error body; ok is false when it is not one.
func readError(resp *h1.Response) (code, description string, ok bool, err error) {
	body, err := io.ReadAll(io.LimitReader(resp, maxErrorBody+1))
	if err != nil {
		return "", "", false, err
	}
	if len(body) > maxErrorBody {
		return "", "", false, nil
	}
	members, err := element.ReadObject(body, maxErrorBody)
	if err != nil {
		return "", "", false, nil //nolint:nilerr // not an error body; that is the answer
	}
	var has [2]bool
	for _, m := range members {
		switch {
		case len(m.Value) == 0 || m.Value[0] != '"':
		case m.Name == "error":
			code, has[0] = string(element.AppendText(nil, m.Value)), true
		case m.Name == "description":
			description, has[1] = string(element.AppendText(nil, m.Value)), true
		}
	}
	return code, description, has[0] && has[1] && code != "", nil
}

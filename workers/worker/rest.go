package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/element"
	"github.com/muster-fleet/muster/workers/token"
)

const (
	class      = "result"
	workerType = "ExternalGraphSecurity"

	// firstRead bounds what is allocated for a body before any of it has arrived.
	firstRead = 1 << 20
)

// info is the answer to GET /: four keys and no more, to anyone.
type info struct {
	Class   string `json:"class"`
	Type    string `json:"type"`
	UUID    string `json:"uuid"`
	Version string `json:"version"`
}

// Handler returns the worker's REST side, for authors who bring their own server
// (http.Server.ReadHeaderTimeout should then be set) and for tests. It is safe
// for concurrent use.
func (w *Worker) Handler() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == w.cfg.Path && r.Method == http.MethodPost {
			if w.cfg.Transform != nil {
				w.serveTransform(rw, r)
			} else {
				w.serveFilter(rw, r)
			}
			return
		}
		if r.ContentLength != 0 {
			boundUnread(rw)
		}
		switch {
		case r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
			w.serveInfo(rw)
		case w.cfg.OpsAddr == "" && isOps(r.URL.Path):
			w.ops.ServeHTTP(rw, r)
		case r.URL.Path == "/" || r.URL.Path == w.cfg.Path:
			w.serveWrongMethod(rw, r)
		default:
			fault.New(fault.NotFound, "not_found",
				"nothing is here; this worker is posted to at %s", w.cfg.Path).WriteContract(rw)
		}
	})
}

// unreadPatience is how long an answer may wait for what is left of a body that
// nobody will read. net/http reads on before it answers, to use the connection
// again; without a bound, whoever announces a body and withholds it would hold a
// connection for good, and needs no token for it.
const unreadPatience = 100 * time.Millisecond

// boundUnread is called before the head of such an answer. A connection that
// takes no deadline is not net/http's own, and is left as it is.
func boundUnread(rw http.ResponseWriter) {
	_ = http.NewResponseController(rw).SetReadDeadline(time.Now().Add(unreadPatience))
}

func (w *Worker) serveInfo(rw http.ResponseWriter) {
	body, err := json.Marshal(info{Class: class, Type: w.typeName(), UUID: w.cfg.UUID, Version: w.cfg.Version})
	if err != nil {
		fault.From(err).WriteContract(rw)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	// A failed write means that the caller went away.
	_, _ = rw.Write(body)
}

func (w *Worker) serveWrongMethod(rw http.ResponseWriter, r *http.Request) {
	var allow []string
	if r.URL.Path == "/" {
		allow = append(allow, http.MethodGet, http.MethodHead)
	}
	if r.URL.Path == w.cfg.Path {
		allow = append(allow, http.MethodPost)
	}
	rw.Header().Set("Allow", strings.Join(allow, ", "))
	body, err := json.Marshal(fault.Contract{
		Description: "this path takes " + strings.Join(allow, " and ") + " only", Error: "method_not_allowed",
	})
	if err != nil {
		fault.From(err).WriteContract(rw)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(http.StatusMethodNotAllowed)
	// A failed write means that the caller went away.
	_, _ = rw.Write(body)
}

// serveFilter answers one request of the contract and measures it.
func (w *Worker) serveFilter(rw http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	code := "ok"
	defer func() { w.metrics.request("rest", code, time.Since(begun)) }()

	release, err := w.admit()
	if err == nil {
		defer release()
		err = w.filter(rw, r)
	}
	if err != nil {
		f := fault.From(err)
		code = f.Code
		boundUnread(rw)
		// Also when the caller seems gone: a handler that writes nothing is answered
		// 200 by the server.
		f.WriteContract(rw)
	}
}

// filter does the steps in their order: who, what, verdicts, answer. Nothing is
// written before all verdicts stand.
func (w *Worker) filter(rw http.ResponseWriter, r *http.Request) error {
	ctx, cancel, err := w.deadline(r)
	if err != nil {
		return err
	}
	defer cancel()
	w.limitTransfer(ctx, rw)
	raw, err := token.FromHeader(r.Header)
	if err != nil {
		return err
	}
	principal, err := w.verifier.Verify(ctx, raw)
	if err != nil {
		return err
	}
	body, err := w.readBody(rw, r)
	if err != nil {
		return err
	}
	batch, err := readRequest(body)
	if err != nil {
		return err
	}
	verdicts, err := w.judge(ctx, principal, batch)
	if err != nil {
		return err
	}
	writeReply(rw, batch, verdicts)
	return nil
}

// readRequest reads a contract body. Members that the contract does not name are
// ignored, so that newer callers are served; the answer leaves them out.
//
// The request is never released to element's pool: an author's function that
// keeps an Element too long then holds memory, and cannot see another caller's.
func readRequest(body []byte) (*element.Batch, error) {
	req, err := element.ParseRequest(body, element.Options{DropUnknownMembers: true})
	if err != nil {
		return nil, err
	}
	switch req.Type {
	case element.TypeNodes:
		return req.Nodes, nil
	case element.TypeRelationships:
		return req.Relationships, nil
	default:
		req.Release()
		return nil, invalid(`parameters.type must be "nodes" or "relationships"; send the two kinds of a graph in two requests`)
	}
}

// deadline reads Request-Timeout: a Go-style duration or decimal seconds.
func (w *Worker) deadline(r *http.Request) (context.Context, context.CancelFunc, error) {
	timeout := w.cfg.MaxTimeout
	if text := r.Header.Get("Request-Timeout"); text != "" {
		asked, err := parseTimeout(text)
		if err != nil {
			return nil, nil, fault.New(fault.Invalid, "invalid_request",
				"the header Request-Timeout must be a duration above 0, such as 700ms or 1.5 (seconds)").Wrap(err)
		}
		timeout = min(timeout, asked)
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	return ctx, cancel, nil
}

func parseTimeout(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		d, err = time.ParseDuration(text + "s")
	}
	if err == nil && d <= 0 {
		err = errors.New("not above 0")
	}
	return d, err
}

// limitTransfer makes a slow or silent caller end with its deadline.
func (w *Worker) limitTransfer(ctx context.Context, rw http.ResponseWriter) {
	until, ok := ctx.Deadline()
	if !ok {
		return
	}
	c := http.NewResponseController(rw)
	// Not every server supports deadlines; the request's context still ends it. The
	// answer gets a little longer than the deadline so that a 504 can be written.
	_ = c.SetReadDeadline(until)
	_ = c.SetWriteDeadline(until.Add(w.cfg.MaxTimeout))
}

func (w *Worker) readBody(rw http.ResponseWriter, r *http.Request) ([]byte, error) {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, fault.New(fault.Unsupported, "unsupported_media_type",
			"the body must not be compressed (Content-Encoding)")
	}
	if kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil ||
		kind != "application/json" || !isUTF8(params["charset"]) {
		return nil, fault.New(fault.Unsupported, "unsupported_media_type",
			"Content-Type must be application/json, in UTF-8").Wrap(err)
	}
	if r.ContentLength > w.cfg.MaxBody {
		return nil, w.tooLarge()
	}
	var buf bytes.Buffer
	buf.Grow(int(min(max(r.ContentLength, 0), firstRead)) + bytes.MinRead)
	if _, err := buf.ReadFrom(http.MaxBytesReader(rw, r.Body, w.cfg.MaxBody)); err != nil {
		return nil, w.readFault(r.Context(), err)
	}
	return buf.Bytes(), nil
}

func (w *Worker) readFault(ctx context.Context, err error) error {
	var over *http.MaxBytesError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &over):
		return w.tooLarge()
	case errors.As(err, &timeout) && timeout.Timeout():
		// Before the context: the server cancels it when a read times out.
		return fault.New(fault.Timeout, "timeout", "the body did not arrive before the request's deadline").Wrap(err)
	case ctx.Err() != nil:
		return fault.From(ctx.Err())
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.New(fault.Invalid, "invalid_request", "the body ended before its announced length").Wrap(err)
	default:
		return fault.New(fault.Invalid, "invalid_request", "the body could not be read to its end").Wrap(err)
	}
}

func (w *Worker) tooLarge() error {
	return fault.New(fault.TooLarge, "too_large", "the request is over this worker's limit of %d bytes", w.cfg.MaxBody)
}

func isUTF8(charset string) bool {
	return charset == "" || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}

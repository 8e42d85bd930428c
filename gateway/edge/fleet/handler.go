package fleet

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// Root is the path below which everything of this API lives.
const Root = "/api/workers"

const defaultBodyDeadline = 10 * time.Second

// Handler returns the REST API. It is to be mounted at Root, at Root+"/" and at
// OpenAPIPath, and answers everything there: what is not part of the API with a
// 404 problem. It is safe for concurrent use.
func Handler(d Deps) http.Handler {
	if d.BodyDeadline <= 0 {
		d.BodyDeadline = defaultBodyDeadline
	}
	s := &service{d}
	mux := http.NewServeMux()
	byPath := map[string]map[string]operation{}
	for _, op := range operations() {
		if byPath[op.path] == nil {
			byPath[op.path] = map[string]operation{}
		}
		byPath[op.path][op.method] = op
	}
	for path, ops := range byPath {
		mux.Handle(path, s.path(ops))
	}
	description := sync.OnceValues(func() ([]byte, error) { return describe(d.Version) })
	mux.Handle(OpenAPIPath, s.path(map[string]operation{http.MethodGet: {handle: func(*service) handler {
		return func(w http.ResponseWriter, _ *http.Request, _ registry.Actor) error {
			body, err := description()
			if err != nil {
				return err
			}
			return writeJSON(w, http.StatusOK, mediaJSON, json.RawMessage(body))
		}
	}}}))
	mux.Handle("/", s.guarded(func(http.ResponseWriter, *http.Request, registry.Actor) error {
		return fault.New(fault.NotFound, "not_found", "there is nothing at this path; the API is described at %s", OpenAPIPath)
	}))
	return mux
}

// handler does one call; an error it returns is answered as a problem.
type handler func(w http.ResponseWriter, r *http.Request, actor registry.Actor) error

// guarded finds out who is calling before anything else.
func (s *service) guarded(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actor, err := s.Guard(r)
		if err == nil {
			err = h(w, r, actor)
		}
		if err != nil {
			s.refuse(w, r, actor, err)
		}
	})
}

// path answers all methods of one path.
func (s *service) path(ops map[string]operation) http.Handler {
	var methods []string
	for method := range ops {
		methods = append(methods, method)
		if method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	slices.Sort(methods)
	allow := strings.Join(methods, ", ")
	return s.guarded(func(w http.ResponseWriter, r *http.Request, actor registry.Actor) error {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet // net/http leaves the body out
		}
		op, ok := ops[method]
		if !ok {
			w.Header().Set("Allow", allow)
			return writeJSON(w, http.StatusMethodNotAllowed, "application/problem+json", methodNotAllowed(allow))
		}
		return op.handle(s)(w, r, actor)
	})
}

// refuse answers an error as a problem, and logs what is not the caller's.
func (s *service) refuse(w http.ResponseWriter, r *http.Request, actor registry.Actor, err error) {
	e := fault.From(err)
	// A caller that seems gone is answered too: one that has closed only its sending
	// side still reads, and net/http answers 200 for a handler that writes nothing.
	if e.Kind.HTTPStatus() >= http.StatusInternalServerError {
		level := slog.LevelWarn
		if e.Kind == fault.Internal {
			level = slog.LevelError
		}
		s.Logger.Log(r.Context(), level, "management call failed", "method", r.Method, "path", r.URL.Path,
			"code", e.Code, "detail", e.Detail, "cause", errors.Unwrap(e), "request_id", actor.RequestID)
	}
	e.WriteProblem(w)
}

// readBody reads a request's JSON body.
func (s *service) readBody(w http.ResponseWriter, r *http.Request, mediaTypes ...string) ([]byte, error) {
	if err := checkMedia(r, mediaTypes); err != nil {
		return nil, err
	}
	rc := http.NewResponseController(w)
	if err := rc.SetReadDeadline(time.Now().Add(s.BodyDeadline)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, fault.New(fault.TooLarge, "too_large", "the body is longer than %d bytes", large.Limit)
	case err != nil:
		return nil, fault.New(fault.Invalid, codeInvalidRequest, "the body broke off, or did not come in within %s", s.BodyDeadline).Wrap(err)
	}
	if err := rc.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	return body, nil
}

func checkMedia(r *http.Request, mediaTypes []string) error {
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return fault.New(fault.Unsupported, "unsupported_media_type", "send the body without Content-Encoding")
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, named := params["charset"]
	if err != nil || !slices.Contains(mediaTypes, media) || named && !strings.EqualFold(charset, "utf-8") {
		return fault.New(fault.Unsupported, "unsupported_media_type", "send Content-Type %s, in UTF-8", strings.Join(mediaTypes, " or "))
	}
	return nil
}

const mediaJSON = "application/json"

// writeJSON answers a request. Its error is always nil: once the status is out, a
// failed write only means that the caller went away.
func writeJSON(w http.ResponseWriter, status int, media string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
	return nil
}

// writeRecord answers with a record, whose revision is also the ETag.
func writeRecord(w http.ResponseWriter, status int, revision int64, v any) error {
	w.Header().Set("ETag", `"`+strconv.FormatInt(revision, 10)+`"`)
	return writeJSON(w, status, mediaJSON, v)
}

// noQuery refuses query parameters on calls that have none, so that a dry run
// that there is not does not turn out to be a change.
func noQuery(r *http.Request) error {
	var p parameters
	p.only(p.parse(r.URL.RawQuery))
	return p.err()
}

// ifMatch returns what If-Match asks for: empty when it is not there, and
// something that no revision is when it is there without a value, or twice.
func ifMatch(r *http.Request) string {
	switch values := r.Header.Values("If-Match"); {
	case len(values) == 0:
		return ""
	case len(values) == 1 && values[0] != "":
		return values[0]
	default:
		return "none"
	}
}

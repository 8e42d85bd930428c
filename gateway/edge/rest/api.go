package rest

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/token"
)

// Caller is who makes a call, after the guard has let them in.
type Caller struct {
	// Actor is for the audit log.
	registry.Actor
	// Principal is the verified token's; nil where a guard does not need one.
	Principal *token.Principal
	// TokenDigest is the SHA-256 of the token as it was sent.
	TokenDigest [32]byte
}

// Guard says who is calling, or why the caller may not: a *fault.Error, such as
// 401 invalid_token or 403 denied. It is asked before anything of the request is
// looked at.
type Guard func(r *http.Request) (Caller, error)

// Handler does one call; an error it returns is answered as a problem.
type Handler func(w http.ResponseWriter, r *http.Request, who Caller) error

// DefaultBodyDeadline is how long a body may take to come in.
const DefaultBodyDeadline = 10 * time.Second

// API is what the calls of one API have in common. It is safe for concurrent use.
type API struct {
	// Guard and Logger are required.
	Guard  Guard
	Logger *slog.Logger
	// BodyDeadline bounds how long a body may take to come in; 0 means
	// DefaultBodyDeadline.
	BodyDeadline time.Duration
}

// Mount has mux answer the operations: all methods of their paths.
func (a *API) Mount(mux *http.ServeMux, ops []Operation) {
	byPath := map[string]map[string]Operation{}
	for _, op := range ops {
		if byPath[op.Path] == nil {
			byPath[op.Path] = map[string]Operation{}
		}
		byPath[op.Path][op.Method] = op
	}
	for path, of := range byPath {
		mux.Handle(path, a.path(of))
	}
}

// NotFound answers what is not part of the API, to those whom the guard lets in.
func (a *API) NotFound() http.Handler {
	return a.Guarded(a.Guard, func(http.ResponseWriter, *http.Request, Caller) error {
		return fault.New(fault.NotFound, "not_found", "there is nothing at this path; the API is described at %s", OpenAPIPath)
	})
}

// Description answers GET with the OpenAPI document that describe fills, made at
// the first call.
func (a *API) Description(version string, describe ...func(*Document)) http.Handler {
	body := sync.OnceValues(func() ([]byte, error) {
		doc := NewDocument(version)
		for _, add := range describe {
			add(doc)
		}
		return json.Marshal(doc)
	})
	return a.path(map[string]Operation{http.MethodGet: {
		Handle: func(w http.ResponseWriter, _ *http.Request, _ Caller) error {
			text, err := body()
			if err != nil {
				return err
			}
			return WriteJSON(w, http.StatusOK, json.RawMessage(text))
		},
	}})
}

// Guarded finds out who is calling before anything else.
func (a *API) Guarded(guard Guard, h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := guard(r)
		if err == nil {
			err = h(w, r, who)
		}
		if err != nil {
			a.refuse(w, r, who, err)
		}
	})
}

// path answers all methods of one path.
func (a *API) path(ops map[string]Operation) http.Handler {
	var methods []string
	for method := range ops {
		methods = append(methods, method)
		if method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	slices.Sort(methods)
	allow := strings.Join(methods, ", ")
	byMethod := map[string]http.Handler{}
	for method, op := range ops {
		guard := op.Guard
		if guard == nil {
			guard = a.Guard
		}
		byMethod[method] = a.Guarded(guard, op.Handle)
	}
	other := a.Guarded(a.Guard, func(w http.ResponseWriter, _ *http.Request, _ Caller) error {
		w.Header().Set("Allow", allow)
		return write(w, http.StatusMethodNotAllowed, mediaProblem, fault.Problem{
			Type: "about:blank", Title: http.StatusText(http.StatusMethodNotAllowed), Status: http.StatusMethodNotAllowed,
			Code: "method_not_allowed", Detail: "this path takes " + allow,
		})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet // net/http leaves the body out
		}
		if h := byMethod[method]; h != nil {
			h.ServeHTTP(w, r)
			return
		}
		other.ServeHTTP(w, r)
	})
}

// refuse answers an error as a problem, and logs what is not the caller's.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, who Caller, err error) {
	e := fault.From(err)
	// A caller that seems gone is answered too: one that has closed only its sending
	// side still reads, and net/http answers 200 for a handler that writes nothing.
	if e.Kind.HTTPStatus() >= http.StatusInternalServerError {
		level := slog.LevelWarn
		if e.Kind == fault.Internal {
			level = slog.LevelError
		}
		a.Logger.Log(r.Context(), level, "management call failed", "method", r.Method, "path", r.URL.Path,
			"code", e.Code, "detail", e.Detail, "cause", errors.Unwrap(e), "request_id", who.RequestID)
	}
	e.WriteProblem(w)
}

package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/token"
)

// Caller is who makes a call, after the guard has let them in.
type Caller struct {
	// Actor is for the audit log.
	registry.Actor
	// Who answers what else the caller may; that of the zero Caller may nothing.
	authz.Who
	// Pass says how the guard let the caller in.
	authz.Pass
	// Principal is the verified token's.
	Principal *token.Principal
	// TokenDigest is the SHA-256 of the token as it was sent.
	TokenDigest [32]byte
	// Refused notes the error that a call which changes something ends with; nil when
	// nobody is told.
	Refused func(err error)
}

// Guard says who is calling, or why the caller may not: a *fault.Error, such as
// 401 invalid_token or 403 denied. It is asked before anything of the request is
// looked at.
type Guard func(r *http.Request) (Caller, error)

// Gate returns the guard of an endpoint, whose key is "METHOD /pattern" as in
// authz.Endpoints; an error says that the table does not have it.
type Gate func(endpoint string) (Guard, error)

// anything is the endpoint of what no route takes, which is told to anybody with
// a valid token. So is which methods a path takes.
const anything = "/"

// Handler does one call; an error it returns is answered as a problem.
type Handler func(w http.ResponseWriter, r *http.Request, who Caller) error

// DefaultBodyDeadline is how long a body may take to come in.
const DefaultBodyDeadline = 10 * time.Second

// API is what the calls of one API have in common. It is safe for concurrent use.
type API struct {
	// Gate and Logger are required.
	Gate   Gate
	Logger *slog.Logger
	// BodyDeadline bounds how long a body may take to come in; 0 means
	// DefaultBodyDeadline.
	BodyDeadline time.Duration
}

// Mount has mux answer the operations: all methods of their paths. It panics, as
// mux does over a bad pattern, when the gate does not know one: nothing is served
// of which nobody has said who may call it.
func (a *API) Mount(mux *http.ServeMux, ops []Operation) {
	byPath := map[string]map[string]Operation{}
	for _, op := range ops {
		if byPath[op.Path] == nil {
			byPath[op.Path] = map[string]Operation{}
		}
		byPath[op.Path][op.Method] = op
	}
	for path, of := range byPath {
		mux.Handle(path, a.path(path, of))
	}
}

// guard is the guard of an endpoint that is known.
func (a *API) guard(endpoint string) Guard {
	g, err := a.Gate(endpoint)
	if err != nil {
		panic(fmt.Sprintf("rest: %s cannot be mounted: %v", endpoint, err))
	}
	return g
}

// NotFound answers what is not part of the API, to everybody with a valid token.
func (a *API) NotFound() http.Handler {
	return a.guarded(a.guard(anything), func(http.ResponseWriter, *http.Request, Caller) error {
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
	return a.path(OpenAPIPath, map[string]Operation{http.MethodGet: {
		Handle: func(w http.ResponseWriter, _ *http.Request, _ Caller) error {
			text, err := body()
			if err != nil {
				return err
			}
			return WriteJSON(w, http.StatusOK, json.RawMessage(text))
		},
	}})
}

// guarded finds out who is calling before anything else.
func (a *API) guarded(guard Guard, h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := guard(r)
		if err == nil {
			if err = h(w, r, who); err != nil && who.Refused != nil {
				who.Refused(err)
			}
		}
		if err != nil {
			a.refuse(w, r, who, err)
		}
	})
}

// path answers all methods of one path.
func (a *API) path(pattern string, ops map[string]Operation) http.Handler {
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
		byMethod[method] = a.guarded(a.guard(method+" "+pattern), op.Handle)
	}
	other := a.guarded(a.guard(anything), func(w http.ResponseWriter, _ *http.Request, _ Caller) error {
		w.Header().Set("Allow", allow)
		return write(w, http.StatusMethodNotAllowed, mediaProblem, fault.Problem{
			Type: "about:blank", Title: http.StatusText(http.StatusMethodNotAllowed), Status: http.StatusMethodNotAllowed,
			Code: "method_not_allowed", Detail: "this path takes " + allow,
		})
	})
	return &onePath{byMethod, other}
}

// onePath answers the methods of one path. It is no function so that what is
// mounted can be found.
type onePath struct {
	byMethod map[string]http.Handler
	other    http.Handler
}

func (m *onePath) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // net/http leaves the body out
	}
	if h := m.byMethod[method]; h != nil {
		h.ServeHTTP(w, r)
		return
	}
	m.other.ServeHTTP(w, r)
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

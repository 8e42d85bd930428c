package fault

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Problem is the RFC 9457 document of Muster's own endpoints
// (application/problem+json).
type Problem struct {
	Type   string      `json:"type"`
	Title  string      `json:"title"`
	Status int         `json:"status"`
	Code   string      `json:"code"`
	Detail string      `json:"detail,omitempty"`
	Worker *WorkerRef  `json:"worker,omitempty"`
	Errors []Violation `json:"errors,omitempty"`
}

// Contract is the error body of the worker contract's endpoints, with the
// worker that Muster's filter endpoint adds.
type Contract struct {
	Description string     `json:"description"`
	Error       string     `json:"error"`
	Worker      *WorkerRef `json:"worker,omitempty"`
}

// Problem returns e as an RFC 9457 document.
func (e *Error) Problem() Problem {
	status := e.Kind.HTTPStatus()
	return Problem{
		Type: "about:blank", Title: title(status), Status: status,
		Code: e.Code, Detail: e.Detail, Worker: e.Worker, Errors: e.Violations,
	}
}

// WriteProblem answers a request of one of Muster's own endpoints with e.
func (e *Error) WriteProblem(w http.ResponseWriter) {
	e.write(w, "application/problem+json", e.Problem())
}

// WriteContract answers a request of a contract endpoint with e.
func (e *Error) WriteContract(w http.ResponseWriter) {
	e.write(w, "application/json", Contract{Description: e.Detail, Error: e.Code, Worker: e.Worker})
}

func (e *Error) write(w http.ResponseWriter, contentType string, body any) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if e.RetryAfter > 0 {
		seconds := (e.RetryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	if e.Kind == Unauthenticated && h.Get("WWW-Authenticate") == "" {
		// RFC 6750 section 3: the realm is for people, the error for programs.
		h.Set("WWW-Authenticate", `Bearer realm="muster", error="`+e.Code+`"`)
	}
	w.WriteHeader(e.Kind.HTTPStatus())
	// The status is out; a failed write means that the caller went away.
	_ = json.NewEncoder(w).Encode(body)
}

func title(status int) string {
	if t := http.StatusText(status); t != "" {
		return t
	}
	return "Client Closed Request"
}

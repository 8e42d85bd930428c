package edge

import (
	"net/http"
	"time"
)

// unreadPatience is how long an answer may wait for what is left of a request's
// body. net/http reads a body that its handler left unread before it writes the
// answer, so that the connection can be used again; without a bound, whoever
// announces a body and does not send it is never answered and holds a connection
// for good, and needs no token for it. A body under way comes within this time;
// otherwise net/http answers, and closes the connection.
const unreadPatience = 100 * time.Millisecond

// boundUnread bounds the wait for a body that nobody will read. It is called before the
// answer's head is written. Connections that cannot take a deadline are not
// net/http's own, and are left as they are.
func boundUnread(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadPatience))
}

// prompt answers without waiting for bodies that a handler did not read.
func prompt(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			w = &promptWriter{ResponseWriter: w}
		}
		next.ServeHTTP(w, r)
	})
}

// promptWriter calls boundUnread before the answer's head.
type promptWriter struct {
	http.ResponseWriter
	wrote bool
}

func (p *promptWriter) WriteHeader(status int) {
	p.begin()
	p.ResponseWriter.WriteHeader(status)
}

func (p *promptWriter) Write(b []byte) (int, error) {
	p.begin()
	return p.ResponseWriter.Write(b)
}

func (p *promptWriter) begin() {
	if !p.wrote {
		p.wrote = true
		boundUnread(p.ResponseWriter)
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (p *promptWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

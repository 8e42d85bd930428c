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

// lingering is how long a connection is read on after a refusal, and at most how
// far. Many clients send their whole body before they look for an answer; closing
// on them would turn a 413 or 401 into a broken connection.
const (
	lingerTime  = 5 * time.Second
	lingerBytes = 512 << 20
)

// linger sends the answer and throws away what is still to come of the body. For a
// body that has been read it costs next to nothing.
func linger(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 || r.ContentLength == 0 {
		return
	}
	rc := http.NewResponseController(w)
	if rc.Flush() != nil {
		return // nobody is left to wait for
	}
	buf, end := make([]byte, 32<<10), time.Now().Add(lingerTime)
	for read := 0; read < lingerBytes && time.Now().Before(end); {
		// Only a body under way is waited for; the answer ends when this does.
		if rc.SetReadDeadline(time.Now().Add(unreadPatience)) != nil {
			return
		}
		n, err := r.Body.Read(buf)
		if err != nil {
			return // the end, or a body that stalls: then the server closes the connection
		}
		read += n
	}
}

// boundUnread bounds the wait for a body that nobody will read. It is called before the
// answer's head is written. Connections that cannot take a deadline are not
// net/http's own, and are left as they are.
func boundUnread(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadPatience))
}

// prompt answers without waiting for bodies that a handler did not read.
func prompt(next http.Handler) http.Handler { return &prompted{next} }

// prompted is no function so that what is mounted behind it can be found.
type prompted struct{ next http.Handler }

func (p *prompted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		w = &promptWriter{ResponseWriter: w}
	}
	p.next.ServeHTTP(w, r)
	linger(w, r)
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

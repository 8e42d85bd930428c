package h1

import (
	"context"
	"errors"
	"os"
)

// DialError says that no connection could be made, TLS handshake included.
type DialError struct{ Err error }

func (e *DialError) Error() string { return "h1: connecting: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *DialError) Unwrap() error { return e.Err }

// LostError says that a connection failed in the middle of an exchange.
type LostError struct {
	Err error
	// Answered is true when at least one byte of the answer had come.
	Answered bool
	// Addr is the address that the request was sent to.
	Addr string
}

func (e *LostError) Error() string {
	if e.Answered {
		return "h1: connection lost within the answer: " + e.Err.Error()
	}
	return "h1: connection lost before the answer: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *LostError) Unwrap() error { return e.Err }

// FramingError says that an answer is not well-formed HTTP/1.1, or is framed in
// a way that can be read differently by different readers. Reason never quotes
// what came.
type FramingError struct{ Reason string }

func (e *FramingError) Error() string { return "h1: bad framing: " + e.Reason }

// errBadField refuses a request whose header could be read as two.
var errBadField = errors.New("h1: a header field of the request holds a control character")

// ioError turns what a connection's Read or Write returned into what callers
// get: the context's error when the context (or its deadline, which the
// connection may notice first) ended the exchange, a LostError otherwise.
func (cn *conn) ioError(err error) error {
	if cause := cn.ctx.Err(); cause != nil {
		return cause
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return cn.lost(err)
}

func (cn *conn) lost(err error) error {
	return &LostError{Err: err, Answered: cn.answered, Addr: cn.nc.RemoteAddr().String()}
}

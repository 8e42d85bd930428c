// Package fault is the one error type of Muster and the one table that maps it
// to HTTP and gRPC. Every error that leaves a process is a *fault.Error; code
// further in wraps causes with fmt.Errorf and %w and turns them into a fault at
// the place that knows what the caller can do about it.
package fault

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Error is a failure as it may be shown to a caller. Its fields never hold
// secrets or property values; the cause, which may, is for the log alone.
// An Error is immutable once returned and safe for concurrent use.
type Error struct {
	// Kind decides the status on the wire.
	Kind Kind
	// Code is the stable, machine-readable name, such as "worker_timeout".
	Code string
	// Detail says what is wrong, where, and what to do.
	Detail string
	// Worker is set when a worker is to blame.
	Worker *WorkerRef
	// RetryAfter, when above 0, is sent as Retry-After, in whole seconds rounded up.
	RetryAfter time.Duration
	// Violations lists every mistake of a request, in the order of the
	// specification's list of codes; Code is the first one's.
	Violations []Violation

	cause error
}

// WorkerRef names a worker in an error.
type WorkerRef struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`
}

// Violation is one mistake of a request body.
type Violation struct {
	Code string `json:"code"`
	// Pointer is the JSON Pointer (RFC 6901) of the offending member, empty for
	// the document as a whole.
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// New makes an error of a kind; format and args make its Detail.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Error returns "code: detail", with the worker's name before the detail.
func (e *Error) Error() string {
	s := e.Code
	if e.Worker != nil {
		s += ": worker " + e.Worker.Name + " (" + e.Worker.UUID + ")"
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Unwrap returns the cause, which is nil when there is none.
func (e *Error) Unwrap() error { return e.cause }

// Wrap returns a copy of e with cause as its cause.
func (e *Error) Wrap(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// By returns a copy of e that blames a worker.
func (e *Error) By(uuid, name string) *Error {
	c := *e
	c.Worker = &WorkerRef{UUID: uuid, Name: name}
	return &c
}

// After returns a copy of e that asks the caller to wait d before trying again.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// From returns the *Error in err's chain. A context error becomes "timeout" or
// "cancelled"; anything else becomes an "internal" error whose detail tells
// nothing, with err as the cause. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return New(Timeout, "timeout", "the request's deadline has passed").Wrap(err)
	case errors.Is(err, context.Canceled):
		return New(Cancelled, "cancelled", "the caller went away").Wrap(err)
	default:
		return New(Internal, "internal", "an internal error; the server's log has it under the request id").Wrap(err)
	}
}

// Is reports whether err's chain holds an *Error with this code.
func Is(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

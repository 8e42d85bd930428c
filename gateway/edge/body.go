package edge

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
)

// bodyPool keeps buffers by power-of-two size, from 4 KiB on. Buffers over
// keepBelow are left to the collector: one large request should not hold memory
// for good.
type bodyPool struct {
	classes [bodyClasses]sync.Pool
}

const (
	smallestBody = 12 // 4 KiB
	bodyClasses  = 15 // up to 64 MiB
	firstRead    = 64 << 10
)

func (p *bodyPool) get(n int64) []byte {
	c := class(n)
	if c >= bodyClasses {
		return make([]byte, 0, n)
	}
	if b, ok := p.classes[c].Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, 1<<(c+smallestBody))
}

func (p *bodyPool) put(b []byte) {
	c := class(int64(cap(b)))
	if c < bodyClasses && cap(b) == 1<<(c+smallestBody) {
		b = b[:0]
		p.classes[c].Put(&b)
	}
}

// body is one request's body. It goes back to its pool when everyone who
// retained it has released it: a gRPC connection may still send from it after
// the request has been answered.
type body struct {
	pool *bodyPool
	buf  []byte
	refs atomic.Int32
}

// newBody returns a body with one reference.
func newBody(pool *bodyPool, buf []byte) *body {
	b := &body{pool: pool, buf: buf}
	b.refs.Store(1)
	return b
}

// Retain keeps the body until one more Release.
func (b *body) Retain() { b.refs.Add(1) }

// Release gives one reference back.
func (b *body) Release() {
	if b.refs.Add(-1) == 0 {
		b.pool.put(b.buf)
		b.buf = nil
	}
}

// class returns the index of the smallest class that holds n bytes.
func class(n int64) int {
	if n <= 1<<smallestBody {
		return 0
	}
	return bits.Len64(uint64(n-1)) - smallestBody
}

// bodyReader reads a request's body within a limit, a deadline and a ticket.
type bodyReader struct {
	pool  *bodyPool
	limit int64
}

// read returns the whole body, with one reference for the caller. Every byte is
// reserved before it is read.
func (b *bodyReader) read(w http.ResponseWriter, r *http.Request, t *Ticket, deadline time.Time) (*body, error) {
	if r.ContentLength > b.limit {
		return nil, b.tooLarge()
	}
	rc := http.NewResponseController(w)
	// A body that dribbles in must not outlive the request's deadline. Afterwards
	// the read deadline goes away again: net/http's own watch for a client that
	// left reads from the same connection.
	if err := rc.SetReadDeadline(deadline); err != nil {
		return nil, fmt.Errorf("set the body's read deadline: %w", err)
	}
	buf, err := b.readAll(r, t)
	if err != nil {
		return nil, err
	}
	if err := rc.SetReadDeadline(time.Time{}); err != nil {
		b.pool.put(buf)
		return nil, fmt.Errorf("clear the body's read deadline: %w", err)
	}
	return newBody(b.pool, buf), nil
}

func (b *bodyReader) readAll(r *http.Request, t *Ticket) ([]byte, error) {
	if r.ContentLength >= 0 {
		return b.readKnown(r, t)
	}
	return b.readUnknown(r, t)
}

func (b *bodyReader) readKnown(r *http.Request, t *Ticket) ([]byte, error) {
	if err := t.Reserve(r.ContentLength); err != nil {
		return nil, err
	}
	buf := b.pool.get(r.ContentLength)[:r.ContentLength]
	if _, err := io.ReadFull(r.Body, buf); err != nil {
		b.pool.put(buf)
		return nil, b.readError(r, err)
	}
	return buf, nil
}

func (b *bodyReader) readUnknown(r *http.Request, t *Ticket) ([]byte, error) {
	if err := t.Reserve(firstRead); err != nil {
		return nil, err
	}
	buf := b.pool.get(firstRead)
	for {
		if len(buf) == cap(buf) {
			more := int64(cap(buf))
			if err := t.Reserve(more); err != nil {
				b.pool.put(buf)
				return nil, err
			}
			next := append(b.pool.get(2*more), buf...)
			b.pool.put(buf)
			buf = next
		}
		n, err := r.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > b.limit {
			b.pool.put(buf)
			return nil, b.tooLarge()
		}
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			b.pool.put(buf)
			return nil, b.readError(r, err)
		}
	}
}

func (b *bodyReader) tooLarge() error {
	return fault.New(fault.TooLarge, "too_large", "the body is larger than %d bytes (limits.maxBody)", b.limit)
}

func (b *bodyReader) readError(r *http.Request, err error) error {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		// Before the context: net/http cancels it when a read times out.
		return fault.New(fault.Timeout, "timeout", "the body did not arrive within the request's deadline").Wrap(err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		// Before the context as well: the caller may have closed its sending side alone.
		return fault.New(fault.Invalid, "invalid_request", "the body ended before its announced end").Wrap(err)
	case r.Context().Err() != nil:
		return fault.From(r.Context().Err())
	default:
		return fault.New(fault.Invalid, "invalid_request", "the body ended before its announced end").Wrap(err)
	}
}

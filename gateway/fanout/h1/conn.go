package h1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	firstBuffer = 4 << 10
	// stall is how long a write may make no headway before the client looks
	// whether the answer has begun to come.
	stall = 20 * time.Millisecond
	// inlineTLS is the largest body written over TLS on the reading goroutine:
	// a TLS write cannot be interrupted and taken up again.
	inlineTLS = 32 << 10
)

// longAgo as a deadline ends reads and writes in progress.
var longAgo = time.Unix(1, 0)

// conn is one connection. Between checkout and checkin it belongs to one
// exchange; only interrupt touches it from another goroutine then.
type conn struct {
	client *Client
	nc     net.Conn
	raw    syscall.RawConn // nil when nc is not over a socket
	tls    bool
	born   time.Time
	since  time.Time // when it was last put back
	used   bool      // has carried an exchange before

	buf      []byte // what was read and not consumed is buf[r:w]
	r, w     int
	out      []byte      // head of the request
	vec      [][]byte    // backing of bufs
	bufs     net.Buffers // what is still to be written
	resp     Response
	answered bool // a byte of the present answer has come

	ctx         context.Context //nolint:containedctx // of the present exchange, for errors
	interrupt   func()          // made once; ends reads and writes in progress
	interrupted sync.WaitGroup
	stop        func() bool

	writing chan error // not nil while a goroutine writes the body
}

func newConn(c *Client, nc, raw net.Conn) *conn {
	cn := &conn{client: c, nc: nc, tls: nc != raw, born: time.Now(), buf: make([]byte, firstBuffer)}
	if sc, ok := raw.(syscall.Conn); ok {
		if rc, err := sc.SyscallConn(); err == nil {
			cn.raw = rc
		}
	}
	cn.interrupt = func() {
		// A connection that cannot take a deadline is closed, and fails reads too.
		_ = nc.SetDeadline(longAgo)
		cn.interrupted.Done()
	}
	return cn
}

func (cn *conn) close() {
	// Nothing can be done about a connection that does not close.
	_ = cn.nc.Close()
}

// start sends the request (or as much of it as the peer takes before it
// answers) and reads the answer's head into cn.resp.
func (cn *conn) start(ctx context.Context, r *Request) error {
	cn.ctx, cn.answered = ctx, false
	deadline, _ := ctx.Deadline()
	if err := cn.nc.SetDeadline(deadline); err != nil {
		return cn.lost(err)
	}
	cn.interrupted.Add(1)
	cn.stop = context.AfterFunc(ctx, cn.interrupt)
	if err := cn.send(r, deadline); err != nil {
		return err
	}
	for range maxInterim {
		h, err := cn.readHead()
		if err != nil {
			return err
		}
		if h.status >= 200 {
			cn.resp.begin(cn, h)
			return nil
		}
		if h.status == 101 {
			return &FramingError{"a change of protocol that nobody asked for"}
		}
	}
	return &FramingError{"too many interim answers"}
}

func (cn *conn) send(r *Request, deadline time.Time) error {
	cn.out = append(cn.out[:0], cn.client.head...)
	out := cn.out
	var err error
	for i := range r.Fields {
		if out, err = appendField(out, r.Fields[i].Name, r.Fields[i].Value); err != nil {
			return err
		}
	}
	out = append(out, "Content-Length: "...)
	out = strconv.AppendInt(out, r.Size, 10)
	out = append(out, "\r\n\r\n"...)
	cn.out = out
	cn.vec = append(append(cn.vec[:0], out), r.Body...)
	cn.bufs = cn.vec
	switch {
	case cn.tls && r.Size > inlineTLS:
		cn.inBackground(cn.writeAll)
		return nil
	case cn.tls:
		cn.out = appendAll(cn.out, r.Body)
		cn.vec = append(cn.vec[:0], cn.out)
		cn.bufs = cn.vec
		return cn.broken(cn.writeAll())
	default:
		return cn.writePatiently(deadline)
	}
}

func appendAll(dst []byte, parts [][]byte) []byte {
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

func (cn *conn) writeAll() error {
	_, err := cn.bufs.WriteTo(cn.nc)
	return err
}

// writePatiently writes on this goroutine. When the peer stops taking bytes it
// looks now and then whether the answer has begun; then the rest is written
// in the background while this goroutine reads, so that a peer that answers
// while it reads cannot lock both sides up.
func (cn *conn) writePatiently(deadline time.Time) error {
	if cn.raw == nil {
		cn.inBackground(cn.writeAll)
		return nil
	}
	for {
		until := time.Now().Add(stall)
		if !deadline.IsZero() && deadline.Before(until) {
			until = deadline
		}
		if err := cn.nc.SetWriteDeadline(until); err != nil {
			return cn.lost(err)
		}
		err := cn.writeAll()
		if err == nil {
			return nil
		}
		if cause := cn.ctx.Err(); cause != nil {
			return cause
		}
		if !isTimeout(err) {
			return cn.broken(err)
		}
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return context.DeadlineExceeded
		}
		if cn.readable() {
			if err := cn.nc.SetWriteDeadline(deadline); err != nil {
				return cn.lost(err)
			}
			cn.inBackground(cn.writeAll)
			return nil
		}
	}
}

func isTimeout(err error) bool {
	t, ok := err.(interface{ Timeout() bool }) // net and tls return it unwrapped
	return ok && t.Timeout()
}

// broken judges a failed write: a peer may answer and close before it has read
// all, so an answer that lies there already is read all the same.
func (cn *conn) broken(err error) error {
	if err == nil || cn.ctx.Err() == nil && cn.readable() {
		return nil
	}
	return cn.ioError(err)
}

// inBackground runs a write on a goroutine of its own, which finish waits for.
func (cn *conn) inBackground(write func() error) {
	done := make(chan error, 1)
	cn.writing = done
	go func() { done <- write() }()
}

// readHead reads up to the end of a head and parses it.
func (cn *conn) readHead() (head, error) {
	seen := 0 // of the unread bytes, how many hold no end of the head
	for {
		unread := cn.buf[cn.r:cn.w]
		end, err := headEnd(unread, seen)
		if err != nil {
			return head{}, err
		}
		if end > 0 {
			cn.r += end
			return parseHead(unread[:end])
		}
		if len(unread) >= MaxHead {
			return head{}, &FramingError{"a head of more than 64 KiB"}
		}
		if len(unread) >= 7 && !bytes.HasPrefix(unread, []byte("HTTP/1.")) {
			return head{}, &FramingError{"the answer is not HTTP/1.1"}
		}
		seen = len(unread)
		if cn.w == len(cn.buf) {
			cn.makeRoom(MaxHead + firstBuffer)
		}
		if err := cn.fill(); err != nil {
			return head{}, err
		}
	}
}

// headEnd returns where the empty line that ends a head ends, or 0. It refuses
// a line feed without its carriage return as soon as it comes, since no more
// might ever come.
func headEnd(b []byte, from int) (int, error) {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0, nil
		}
		i += from
		if i == 0 || b[i-1] != '\r' {
			return 0, &FramingError{"lines that do not end in CR LF"}
		}
		if i >= 3 && b[i-2] == '\n' || i == 1 {
			return i + 1, nil
		}
		from = i + 1
	}
}

// makeRoom moves what is unread to the front, or doubles the buffer up to limit
// when it is full of unread bytes.
func (cn *conn) makeRoom(limit int) {
	if cn.r == 0 {
		grown := make([]byte, min(2*len(cn.buf), limit))
		copy(grown, cn.buf[:cn.w])
		cn.buf = grown
		return
	}
	cn.w = copy(cn.buf, cn.buf[cn.r:cn.w])
	cn.r = 0
}

// fill reads once into the free end of the buffer.
func (cn *conn) fill() error {
	n, err := cn.read(cn.buf[cn.w:])
	cn.w += n
	return err
}

// read reads at least one byte, or fails.
func (cn *conn) read(p []byte) (int, error) {
	n, err := cn.nc.Read(p)
	if n > 0 {
		cn.answered = true
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return 0, cn.ioError(err)
}

// finish ends the exchange. The connection is kept when reuse says that the
// answer ended as framed, and the request was sent to its end.
func (cn *conn) finish(reuse bool) {
	if cn.writing != nil {
		select {
		case err := <-cn.writing:
			reuse = reuse && err == nil
		default:
			reuse = false
			cn.close()
			<-cn.writing //nolint:errcheck // the connection is not kept, whatever it says
		}
		cn.writing = nil
	}
	if cn.stop() {
		cn.interrupted.Done()
	} else {
		// The context has ended: the deadline may be in the past for good.
		cn.interrupted.Wait()
		reuse = false
	}
	clear(cn.vec)
	cn.bufs, cn.ctx, cn.stop = nil, nil, nil
	if !reuse || cn.r != cn.w || cn.tls && cn.decrypted() {
		cn.close()
		return
	}
	if err := cn.nc.SetDeadline(time.Time{}); err != nil {
		cn.close()
		return
	}
	cn.r, cn.w = 0, 0
	if len(cn.buf) > firstBuffer {
		cn.buf = make([]byte, firstBuffer)
	}
	cn.client.checkin(cn)
}

// decrypted reports whether the TLS layer holds bytes behind the answer's end, in
// the same record or in one that was read along: readable cannot see them, for
// they have left the socket, and they must not become the next answer's beginning.
// A past deadline lets the layer give what it holds and keeps it off the socket.
func (cn *conn) decrypted() bool {
	if cn.nc.SetReadDeadline(longAgo) != nil {
		return true // a connection that takes no deadline is not kept
	}
	n, err := cn.nc.Read(cn.buf[:1])
	return n > 0 || !isTimeout(err)
}

// abandon ends an exchange whose start has failed.
func (cn *conn) abandon() {
	if cn.stop == nil {
		cn.close()
		return
	}
	cn.finish(false)
}

package h1

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// Config is what a Client needs.
type Config struct {
	// Dial makes TCP connections to Addr; required.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Addr is host:port of the one origin.
	Addr string
	// TLS is nil for plain HTTP; otherwise it gives the configuration of one new
	// connection, which must name the server.
	TLS func() *tls.Config
	// Host and Target are the Host field and the request target of every request.
	Host, Target string
	// Fields are sent with every request, before the request's own.
	Fields []Field
	// MaxIdle is how many connections are kept; at least 1.
	MaxIdle int
	// IdleTimeout is how long one is kept unused; above 0.
	IdleTimeout time.Duration
	// MaxAge is how old a connection may be when it is used again, so that a
	// name's new addresses are learned; above 0.
	MaxAge time.Duration
}

// Request is one POST.
type Request struct {
	// Fields are the request's own header fields, without those of framing.
	Fields []Field
	// Body is sent as it is, slice after slice; none may change before the
	// Response is closed or Do has failed.
	Body [][]byte
	// Size is the length of Body in bytes.
	Size int64
	// Fresh asks for a connection that has not been used before.
	Fresh bool
	// Addr is dialled instead of the origin's when it is not empty; it goes with
	// Fresh, so that a retry goes where the first attempt went.
	Addr string
}

// Client sends requests to one origin. It is safe for concurrent use.
type Client struct {
	cfg  Config
	head []byte

	mu     sync.Mutex
	idle   []*conn // the one used last is at the end
	closed bool
}

// New makes a client; it dials nothing yet. It fails when a configured field
// cannot be sent.
func New(cfg Config) (*Client, error) {
	head := append([]byte("POST "), cfg.Target...)
	head = append(head, " HTTP/1.1\r\n"...)
	var err error
	for _, f := range append([]Field{{"Host", cfg.Host}}, cfg.Fields...) {
		if head, err = appendField(head, f.Name, f.Value); err != nil {
			return nil, err
		}
	}
	return &Client{cfg: cfg, head: head}, nil
}

// Do sends a request and returns the head of its answer. The Response must be
// closed. Errors are *DialError, *LostError, *FramingError or the context's own;
// after an error nothing of the request is read any more. A context without a
// deadline waits for ever.
func (c *Client) Do(ctx context.Context, r *Request) (*Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cn, err := c.checkout(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := cn.start(ctx, r); err != nil {
		cn.abandon()
		return nil, err
	}
	return &cn.resp, nil
}

// checkout returns an idle connection that still looks alive, or a new one.
func (c *Client) checkout(ctx context.Context, r *Request) (*conn, error) {
	now := time.Now()
	for {
		c.mu.Lock()
		if r.Fresh || len(c.idle) == 0 {
			c.mu.Unlock()
			return c.connect(ctx, r.Addr)
		}
		last := len(c.idle) - 1
		cn := c.idle[last]
		c.idle[last] = nil
		c.idle = c.idle[:last]
		c.mu.Unlock()
		if c.usable(cn, now) {
			cn.used = true
			return cn, nil
		}
		cn.close()
	}
}

func (c *Client) usable(cn *conn, now time.Time) bool {
	return now.Sub(cn.born) < c.cfg.MaxAge && now.Sub(cn.since) < c.cfg.IdleTimeout && !cn.readable()
}

func (c *Client) connect(ctx context.Context, addr string) (*conn, error) {
	if addr == "" {
		addr = c.cfg.Addr
	}
	raw, err := c.cfg.Dial(ctx, "tcp", addr)
	if err != nil {
		if cause := ctx.Err(); cause != nil {
			return nil, cause
		}
		return nil, &DialError{err}
	}
	nc := raw
	if c.cfg.TLS != nil {
		t := tls.Client(raw, c.cfg.TLS())
		if err := t.HandshakeContext(ctx); err != nil {
			// The handshake has failed; how closing goes does not matter any more.
			_ = raw.Close()
			if cause := ctx.Err(); cause != nil {
				return nil, cause
			}
			return nil, &DialError{err}
		}
		nc = t
	}
	return newConn(c, nc, raw), nil
}

// checkin keeps a connection whose exchange has ended as framed.
func (c *Client) checkin(cn *conn) {
	now := time.Now()
	cn.since = now
	c.mu.Lock()
	if c.closed || len(c.idle) >= c.cfg.MaxIdle || now.Sub(cn.born) >= c.cfg.MaxAge {
		c.mu.Unlock()
		cn.close()
		return
	}
	c.idle = append(c.idle, cn)
	c.mu.Unlock()
}

// Prune closes idle connections that are past their time or dead. It is called
// from time to time, so that a worker without traffic holds no connections.
func (c *Client) Prune() {
	now := time.Now()
	c.mu.Lock()
	kept, dead := c.idle[:0], []*conn(nil)
	for _, cn := range c.idle {
		if c.usable(cn, now) {
			kept = append(kept, cn)
		} else {
			dead = append(dead, cn)
		}
	}
	clear(c.idle[len(kept):])
	c.idle = kept
	c.mu.Unlock()
	for _, cn := range dead {
		cn.close()
	}
}

// Idle returns how many connections are kept unused.
func (c *Client) Idle() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.idle)
}

// Close closes idle connections at once and those in use when their exchange
// ends. A Do that comes later still works, over a connection that is not kept:
// a request that began before a worker's record changed may finish.
func (c *Client) Close() {
	c.mu.Lock()
	idle := c.idle
	c.idle, c.closed = nil, true
	c.mu.Unlock()
	for _, cn := range idle {
		cn.close()
	}
}

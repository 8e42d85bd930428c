package fanout

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// reconnect keeps a worker that came back from being avoided for long.
var reconnect = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
	MinConnectTimeout: 5 * time.Second,
}

// The windows for answers, in bytes: more than verdicts take over any usual round
// trip, and a bound on what a worker can make the gateway hold unread. Without
// fixed windows gRPC measures the path with a ping and its echo at every small
// call, which is a tenth of the call's cost.
const (
	streamWindow = 1 << 20
	connWindow   = 4 << 20
)

// grpcCarrier speaks muster.worker.v1.
type grpcCarrier struct {
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	creds  credentials.TransportCredentials
	target target
	codec  codec
	cfg    Config
	life   lifetime
	// decides is what the worker said last: whether it serves Decide.
	decides atomic.Bool

	mu     sync.Mutex
	conn   *grpcConn
	closed bool
}

// grpcConn is one connection with the calls on it. It stays with the address
// that it first connected to: a call that gRPC or the fleet repeats carries a
// token, which goes nowhere else.
type grpcConn struct {
	cc    *grpc.ClientConn
	born  time.Time
	calls int  // under the carrier's mu
	old   bool // to be closed when calls is 0

	mu    sync.Mutex
	addr  string
	err   error // of the last dial
	stale bool  // its address does not answer any more
}

func newGRPCCarrier(f *Fleet, t target) *grpcCarrier {
	c := &grpcCarrier{dial: f.deps.Dialer.DialContext, target: t, codec: newCodec(), cfg: f.cfg, creds: insecure.NewCredentials(), life: f}
	if t.tls && f.deps.TLS != nil {
		c.creds = f.deps.TLS.GRPC()
	} else if t.tls {
		c.creds = credentials.NewTLS(nil)
	}
	return c
}

// acquire returns a connection for one call.
func (c *grpcCarrier) acquire() (*grpcConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.conn; g != nil && (c.closed || g.isStale() || time.Since(g.born) >= c.cfg.MaxAge) {
		c.retire()
	}
	if c.conn == nil {
		g, err := c.connect()
		if err != nil {
			return nil, err
		}
		c.conn = g
	}
	c.conn.calls++
	return c.conn, nil
}

// retire lets the present connection end with its calls.
func (c *grpcCarrier) retire() {
	g := c.conn
	c.conn, g.old = nil, true
	if g.calls == 0 {
		g.shut()
	}
}

func (c *grpcCarrier) release(g *grpcConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g.calls--
	if g.calls == 0 && g.old {
		g.shut()
	}
	if c.closed && c.conn == g {
		c.retire()
	}
}

func (g *grpcConn) shut() {
	// It fails only when it is closed already.
	_ = g.cc.Close()
}

func (c *grpcCarrier) connect() (*grpcConn, error) {
	g := &grpcConn{born: time.Now()}
	cc, err := grpc.NewClient("passthrough:///"+c.target.addr,
		grpc.WithTransportCredentials(c.creds),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			nc, err := g.connect(ctx, c.dial, addr)
			if err == nil {
				go c.learn(g)
			}
			return nc, err
		}),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithConnectParams(reconnect),
		grpc.WithIdleTimeout(c.cfg.IdleTimeout),
		grpc.WithAuthority(c.target.host),
		grpc.WithUserAgent(userAgent),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connWindow),
	)
	if err != nil {
		return nil, err
	}
	g.cc = cc
	return g, nil
}

// connect dials the name once, and from then on the address that it led to.
func (g *grpcConn) connect(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), addr string) (net.Conn, error) {
	g.mu.Lock()
	addr = or(g.addr, addr)
	g.mu.Unlock()
	nc, err := dial(ctx, "tcp", addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err, g.stale = err, err != nil
	if err == nil {
		g.addr = nc.RemoteAddr().String()
	}
	return nc, err
}

func (g *grpcConn) dialError() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *grpcConn) isStale() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stale
}

func (c *grpcCarrier) prune() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil && c.conn.calls == 0 && time.Since(c.conn.born) >= c.cfg.MaxAge {
		c.retire()
	}
}

func (c *grpcCarrier) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.conn != nil {
		c.retire()
	}
}

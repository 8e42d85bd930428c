package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
)

// Limits of the HTTP listeners that nobody needs to configure.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// Route is one more handler of the API listener.
type Route struct {
	// Pattern is a ServeMux pattern, such as "/api/workers".
	Pattern string
	Handler http.Handler
	// Endpoint is the name under which it is counted.
	Endpoint string
}

// API is the handler of the API listener: GET /, the filter endpoint and the
// given routes. All but GET / needs a token, also to learn what is not there.
// Routes other than the filter are counted and drained; who may make their calls
// their handlers ask the gate themselves, because they answer problems. It panics
// over an endpoint that the gate's table does not have.
func API(version string, cfg FilterConfig, d FilterDeps, routes ...Route) http.Handler {
	mux := http.NewServeMux()
	filter := newFilterHandler(cfg, d)
	mux.Handle(http.MethodPost+" "+filterPath, filter)
	mux.Handle(filterPath, prompt(http.HandlerFunc(filter.refuseMethod)))
	d.Gate.must(infoPath)
	mux.Handle(infoPath, prompt(infoHandler(version, d.Snapshot)))
	for _, r := range routes {
		h := prompt(&counted{r.Handler, d.Drain, d.Metrics.endpoint(r.Endpoint)})
		mux.Handle(r.Pattern, h)
		bare, below := strings.CutSuffix(r.Pattern, "/")
		if below && !slices.ContainsFunc(routes, func(o Route) bool { return o.Pattern == bare }) {
			mux.Handle(bare, h) // else a ServeMux redirects to the path with the slash
		}
	}
	nothing := prompt(notFound(d.Gate.guard("/")))
	mux.Handle("/", nothing)
	return &plainPaths{mux, nothing}
}

// plainPaths keeps a ServeMux from redirecting what is not written plainly, such as
// //x and /a/../x: a redirect tells strangers where something is, and has callers
// send their tokens again. No route takes such a path.
type plainPaths struct {
	mux   *http.ServeMux
	other http.Handler
}

func (p *plainPaths) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !plainPath(r.URL.EscapedPath()) {
		p.other.ServeHTTP(w, r)
		return
	}
	p.mux.ServeHTTP(w, r)
}

// plainPath reports whether a path is written as a route's: rooted, and without
// empty segments and dots.
func plainPath(s string) bool {
	if s == "" || s[0] != '/' {
		return false
	}
	clean := path.Clean(s)
	return clean == s || len(clean)+1 == len(s) && s[len(s)-1] == '/'
}

// counted counts a route's requests and takes part in draining.
type counted struct {
	next  http.Handler
	drain *Drain
	m     *endpointMetrics
}

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	if err := c.drain.Begin(); err != nil {
		e := fault.From(err)
		e.WriteProblem(w)
		c.m.done(e.Kind.HTTPStatus(), start)
		return
	}
	defer c.drain.End()
	rec := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
	c.next.ServeHTTP(rec, r)
	c.m.done(rec.status, start)
}

// statusRecorder remembers the status of an answer.
type statusRecorder struct {
	http.ResponseWriter
	status int
	wrote  bool
}

func (s *statusRecorder) WriteHeader(status int) {
	if !s.wrote && status >= http.StatusOK {
		s.status, s.wrote = status, true
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *statusRecorder) Write(p []byte) (int, error) {
	s.wrote = true
	return s.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// HTTPServer is one HTTP listener.
type HTTPServer struct {
	srv  *http.Server
	ln   net.Listener
	done chan error
}

// ListenHTTP opens a listener, over TLS when tlsConfig is not nil. Serve starts
// to answer.
func ListenHTTP(ctx context.Context, addr string, tlsConfig *tls.Config, h http.Handler, log *slog.Logger) (*HTTPServer, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, listenError(addr, err)
	}
	if tlsConfig != nil {
		cfg := tlsConfig.Clone()
		cfg.NextProtos = []string{"h2", "http/1.1"}
		ln = tls.NewListener(ln, cfg)
	}
	return &HTTPServer{
		ln:   ln,
		done: make(chan error, 1),
		srv: &http.Server{
			Handler: h, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
			// OPTIONS * is asked like everything else.
			DisableGeneralOptionsHandler: true,
		},
	}, nil
}

func listenError(addr string, err error) error {
	return fmt.Errorf("cannot listen on %s (is another process using the port?): %w", addr, err)
}

// Addr is the address that the listener really has.
func (s *HTTPServer) Addr() net.Addr { return s.ln.Addr() }

// Serve answers in the background until Close or Shutdown.
func (s *HTTPServer) Serve() {
	go func() {
		err := s.srv.Serve(s.ln)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		s.done <- err
	}()
}

// Failed delivers the error that ended the server by itself, or nil after it
// was closed.
func (s *HTTPServer) Failed() <-chan error { return s.done }

// Shutdown closes the listener, waits for what is in flight until ctx ends, and
// then closes every connection. It may be called again, and before Serve.
func (s *HTTPServer) Shutdown(ctx context.Context) error {
	err := s.srv.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.srv.Close())
	}
	return errors.Join(err, closeListener(s.ln))
}

// closeListener closes a listener that its server may have closed already.
func closeListener(ln net.Listener) error {
	if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

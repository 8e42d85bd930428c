package worker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

// The stages of a worker's life, in order.
const (
	serving  int32 = iota
	leaving        // not ready, still taking requests
	refusing       // answering new requests 503 draining
)

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
)

// Worker is a configured worker. Make it with New, then call Run once, or use
// Handler and Close.
type Worker struct {
	cfg      Config
	verifier Verifier
	close    func()
	slots    chan struct{}
	stage    atomic.Int32
	metrics  *metrics
	ops      http.Handler
	health   *health.Server
	grpc     *grpc.Server
}

// Serve runs a worker until ctx ends or the process gets SIGTERM or SIGINT, then
// drains: readiness goes off at once, requests are taken for DrainGrace more,
// those in flight finish within DrainTimeout. A second signal ends the process at
// once. The result is nil after a clean end, and an error listing every mistake
// when the configuration is wrong.
func Serve(ctx context.Context, cfg Config) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	// Once draining, signals have their default effect again: the second one kills.
	context.AfterFunc(ctx, stop)
	w, err := New(ctx, cfg)
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// New checks the configuration, reports all its mistakes at once, and starts
// fetching the issuer's keys; an issuer that is down does not stop it. ctx's end
// does not end the worker, Run or Close does.
func New(ctx context.Context, cfg Config) (*Worker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	w := &Worker{
		cfg: cfg, verifier: cfg.Verifier, close: func() {},
		slots:   make(chan struct{}, cfg.MaxConcurrent),
		metrics: newMetrics(cfg.UUID, cfg.Version),
	}
	if w.verifier == nil {
		v, err := token.NewVerifier(context.WithoutCancel(ctx), token.Config{
			Issuers: []token.Issuer{{
				Issuer: cfg.Auth.Issuer, Audience: cfg.Auth.Audience,
				DiscoveryURL: cfg.Auth.DiscoveryURL, MapRoles: true,
			}},
			CAFile: cfg.Auth.CAFile,
			Logger: cfg.Logger,
		})
		if err != nil {
			return nil, fmt.Errorf("worker: Auth: %w", err)
		}
		w.verifier, w.close = v, v.Close
	}
	w.ops = w.opsHandler()
	w.health, w.grpc = w.newGRPC()
	return w, nil
}

// Close releases what New took. It is only for workers that were not Run.
func (w *Worker) Close() {
	w.grpc.Stop()
	w.close()
}

// Run serves until ctx ends, drains, and releases everything. It may be called
// once.
func (w *Worker) Run(ctx context.Context) error {
	defer w.Close()
	l, err := w.listen(ctx)
	if err != nil {
		return err
	}
	// One slot per server, so that none of them waits for the reader.
	failed := make(chan error, 3)
	var group sync.WaitGroup
	defer group.Wait()
	rest, ops := w.start(l, &group, failed)

	addrs := l.addresses()
	w.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "worker listening", slog.String("uuid", w.cfg.UUID),
		slog.String("http", addrs.REST), slog.String("grpc", addrs.GRPC), slog.String("ops", addrs.Ops), w.enrolsAt())
	if w.cfg.Listening != nil {
		w.cfg.Listening(addrs)
	}
	enrolling, stopEnrolling := context.WithCancel(ctx)
	defer stopEnrolling()
	if w.cfg.Enrol != nil {
		group.Go(func() { w.enrol(enrolling) })
	}
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stopEnrolling()
	return errors.Join(err, w.drain(context.WithoutCancel(ctx), rest, ops))
}

// start begins serving on every listener.
func (w *Worker) start(l listeners, group *sync.WaitGroup, failed chan<- error) (rest, ops *http.Server) {
	serve := func(name string, f func() error) {
		group.Go(func() {
			if err := f(); err != nil && !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("worker: serve %s: %w", name, err)
			}
		})
	}
	rest, ops = w.httpServer(w.Handler()), w.httpServer(w.ops)
	if l.rest != nil {
		serve("REST", func() error { return rest.Serve(l.rest) })
	}
	if l.ops != nil {
		serve("operations", func() error { return ops.Serve(l.ops) })
	}
	if l.grpc != nil {
		serve("gRPC", func() error { return w.grpc.Serve(l.grpc) })
	}
	return rest, ops
}

func (w *Worker) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(w.cfg.Logger.Handler(), slog.LevelWarn),
	}
}

// drain ends serving in order; ctx has no end of its own.
func (w *Worker) drain(ctx context.Context, rest, ops *http.Server) error {
	w.stage.Store(leaving)
	w.health.Shutdown()
	w.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "worker draining")
	if w.cfg.DrainGrace > 0 {
		grace := time.NewTimer(w.cfg.DrainGrace)
		<-grace.C
	}
	w.stage.Store(refusing)
	ctx, cancel := context.WithTimeout(ctx, max(w.cfg.DrainTimeout, 0))
	defer cancel()
	var group sync.WaitGroup
	var restErr error
	group.Go(func() { restErr = shutdown(ctx, "REST", rest) })
	group.Go(func() { w.stopGRPC(ctx) })
	group.Wait()
	return errors.Join(restErr, shutdown(ctx, "operations", ops))
}

func shutdown(ctx context.Context, name string, s *http.Server) error {
	if err := s.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("worker: drain %s: requests were still in flight: %w", name, err), s.Close())
	}
	return nil
}

func (w *Worker) stopGRPC(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.grpc.GracefulStop()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		w.grpc.Stop()
		<-done
	}
}

// admit takes a place among the requests in work, or says why there is none.
func (w *Worker) admit() (release func(), err error) {
	if w.stage.Load() == refusing {
		return nil, fault.New(fault.Unavailable, "draining", "this replica is going away").After(time.Second)
	}
	select {
	case w.slots <- struct{}{}:
	default:
		return nil, fault.New(fault.Unavailable, "busy",
			"this replica has %d requests in work and takes no more", cap(w.slots)).After(time.Second)
	}
	w.metrics.inflight.Inc()
	return func() {
		w.metrics.inflight.Dec()
		<-w.slots
	}, nil
}

// listeners are the open listeners; nil where one is off.
type listeners struct{ rest, grpc, ops net.Listener }

func (w *Worker) listen(ctx context.Context) (l listeners, err error) {
	var lc net.ListenConfig
	open := func(name, addr string) net.Listener {
		if err != nil || addr == Off || addr == "" {
			return nil
		}
		ln, e := lc.Listen(ctx, "tcp", addr)
		if e != nil {
			err = fmt.Errorf("worker: open the %s listener on %s: %w", name, addr, e)
			return nil
		}
		return ln
	}
	l.rest = open("REST", w.cfg.Addr)
	l.grpc = open("gRPC", w.cfg.GRPCAddr) // TLS is among the gRPC server's own options
	l.ops = open("operations", w.cfg.OpsAddr)
	if err != nil {
		l.close()
		return listeners{}, err
	}
	if l.rest != nil && w.cfg.TLS != nil {
		secure := w.cfg.TLS.Clone()
		secure.NextProtos = []string{"http/1.1"}
		l.rest = tls.NewListener(l.rest, secure)
	}
	return l, nil
}

func (l listeners) close() {
	for _, ln := range []net.Listener{l.rest, l.grpc, l.ops} {
		if ln != nil {
			// Nothing was accepted yet; the error that brought us here counts.
			_ = ln.Close()
		}
	}
}

func (l listeners) addresses() Addresses {
	text := func(ln net.Listener) string {
		if ln == nil {
			return ""
		}
		return ln.Addr().String()
	}
	return Addresses{REST: text(l.rest), GRPC: text(l.grpc), Ops: text(l.ops)}
}

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/muster-fleet/muster/gateway/config"
)

// Streams are where a gateway writes: the line that tells its addresses goes to
// Out, the log to Err.
type Streams struct {
	Out io.Writer
	Err io.Writer
}

// Serve runs a gateway until ctx ends, and drains it then. It returns nil after
// an orderly end. A mistake in the configuration, a store that another process
// holds, or a taken port is an error before anything is served. version is what
// GET / answers.
func Serve(ctx context.Context, cfg config.Config, version string, s Streams) error {
	log, err := newLogger(cfg.Log, s.Err)
	if err != nil {
		return err
	}
	g, err := build(ctx, cfg, version, log)
	if err != nil {
		return err
	}
	return g.run(ctx, s.Out, "")
}

// listening is the line on standard output that scripts wait for.
type listening struct {
	Listening addresses `json:"listening"`
}

type addresses struct {
	HTTP   string `json:"http"`
	GRPC   string `json:"grpc"`
	Ops    string `json:"ops"`
	Issuer string `json:"issuer,omitempty"`
}

// announce prints the addresses that the listeners really have.
func (g *gateway) announce(out io.Writer, issuer string) error {
	line := listening{addresses{
		HTTP: g.http.Addr().String(), GRPC: g.grpc.Addr().String(), Ops: g.ops.Addr().String(), Issuer: issuer,
	}}
	if err := json.NewEncoder(out).Encode(line); err != nil {
		return fmt.Errorf("cannot print the listening line: %w", err)
	}
	return nil
}

// run serves until told to stop, then drains and takes everything down.
func (g *gateway) run(ctx context.Context, out io.Writer, issuer string) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g.start(background)
	g.warnAtStart()
	err := g.announce(out, issuer)
	if err == nil {
		err = g.untilStopped(ctx)
	}
	return errors.Join(err, g.end(background, stop))
}

// untilStopped returns nil when asked to end, or the error of a listener.
func (g *gateway) untilStopped(ctx context.Context) error {
	select {
	case <-ctx.Done():
		g.log.Info("shutting down", "grace", g.cfg.Drain.Grace.String(), "timeout", g.cfg.Drain.Timeout.String())
		return nil
	case err := <-g.http.Failed():
		return fmt.Errorf("the HTTP listener ended: %w", err)
	case err := <-g.grpc.Failed():
		return fmt.Errorf("the gRPC listener ended: %w", err)
	case err := <-g.ops.Failed():
		return fmt.Errorf("the operations listener ended: %w", err)
	}
}

const (
	// closeTimeout bounds what follows the drain: idle connections, the last
	// traces, the store.
	closeTimeout = 5 * time.Second
	// cutAfter is what connections get whose requests did not end in time.
	cutAfter = time.Second
)

// end drains and closes everything, the operations listener last.
func (g *gateway) end(background context.Context, stop context.CancelFunc) error {
	g.grpc.NotReady()
	if left := g.drain.Shut(background, g.cfg.Drain.Grace, g.cfg.Drain.Timeout); left > 0 {
		g.log.Warn("requests were still in flight at the end and are cut off", slog.Int("requests", left))
	}
	servers, cut := context.WithTimeout(background, cutAfter)
	defer cut()
	err := g.closeListeners(servers)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // told above
	}
	stop()
	g.wg.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(background), closeTimeout)
	defer cancel()
	return errors.Join(err, g.close(ctx))
}

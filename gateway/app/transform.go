package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/edge"
	"github.com/muster-fleet/muster/gateway/edge/transformations"
	"github.com/muster-fleet/muster/gateway/transform"
)

// buildTransform makes the engine that carries out the runs of rule
// transformations. It stops when the gateway begins to drain: what its workers
// would post is refused from then on, and another replica takes the runs up.
func (g *gateway) buildTransform(context.Context) error {
	engine, err := transform.New(transform.Config{SecretsDir: g.cfg.Transformations.SecretsDir}, transform.Deps{
		Registry: g.registry, Realm: g.directory, Verifier: g.verifier, Dialer: g.dialer, TLS: g.upstream.Config,
		Logger: g.log, Metrics: g.metrics, MayWrite: g.mayWriteRules,
	})
	if err != nil {
		return err
	}
	g.background = append(g.background, func(ctx context.Context) {
		ctx, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer stop()
			select {
			case <-g.drain.Ending():
			case <-ctx.Done():
			}
		}()
		engine.Run(ctx)
		stop()
		<-ended
	})
	return nil
}

// transformations are the routes of the API of rule transformations.
func (g *gateway) transformations() []edge.Route {
	handler := transformations.Handler(transformations.Deps{
		Registry: g.registry, Gate: g.gate.Guard, Logger: g.log, Ending: g.drain.Ending(),
	})
	return []edge.Route{
		{Pattern: transformations.Root, Handler: handler, Endpoint: "rule-transformations"},
		{Pattern: transformations.Root + "/", Handler: handler, Endpoint: "rule-transformations"},
	}
}

// devSecrets makes the directory of the steps' secrets, with that of the
// development issuer's loader client, which is its name.
func devSecrets(dataDir string) (string, error) {
	dir := filepath.Join(dataDir, "secrets")
	err := errors.Join(os.MkdirAll(dir, 0o700),
		os.WriteFile(filepath.Join(dir, devissuer.ClientLoader), []byte(devissuer.ClientLoader+"\n"), 0o600))
	if err != nil {
		return "", fmt.Errorf("secrets of rule transformations: %w", err)
	}
	return dir, nil
}

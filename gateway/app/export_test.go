package app

import (
	"context"
	"log/slog"

	"github.com/muster-fleet/muster/gateway/config"
	"github.com/muster-fleet/muster/gateway/edge"
)

// Mounted builds a gateway that answers nothing yet, for tests to look at what its
// listeners would answer.
func Mounted(ctx context.Context, cfg config.Config, log *slog.Logger) (api, ops *edge.HTTPServer, end func(context.Context) error, err error) {
	g, err := build(ctx, cfg, "test", log)
	if err != nil {
		return nil, nil, nil, err
	}
	return g.http, g.ops, g.abandon, nil
}

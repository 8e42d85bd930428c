package fleet

import (
	"context"
	"log/slog"
	"time"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/registry"
)

// Changes are the changes that the API makes; *registry.Service makes them.
type Changes interface {
	Register(ctx context.Context, actor registry.Actor, in registry.RegisterInput, dryRun bool) (registry.Worker, error)
	Update(ctx context.Context, actor registry.Actor, id registry.WorkerID, p registry.Patch, ifMatch string) (registry.Changed, error)
	Deregister(ctx context.Context, actor registry.Actor, id registry.WorkerID) (warning string, err error)
	RecordConformance(ctx context.Context, actor registry.Actor, id registry.WorkerID, c registry.Conformance) (registry.Worker, error)
}

// Snapshots are what the API reads; *registry.Service has them.
type Snapshots interface {
	Snapshot() *registry.Snapshot
	Watch(ctx context.Context) <-chan *registry.Snapshot
}

// Registry is both; *registry.Service is one.
type Registry interface {
	Changes
	Snapshots
}

// Prober knows how workers stand; *probe.Prober is one.
type Prober interface {
	Standing(id registry.WorkerID) registry.Standing
	ProbeNow(ctx context.Context, actor registry.Actor, id registry.WorkerID) (registry.Standing, error)
}

// Deps are what the API works with. All are required, except that the gRPC side
// needs no Gate: its listener guards the calls and leaves the caller in their
// context.
type Deps struct {
	Registry Registry
	Prober   Prober
	Gate     rest.Gate
	Logger   *slog.Logger
	// Clock tells the time that registrations are compared with; it must be the
	// registry's. nil means time.Now.
	Clock func() time.Time
	// Ending is closed when the gateway begins to drain: watches, which would
	// otherwise outlast every drain, end then. nil when there is no draining.
	Ending <-chan struct{}
	// BodyDeadline bounds how long a body may take to come in; 0 means 10 s.
	BodyDeadline time.Duration
}

func (d *Deps) now() time.Time {
	if d.Clock == nil {
		return time.Now()
	}
	return d.Clock()
}

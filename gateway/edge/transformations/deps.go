package transformations

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
)

// Root is the path below which everything of this API lives.
const Root = "/api/rule-transformations"

// Registry is what the API reads and changes; *registry.Service is one.
type Registry interface {
	Steps
	Runs
	// Watch tells that something has changed, a run among other things.
	Watch(ctx context.Context) <-chan *registry.Snapshot
}

// Steps are the steps' configuration.
type Steps interface {
	Step(ctx context.Context, name string) (*run.Step, error)
	Steps(ctx context.Context, after string, limit int) ([]*run.Step, error)
	PutStep(ctx context.Context, actor registry.Actor, in registry.StepInput, ifMatch string) (step run.Step, created bool, err error)
	DeleteStep(ctx context.Context, actor registry.Actor, name, ifMatch string) (*run.Run, error)
}

// Runs are the steps' runs.
type Runs interface {
	StartRun(ctx context.Context, actor registry.Actor, in registry.StartInput) (run.Run, error)
	CancelRun(ctx context.Context, actor registry.Actor, step string, id run.ID) (run.Run, error)
	Run(ctx context.Context, step string, id run.ID) (run.Run, error)
	Runs(ctx context.Context, step string, before run.ID, limit int) ([]*run.Run, error)
	RunLog(ctx context.Context, id run.ID, after int64, limit int) ([]run.Line, error)
}

// Deps are what the API works with; all are required.
type Deps struct {
	Registry Registry
	Gate     rest.Gate
	Logger   *slog.Logger
	// Ending is closed when the gateway begins to drain: calls that wait answer
	// then what there is.
	Ending <-chan struct{}
}

// api answers the calls.
type api struct {
	Deps
	rest rest.API
}

func newAPI(d Deps) *api {
	return &api{Deps: d, rest: rest.API{Gate: d.Gate, Logger: d.Logger}}
}

// Handler answers everything at Root and below it.
func Handler(d Deps) http.Handler {
	a := newAPI(d)
	mux := http.NewServeMux()
	a.rest.Mount(mux, a.operations())
	mux.Handle("/", a.rest.NotFound())
	return mux
}

// Describe adds the calls to an OpenAPI document.
func Describe(doc *huma.OpenAPI) {
	ops := newAPI(Deps{}).operations()
	for i := range ops {
		if ops[i].ID == idCancel {
			// net/http's patterns cannot say it.
			ops[i].Path += cancelSuffix
		}
	}
	rest.Describe(doc, "rule transformations", ops)
}

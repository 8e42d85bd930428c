package accessrules

import (
	"context"
	"log/slog"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/gateway/pipeline"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
)

// Registry is what the API reads and changes; *registry.Service is one.
type Registry interface {
	Snapshots
	Posts
	Records
}

// Snapshots are what the API reads.
type Snapshots interface {
	Snapshot() *registry.Snapshot
	StagedRules(ctx context.Context, f rule.Filter, after registry.StagedPlace, limit int) (
		all []registry.StagedRule, next *registry.StagedPlace, err error)
}

// Posts are the changes of many rules at once, and of the model.
type Posts interface {
	PostRules(ctx context.Context, actor registry.Actor, p registry.RulePost) (registry.RulePosted, error)
	CommitRules(ctx context.Context, actor registry.Actor, c registry.RuleCommit) (registry.RulePosted, error)
	ReplaceModel(ctx context.Context, actor registry.Actor, m *rule.Model, rebind bool) (registry.ModelChange, error)
}

// Records are the changes of single rules.
type Records interface {
	PutRule(ctx context.Context, actor registry.Actor, id int64, r rule.Rule, ifMatch string) (rule.Rule, error)
	DeleteRule(ctx context.Context, actor registry.Actor, id int64, ifMatch string) error
	DeleteRulesOf(ctx context.Context, actor registry.Actor, of rule.Creator) (int, error)
}

// Judge applies rules; *pipeline.Filter is one.
type Judge interface {
	// Check decides by the rules alone, with explanations.
	Check(ctx context.Context, sub rule.Subjects, req *element.Request) (*pipeline.Decision, error)
	// Function reports whether a rule grants a function.
	Function(sub rule.Subjects, id rule.ID) bool
}

// Deps are what the API works with; all are required.
type Deps struct {
	Registry Registry
	Judge    Judge
	Gate     rest.Gate
	Logger   *slog.Logger
	// MaxBody bounds the bodies of posts, models and checks, in bytes.
	MaxBody int64
}

package registry

import (
	"context"
	"time"

	"github.com/muster-fleet/muster/registry/run"
)

// StepReader reads the steps of rule transformations.
type StepReader interface {
	// Step returns one, or ErrNotFound.
	Step(ctx context.Context, name string) (*run.Step, error)
	// Steps returns at most limit steps with a name above after, ordered by name.
	Steps(ctx context.Context, after string, limit int) ([]*run.Step, error)
}

// RunReader reads runs.
type RunReader interface {
	// Run returns one, or ErrNotFound.
	Run(ctx context.Context, id run.ID) (*run.Run, error)
	// Runs returns at most limit runs of a step, the newest first; those before an
	// id, unless that is empty.
	Runs(ctx context.Context, step string, before run.ID, limit int) ([]*run.Run, error)
	// OpenRuns returns all runs that have not ended, the oldest first, and who
	// carries out those under way.
	OpenRuns(ctx context.Context) ([]*run.Run, []Lease, error)
	// RunLog returns at most limit lines with a number above after.
	RunLog(ctx context.Context, id run.ID, after int64, limit int) ([]run.Line, error)
}

// RunKeeper keeps what belongs to a run under way and is nobody's wish: it is
// neither audited nor a new revision, and waits for no other change.
type RunKeeper interface {
	// RenewLease shows that owner still carries the run out; ErrNotFound when it
	// is no longer the owner's.
	RenewLease(ctx context.Context, id run.ID, owner string) error
	// AppendRunLog appends lines, whose numbers it gives, until there are
	// run.MaxLines; further ones are dropped. ErrNotFound when there is no run.
	AppendRunLog(ctx context.Context, id run.ID, lines []run.Line) error
}

// Lease says which process carries a run out. The beat changes with each renewal;
// whoever sees it stand still for long enough, by a clock of its own, may take
// the run from the owner. No two clocks are compared.
type Lease struct {
	Run   run.ID
	Owner string
	Beat  int64
}

// RunKey is what an idempotency key stands for.
type RunKey struct {
	// Issuer and Subject are whose key it is.
	Issuer, Subject string
	Key             string
	// Params are the parameters that it was used with.
	Params string
	Run    run.ID
	At     time.Time
}

// TokenHolder is the run whose token something was posted with.
type TokenHolder struct {
	Run  run.ID
	Step string
	// Ended says that the token's attempt is over: what is posted is refused.
	Ended bool
}

// StepTx is what a transaction does with steps.
type StepTx interface {
	StepReader
	// PutStep adds a step, or replaces the one of the same name.
	PutStep(ctx context.Context, s *run.Step) error
	// DeleteStep removes a step; ErrNotFound when there is none.
	DeleteStep(ctx context.Context, name string) error
}

// RunTx is what a transaction does with runs.
type RunTx interface {
	// RunForUpdate returns a run, or ErrNotFound.
	RunForUpdate(ctx context.Context, id run.ID) (*run.Run, error)
	// OpenRunsForUpdate returns the runs that have not ended, the oldest first.
	OpenRunsForUpdate(ctx context.Context) ([]*run.Run, error)
	InsertRun(ctx context.Context, r *run.Run) error
	// UpdateRun stores all of a run but its counts and lines.
	UpdateRun(ctx context.Context, r *run.Run) error
	// ForgetRuns removes the ended runs of a step that were queued before a time,
	// but the keep newest, with all that belongs to them.
	ForgetRuns(ctx context.Context, step string, keep int, before time.Time) error
}

// RunTokenTx is what a transaction does with the tokens of attempts.
type RunTokenTx interface {
	// PutRunToken notes the digest of an attempt's token.
	PutRunToken(ctx context.Context, d run.Digest, id run.ID, attempt int) error
	// RunByToken returns whose token it is, or ErrNotFound.
	RunByToken(ctx context.Context, d run.Digest) (TokenHolder, error)
	// AddRunCounts adds to the counts of a run.
	AddRunCounts(ctx context.Context, id run.ID, c run.Counts) error
}

// RunKeyTx is what a transaction does with idempotency keys.
type RunKeyTx interface {
	// RunKey returns what a key stands for, or ErrNotFound. It may be too old.
	RunKey(ctx context.Context, issuer, subject, key string) (RunKey, error)
	// PutRunKey stores a key, in place of an older one, and forgets keys older
	// than run.KeyLife.
	PutRunKey(ctx context.Context, k RunKey) error
}

// LeaseTx is what a transaction does with leases.
type LeaseTx interface {
	// Lease returns who carries a run out, or ErrNotFound.
	Lease(ctx context.Context, id run.ID) (Lease, error)
	// PutLease gives a run to an owner; it has none before.
	PutLease(ctx context.Context, l Lease) error
	// DeleteLease takes it back; there need not be one.
	DeleteLease(ctx context.Context, id run.ID) error
}

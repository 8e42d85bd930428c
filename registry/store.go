package registry

import (
	"context"
	"errors"
	"time"

	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/registry/rule"
)

// Store keeps what is known. It is what the Service needs of a database, in
// roles; registry/store/duckdb and registry/store/postgres implement it and
// registry/store/storetest holds them equal. All methods are safe for
// concurrent use. Errors are *fault.Error with the codes store_unavailable and
// internal, or one of the Err values below.
type Store interface {
	Loader
	Writer
	Auditor
	AuditKeeper
	StepReader
	RunReader
	RunKeeper
	TableReader
	// Close releases everything; calls under way fail. Closing twice is fine.
	Close(ctx context.Context) error
}

// Loader reads the state for a snapshot.
type Loader interface {
	// Load returns what has changed after revision since; everything when since
	// is 0, when it is older than the store remembers deletions, or when it is
	// newer than the store, or when the store's audit log is not that of the last
	// Load or Write with other rows behind it (it was restored from another copy).
	Load(ctx context.Context, since Revision) (*Changes, error)
	// Changed pokes whenever another process may have changed the store; pokes
	// may be merged, lost and spurious. It is nil when there are no others.
	Changed() <-chan struct{}
	// StagedRules returns at most limit rules of uncommitted generations behind a
	// place, in the order of their places.
	StagedRules(ctx context.Context, after StagedPlace, limit int) ([]StagedRule, error)
}

// Writer changes the store.
type Writer interface {
	// Write runs fn in one transaction and commits it, which makes it durable,
	// at the revision returned. Transactions run one after the other, in the
	// order of their revisions, over all processes. When fn returns an error
	// everything is rolled back and the error is returned as it is. A failed
	// commit is store_unavailable; the change may then be stored all the same. So
	// is a store that was replaced (ErrReplaced), which nothing is changed in.
	Write(ctx context.Context, fn func(ctx context.Context, tx Tx) error) (Revision, error)
	// CheckWritable commits a row that nobody reads.
	CheckWritable(ctx context.Context) error
}

// Auditor reads the audit log.
type Auditor interface {
	// AuditTrail returns at most limit entries with a number above after, in
	// the order of their numbers.
	AuditTrail(ctx context.Context, after int64, limit int) ([]AuditEntry, error)
}

// Tx is one transaction. It must not be used after the function that got it has
// returned, nor by two goroutines at once.
type Tx interface {
	WorkerTx
	RulesTx
	TransformationTx
	AccessTx
	TableTx
	StateTx
	// SetGateway stores the uuid under which this fleet's gateways answer.
	SetGateway(ctx context.Context, id WorkerID) error
	// Gateway returns that uuid; empty before it was set.
	Gateway(ctx context.Context) (WorkerID, error)
	AuditTx
}

// WorkerTx is what a transaction does with workers. A url is compared by its
// key, which NormalizeURL makes.
type WorkerTx interface {
	// Worker returns the record, or ErrNotFound.
	Worker(ctx context.Context, id WorkerID) (*Worker, error)
	// WorkerByURL returns the record with this url, or ErrNotFound.
	WorkerByURL(ctx context.Context, url string) (*Worker, error)
	// InsertWorker adds a record; ErrUUIDTaken or ErrURLTaken when its uuid or
	// url is there already, after which the transaction must be given up.
	InsertWorker(ctx context.Context, w *Worker) error
	// UpdateWorker replaces the record of the same uuid; ErrNotFound when there
	// is none, ErrURLTaken as above.
	UpdateWorker(ctx context.Context, w *Worker) error
	// DeleteWorker removes a record; ErrNotFound when there is none.
	DeleteWorker(ctx context.Context, id WorkerID) error
}

// RulesTx is what a transaction does with Graph Access Rules.
type RulesTx interface {
	RuleTx
	GenerationTx
}

// TransformationTx is what a transaction does with rule transformations.
type TransformationTx interface {
	StepTx
	RunTx
	RunTokenTx
	RunKeyTx
	LeaseTx
}

// StateTx is what a transaction knows of the state that it changes.
type StateTx interface {
	// Revision is the store's once the transaction is committed.
	Revision() Revision
	// Since is Loader.Load as the transaction sees it: what others committed after
	// revision since.
	Since(ctx context.Context, since Revision) (*Changes, error)
}

// AccessTx is what a transaction does with users, groups, memberships, grants and
// personal access tokens. What a request comes to is decided above it, over the
// snapshot.
type AccessTx interface {
	// ApplyAccess stores a change: what is put takes the place of what has the same
	// key, what is gone is removed and remembered for replicas that load what
	// changed. With a group go its members and grants, with a user their
	// memberships and tokens, none of which d lists. No key is both put and gone,
	// also not by way of what goes along.
	ApplyAccess(ctx context.Context, d *access.Delta) error
}

// RuleTx is what a transaction does with rules and the model. It is told what to
// store; what follows from a request is decided above it, over the snapshot.
type RuleTx interface {
	// NewRuleIDs takes n ids, n at least 1, of which the first is returned. Ids are
	// never given again once the transaction is committed.
	NewRuleIDs(ctx context.Context, n int) (first int64, err error)
	// AddRules stores rules with new ids and with names that no other rule has. What
	// takes the place of a deleted rule is added after that one was deleted.
	AddRules(ctx context.Context, rules []*rule.Packed) error
	// UpdateRule stores a rule's content and time in the place of what has its id;
	// ErrNotFound when there is none. Name and owner stay as they are.
	UpdateRule(ctx context.Context, r *rule.Packed) error
	// DeleteRules removes rules, each of which is there.
	DeleteRules(ctx context.Context, ids []int64) error
	// SetModel replaces the graph model; its revision is the transaction's.
	SetModel(ctx context.Context, m GraphModel) error
}

// GenerationTx is what a transaction does with generations: rules that are staged
// until they are committed together.
type GenerationTx interface {
	// Generations returns all that are known of a creator, oldest first.
	Generations(ctx context.Context, creator rule.Creator) ([]Generation, error)
	// OpenGenerations returns all creators' open ones that started before a time.
	OpenGenerations(ctx context.Context, before time.Time) ([]Generation, error)
	// PutGeneration stores a generation, in place of the one of its number; a
	// number of 0 is replaced by a new one. What is staged in one that is not open
	// goes.
	PutGeneration(ctx context.Context, g *Generation) error
	// Stage adds rules to an open generation. A name that is there already with the
	// same content and owner is left alone; names that are there with another are
	// returned, at most 100 of them, after which the transaction must be given up.
	Stage(ctx context.Context, number int64, rules []*rule.Packed) (clashes []string, err error)
	// Staged returns at most limit rules of a generation with names behind one, in
	// the order of their bytes. Their ids are 0.
	Staged(ctx context.Context, number int64, after string, limit int) ([]*rule.Packed, error)
}

// GraphModel is the stored model with what belongs to it.
type GraphModel struct {
	Model *rule.Model
	// Retired is what ids stood for that rules use and the model no longer has.
	Retired []rule.Binding
	// Revision is the store's, of the change that stored it.
	Revision Revision
}

// GenerationState is how far a generation is.
type GenerationState string

// The states of a generation. All but the first are final.
const (
	GenerationOpen       GenerationState = "open"
	GenerationCommitted  GenerationState = "committed"
	GenerationSuperseded GenerationState = "superseded"
)

// Generation is a set of rules sent in chunks, to take the place of all its
// creator's rules at once.
type Generation struct {
	// Number is given by the store, from 1 on, in the order of arrival.
	Number  int64
	Creator rule.Creator
	// ID is the creator's name for it.
	ID    string
	State GenerationState
	// StartedAt is when its first chunk came; EndedAt when it was committed or
	// superseded, else zero.
	StartedAt, EndedAt time.Time
	// Answer is what the commit answered, packed; nil before.
	Answer []byte
}

// StagedPlace is a place among staged rules, which are ordered by generation,
// then by the bytes of their names; the zero value is before all.
type StagedPlace struct {
	Generation int64
	Name       string
}

// StagedRule is a rule of an uncommitted generation.
type StagedRule struct {
	// Place continues a list behind this rule.
	Place StagedPlace
	// Generation is its creator's name for the generation, which came at Started.
	Generation string
	Started    time.Time
	Rule       rule.Rule
}

// What a transaction may find.
var (
	ErrNotFound  = errors.New("no such record")
	ErrUUIDTaken = errors.New("the uuid is taken")
	ErrURLTaken  = errors.New("the url is taken")
)

// ErrBusy is in the errors of Writer for a turn that did not come in time because of
// other changes of the same process: nothing is wrong with the store then.
var ErrBusy = errors.New("busy with other changes")

// ErrReplaced is in the error of a change for a store that is not the one that was
// read before: it was restored from another copy. The next Load reads all of it.
var ErrReplaced = errors.New("another copy than the one that was read")

// Changes is the difference between two revisions of the store.
type Changes struct {
	// Revision is the store's, at the moment of reading.
	Revision Revision
	// Full says that Workers and Rules are everything there is, instead of what
	// changed.
	Full    bool
	Gateway WorkerID
	Workers []*Worker
	// Deleted are uuids that are no longer there; empty when Full.
	Deleted []WorkerID
	// Rules are those that changed, or all; the order means nothing.
	Rules []*rule.Packed
	// DeletedRules hold ids that are no longer there, and none that are; empty when
	// Full.
	DeletedRules []rule.Span
	// Model is nil when it did not change, or, with Full, was never stored.
	Model *GraphModel
	// Access is what changed of users, groups, memberships, grants and tokens, or,
	// with Full, all of them; nil for nothing.
	Access *access.Delta
}

// AuditEntry is one row of the audit log.
type AuditEntry struct {
	// Number counts from 1 without gaps, in the order of commits.
	Number int64
	// ID is a UUIDv7.
	ID string
	// Revision is the store's, of the transaction that the row belongs to.
	Revision Revision
	At       time.Time
	Actor    Actor
	// Action is a stable name such as "worker.registered".
	Action string
	// Resource is what was changed, such as "worker:<uuid>".
	Resource string
	// Before and After are the record as JSON objects, nil where there was or is
	// none.
	Before, After []byte
	// Result is "ok" for a change that was made, else the code of what refused it.
	Result string
	// MAC chains the row to the one before; nil in rows from before the chain. KeyID
	// names its key; empty without one. Both are given by the store.
	MAC   []byte
	KeyID string
}

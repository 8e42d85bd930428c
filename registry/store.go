package registry

import (
	"context"
	"errors"
	"time"
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
	// Close releases everything; calls under way fail. Closing twice is fine.
	Close(ctx context.Context) error
}

// Loader reads the state for a snapshot.
type Loader interface {
	// Load returns what has changed after revision since; everything when since
	// is 0, when it is older than the store remembers deletions, or when it is
	// newer than the store (which was then restored from an older copy).
	Load(ctx context.Context, since Revision) (*Changes, error)
	// Changed pokes whenever another process may have changed the store; pokes
	// may be merged, lost and spurious. It is nil when there are no others.
	Changed() <-chan struct{}
}

// Writer changes the store.
type Writer interface {
	// Write runs fn in one transaction and commits it, which makes it durable,
	// at the revision returned. Transactions run one after the other, in the
	// order of their revisions, over all processes. When fn returns an error
	// everything is rolled back and the error is returned as it is. A failed
	// commit is store_unavailable; the change may then be stored all the same.
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
	// SetGateway stores the uuid under which this fleet's gateways answer.
	SetGateway(ctx context.Context, id WorkerID) error
	// Gateway returns that uuid; empty before it was set.
	Gateway(ctx context.Context) (WorkerID, error)
	// Audit appends to the audit log; the number is given by the store.
	Audit(ctx context.Context, e AuditEntry) error
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

// What a transaction may find.
var (
	ErrNotFound  = errors.New("no such record")
	ErrUUIDTaken = errors.New("the uuid is taken")
	ErrURLTaken  = errors.New("the url is taken")
)

// Changes is the difference between two revisions of the store.
type Changes struct {
	// Revision is the store's, at the moment of reading.
	Revision Revision
	// Full says that Workers is everything there is, instead of what changed.
	Full    bool
	Gateway WorkerID
	Workers []*Worker
	// Deleted are uuids that are no longer there; empty when Full.
	Deleted []WorkerID
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
	// Result is "ok" for a change that was made.
	Result string
}

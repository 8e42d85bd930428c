package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
)

// KeepDeletions is for how many revisions a store remembers what was deleted,
// unless told otherwise. A replica that is further behind loads everything.
const KeepDeletions = 100_000

// Engine is what a database does in its own way.
type Engine struct {
	// Name is for messages: what and where, without a password.
	Name string
	// Explain turns an error of the driver into a *fault.Error or into one of
	// registry's Err values. It is never given nil or sql.ErrNoRows.
	Explain func(err error) error
	// ReadOptions make a transaction that sees one state throughout.
	ReadOptions *sql.TxOptions
	// AfterChange, when not nil, runs last in a transaction that changed
	// something, to tell others of its revision.
	AfterChange func(ctx context.Context, tx *sql.Tx, rev registry.Revision) error
	// Append adds rows to a table in the transaction that is open on conn, as many
	// as there are: the engine's way for many rows. The slice that rows yields is
	// used again.
	Append func(ctx context.Context, conn *sql.Conn, table string, columns []string, rows iter.Seq[[]driver.Value]) error
	// Patient, when not nil, is run in transactions that may concern a million
	// rows, to lift limits that are meant for others.
	Patient func(ctx context.Context, tx *sql.Tx) error
	// OneWriter has transactions wait for their turn in this process, for an
	// engine that would have them fail.
	OneWriter bool
	// Spoils, when not nil, has connections discarded whose commit failed, and those
	// after an error of the driver that it says true of: the engine has things in
	// memory then that are not in its file.
	Spoils func(err error) bool
	// KeepDeletions is for how many revisions deletions are remembered; 0 means
	// the constant of that name.
	KeepDeletions int
	// Chain are the keys that the audit log is chained with; nil chains it without.
	Chain *audit.Keys
	// Schema is the version of the schema that the program's migrations make.
	Schema int64
}

// Database implements all roles of registry.Store but Changed and Close.
type Database struct {
	db     *sql.DB
	engine Engine
	log    *slog.Logger
	turn   chan struct{} // nil without OneWriter
	known  history
}

// New makes a Database over an open db whose schema is up to date. db stays the
// caller's to close.
func New(db *sql.DB, e Engine, log *slog.Logger) *Database {
	if e.KeepDeletions <= 0 {
		e.KeepDeletions = KeepDeletions
	}
	d := &Database{db: db, engine: e, log: log}
	if e.OneWriter {
		d.turn = make(chan struct{}, 1)
	}
	return d
}

// Write implements registry.Writer.
func (d *Database) Write(ctx context.Context, fn func(context.Context, registry.Tx) error) (registry.Revision, error) {
	if err := d.lock(ctx); err != nil {
		return 0, err
	}
	defer d.unlock()
	var rev registry.Revision
	var heads []audit.Head
	var end registry.AuditEnd
	known := d.known.last()
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return 0, d.explain("begin a transaction", err)
	}
	defer func() {
		// It goes back to the pool; what is wrong with it, its next user is told.
		_ = conn.Close()
	}()
	err = d.inTxOn(ctx, conn, nil, func(tx *querier) error {
		t := &transaction{
			tx: tx, conn: conn, engine: &d.engine, explain: d.explain, keep: int64(d.engine.KeepDeletions), load: d.load,
		}
		// First of all: on PostgreSQL this takes the row's lock, so that all
		// writers of all replicas stand in one line and each sees what the ones
		// before it did.
		rev64, err := t.count(ctx, revisions)
		if err != nil {
			return err
		}
		t.rev = registry.Revision(rev64)
		if err := d.sameStore(ctx, t); err != nil {
			return err
		}
		if err := fn(ctx, t); err != nil {
			return err
		}
		rev, heads, end = t.rev, t.heads, *t.end
		if d.engine.AfterChange == nil {
			return nil
		}
		if err := d.engine.AfterChange(ctx, tx.tx, rev); err != nil {
			return d.explain("announce a change", err)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	d.known.note(known, end)
	d.tellHeads(ctx, heads)
	return rev, nil
}

// CheckWritable implements registry.Writer.
func (d *Database) CheckWritable(ctx context.Context) error {
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer d.unlock()
	return d.inTx(ctx, nil, func(tx *querier) error {
		_, err := tx.ExecContext(ctx, `UPDATE canary SET sung = $1 WHERE id = 1`, time.Now().UTC())
		return d.explain("write to the store", err)
	})
}

func (d *Database) lock(ctx context.Context) error {
	if d.turn == nil {
		return nil
	}
	select {
	case d.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return Unavailable(d.engine.Name, "is busy with other changes").After(time.Second).Wrap(errors.Join(registry.ErrBusy, context.Cause(ctx)))
	}
}

func (d *Database) unlock() {
	if d.turn != nil {
		<-d.turn
	}
}

// beginner is a pool or one of its connections.
type beginner interface {
	BeginTx(ctx context.Context, o *sql.TxOptions) (*sql.Tx, error)
}

// inTx runs fn in a transaction.
func (d *Database) inTx(ctx context.Context, o *sql.TxOptions, fn func(tx *querier) error) error {
	if d.turn == nil {
		return d.inTxOn(ctx, d.db, o, fn)
	}
	conn, err := d.db.Conn(ctx) // begin waits for nothing
	if err != nil {
		return d.explain("begin a transaction", err)
	}
	defer func() {
		// It goes back to the pool; what is wrong with it, its next user is told.
		_ = conn.Close()
	}()
	return d.inTxOn(ctx, conn, o, fn)
}

// begin begins a transaction. An embedded engine is not told of a cancellation
// while it does: its driver reports a BEGIN that was cancelled just as it had been
// carried out as failed, and leaves the connection within a transaction that nobody
// ends. Statements are not told either: see querier.
func (d *Database) begin(ctx context.Context, on beginner, o *sql.TxOptions) (*sql.Tx, error) {
	if !d.embedded() {
		return on.BeginTx(ctx, o)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return on.BeginTx(context.WithoutCancel(ctx), o)
}

func (d *Database) inTxOn(ctx context.Context, on beginner, o *sql.TxOptions, fn func(tx *querier) error) (err error) {
	spoilt := true // until something else is known
	defer func() {
		if spoilt || d.spoils(err) {
			d.discard(ctx, on)
		}
	}()
	tx, err := d.begin(ctx, on, o)
	if err != nil {
		spoilt = false
		return d.explain("begin a transaction", err)
	}
	over := false
	defer func() {
		if !over {
			// fn failed or panicked. The transaction is gone with its connection if
			// it cannot be rolled back.
			back := tx.Rollback()
			if spoilt = back != nil && !errors.Is(back, sql.ErrTxDone); spoilt {
				d.log.DebugContext(ctx, "a transaction could not be rolled back", "error", back)
			}
		}
	}()
	if err := fn(&querier{tx: tx, embedded: d.embedded()}); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return d.explain("commit", err)
	}
	over = true
	if err := tx.Commit(); err != nil {
		return d.explainCommit(err)
	}
	spoilt = false
	return nil
}

func (d *Database) spoils(err error) bool {
	return err != nil && d.engine.Spoils != nil && d.engine.Spoils(err)
}

// discard has a connection closed instead of being used again.
func (d *Database) discard(ctx context.Context, on beginner) {
	conn, is := on.(*sql.Conn)
	if !is || d.engine.Spoils == nil {
		return
	}
	err := conn.Raw(func(any) error { return driver.ErrBadConn })
	if err != nil && !errors.Is(err, driver.ErrBadConn) && !errors.Is(err, sql.ErrConnDone) {
		d.log.WarnContext(ctx, "a connection with what a failed change left could not be discarded", "error", err)
	}
}

// explainCommit adds what a caller must know of a commit that nobody answered.
func (d *Database) explainCommit(err error) error {
	err = d.explain("commit", err)
	var f *fault.Error
	if errors.As(err, &f) && f.Kind != fault.Internal {
		told := *f
		told.Kind, told.Code = fault.Unavailable, "store_unavailable"
		told.Detail += "; whether the change was stored is not known: look before you try again"
		return &told
	}
	return err
}

// explain makes err one that may leave the package.
func (d *Database) explain(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return registry.ErrNotFound
	case errors.Is(err, context.DeadlineExceeded):
		return Unavailable(d.engine.Name, "did not answer in time").After(time.Second).Wrap(fmt.Errorf("%s: %w", doing, err))
	case errors.Is(err, context.Canceled):
		return fault.From(err)
	case errors.Is(err, sql.ErrConnDone), errors.Is(err, sql.ErrTxDone):
		return Unavailable(d.engine.Name, "closed its connection").After(time.Second).Wrap(fmt.Errorf("%s: %w", doing, err))
	}
	explained := d.engine.Explain(err)
	var f *fault.Error
	if errors.As(explained, &f) {
		return f.Wrap(fmt.Errorf("%s: %w", doing, err))
	}
	return explained
}

// CodeLocked is the code of the error for a store that others hold.
const CodeLocked = "store_locked"

// Unavailable is the error for a store that cannot be used now.
func Unavailable(name, why string) *fault.Error {
	return fault.New(fault.Unavailable, "store_unavailable", "the store %s %s", name, why)
}

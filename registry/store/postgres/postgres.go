// Package postgres keeps the registry in PostgreSQL, for any number of replicas.
package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
	"github.com/muster-fleet/muster/registry/store"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Options configure a store; the zero value will do, but for the Logger.
type Options struct {
	Logger *slog.Logger
	// MaxConns bounds the pool, one more connection listens; 0 means 8.
	MaxConns int
	// ConnectTimeout bounds one attempt to connect; 0 means what the DSN says,
	// else 3 s.
	ConnectTimeout time.Duration
	// MigrateTimeout bounds the waiting for another replica's migrations and the
	// running of one's own; 0 means 5 min.
	MigrateTimeout time.Duration
	// KeepDeletions is for how many revisions deletions are remembered; 0 means
	// 100,000.
	KeepDeletions int
	// Chain are the keys that the audit log is chained with; nil chains it without.
	Chain *audit.Keys
	// Alone has Open refuse, with code store_locked and who it is, while another
	// process has the store open, and keeps others from opening it meanwhile: they
	// wait for lock_timeout.
	Alone bool

	migrations fs.FS // for tests; nil means the embedded ones
}

// Store is a registry.Store in a PostgreSQL database.
type Store struct {
	*store.Database
	db       *sql.DB
	pool     *pgxpool.Pool
	listener *listener
	once     sync.Once
	err      error
}

var _ registry.Store = (*Store)(nil)

// Open connects to the database of a postgres:// URL or keyword DSN and brings
// its schema up to date; of replicas that start at once, one does. ctx bounds
// the opening only. Errors are *fault.Error of code store_unavailable, store_schema
// or store_locked and never hold the DSN.
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	if o.Logger == nil {
		return nil, errors.New("postgres: Options need a Logger")
	}
	config, err := parse(dsn, o)
	if err != nil {
		return nil, err
	}
	name := nameOf(config)
	connect := func(ctx context.Context) (*pgx.Conn, error) {
		return hold(ctx, listening(config.ConnConfig), name, o.Alone)
	}
	conn, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	schema, err := migrate(ctx, config, name, o)
	if err != nil {
		return nil, errors.Join(err, hangUp(ctx, conn))
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, errors.Join(explain(name, err), hangUp(ctx, conn))
	}
	s := &Store{
		db: stdlib.OpenDBFromPool(pool), pool: pool,
		listener: listen(context.WithoutCancel(ctx), conn, connect, o.Logger.With("store", name)),
	}
	s.Database = store.New(s.db, store.Engine{
		Name:    name,
		Explain: func(err error) error { return explain(name, err) },
		// One state throughout, however many queries it takes.
		ReadOptions: &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
		AfterChange: notify, KeepDeletions: o.KeepDeletions, Chain: o.Chain, Append: copyRows, Patient: patient,
		Schema: schema,
	}, o.Logger)
	return s, nil
}

// applicationName is what the server calls our connections.
const applicationName = "muster"

// parse reads the DSN and sets what it leaves open.
func parse(dsn string, o Options) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// The error repeats the DSN, which may hold a password, so it goes nowhere.
		return nil, store.Unavailable("postgres:", "cannot be found: its URL cannot be read; "+
			"write postgres://USER:PASSWORD@HOST:PORT/DATABASE, with special characters percent-encoded")
	}
	config.MaxConns = 8
	if o.MaxConns > 0 {
		config.MaxConns = int32(min(o.MaxConns, 1000))
	}
	config.MaxConnIdleTime = 5 * time.Minute
	config.HealthCheckPeriod = 15 * time.Second
	switch c := config.ConnConfig; {
	case o.ConnectTimeout > 0:
		c.ConnectTimeout = o.ConnectTimeout
	case c.ConnectTimeout == 0 || c.ConnectTimeout > time.Minute: // pgx's own default is 2 min
		c.ConnectTimeout = 3 * time.Second
	}
	for key, value := range map[string]string{
		"application_name": applicationName,
		// All writers stand in line for one row. A replica that is cut off while
		// it holds that row must not hold up the others for as long as it takes
		// the network to notice.
		"idle_in_transaction_session_timeout": "10s",
		"lock_timeout":                        "8s",
		"statement_timeout":                   "15s",
		"client_connection_check_interval":    "2s",
	} {
		if _, set := config.ConnConfig.RuntimeParams[key]; !set {
			config.ConnConfig.RuntimeParams[key] = value
		}
	}
	return config, nil
}

// nameOf is how messages call the database: without user and password.
func nameOf(config *pgxpool.Config) string {
	c := config.ConnConfig
	return "postgres://" + net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))) + "/" + c.Database
}

// migrate brings the schema up to date and returns the version that it then has.
func migrate(ctx context.Context, config *pgxpool.Config, name string, o Options) (schema int64, err error) {
	err = withMigrations(ctx, config, name, o, func(ctx context.Context, m *store.Migrations, db *sql.DB) error {
		if err := m.Up(ctx, db); err != nil {
			return err
		}
		schema, err = m.Newest()
		return err
	})
	return schema, err
}

// withMigrations has the schema looked after over a connection of its own, since a
// migration may take longer than a change may.
func withMigrations(
	ctx context.Context, config *pgxpool.Config, name string, o Options,
	do func(ctx context.Context, m *store.Migrations, db *sql.DB) error,
) error {
	timeout := o.MigrateTimeout
	if timeout <= 0 {
		timeout = 5 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cc := config.ConnConfig.Copy()
	for _, limit := range []string{"lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"} {
		cc.RuntimeParams[limit] = "0"
	}
	db := stdlib.OpenDB(*cc)
	m := store.Migrations{
		FS: o.migrations, Name: name, Logger: o.Logger, Locker: sessionLock{},
		Exists: `SELECT count(*) FROM pg_catalog.pg_class WHERE oid = to_regclass($1)`,
	}
	if m.FS == nil {
		var err error
		if m.FS, err = fs.Sub(embedded, "migrations"); err != nil {
			return fmt.Errorf("the embedded migrations: %w", err)
		}
	}
	err := do(ctx, &m, db)
	var f *fault.Error
	if err != nil && !errors.As(err, &f) {
		err = explain(name, err)
	}
	return errors.Join(err, db.Close())
}

// lockKey is the advisory lock that migrations run under: "muster" in ASCII.
const lockKey = 0x6d7573746572

// sessionLock waits for its turn in the database, so that a replica goes on the
// moment the one before has finished.
type sessionLock struct{}

// SessionLock implements goose's lock.SessionLocker.
func (sessionLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(lockKey))
	if err != nil {
		return fmt.Errorf("wait for the migrations' lock: %w", err)
	}
	return nil
}

// SessionUnlock implements goose's lock.SessionLocker.
func (sessionLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, int64(lockKey))
	if err != nil {
		return fmt.Errorf("give back the migrations' lock: %w", err)
	}
	return nil
}

// Changed implements registry.Loader.
func (s *Store) Changed() <-chan struct{} { return s.listener.pokes }

// Close ends the listening and closes all connections.
func (s *Store) Close(context.Context) error {
	s.once.Do(func() {
		s.listener.close()
		s.err = s.db.Close()
		s.pool.Close()
	})
	return s.err
}

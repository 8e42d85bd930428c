package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/store"
)

// openKey is the advisory lock that every process which has the store open holds,
// shared, for as long as it has; who wants to be alone takes it exclusively. It is
// "mustes" in ASCII, the neighbour of lockKey.
const openKey = 0x6d7573746573

// lockNotAvailable is the SQLSTATE of a lock_timeout.
const lockNotAvailable = "55P03"

// goodbye bounds the closing of a connection.
const goodbye = time.Second

// listening is the configuration of the connection that listens, and that holds
// openKey: its session lives as long as the store is open.
func listening(config *pgx.ConnConfig) *pgx.ConnConfig {
	config = config.Copy()
	// It waits rather than works: the limits of changes do not concern it.
	config.RuntimeParams["statement_timeout"] = "0"
	// A host that vanished without a word must not hold the lock for hours.
	for key, value := range map[string]string{
		"tcp_keepalives_idle": "15", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
	} {
		if _, set := config.RuntimeParams[key]; !set {
			config.RuntimeParams[key] = value
		}
	}
	if config.RuntimeParams["application_name"] == applicationName {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown" // it is for people only
		}
		// PostgreSQL cuts it to 63 bytes.
		config.RuntimeParams["application_name"] = fmt.Sprintf("%s %d@%s", applicationName, os.Getpid(), host)
	}
	return config
}

// hold connects and takes openKey: shared, for which it waits up to lock_timeout, or,
// to be alone, exclusively and at once. The lock ends with the connection.
func hold(ctx context.Context, config *pgx.ConnConfig, name string, alone bool) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, explain(name, err)
	}
	if alone {
		err = takeAlone(ctx, conn, name)
	} else {
		err = takeShared(ctx, conn, name)
	}
	if err != nil {
		return nil, errors.Join(err, hangUp(ctx, conn))
	}
	return conn, nil
}

func takeShared(ctx context.Context, conn *pgx.Conn, name string) error {
	_, err := conn.Exec(ctx, `SELECT pg_advisory_lock_shared($1)`, int64(openKey))
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &pg) && pg.Code == lockNotAvailable:
		holders, found := holdersOf(ctx, conn)
		return errors.Join(heldBy(name, holders, "works on it alone; try again when it has ended").Wrap(err), found)
	default:
		return explain(name, err)
	}
}

func takeAlone(ctx context.Context, conn *pgx.Conn, name string) error {
	var got bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(openKey)).Scan(&got); err != nil {
		return explain(name, err)
	}
	if got {
		return nil
	}
	holders, err := holdersOf(ctx, conn)
	if err != nil {
		return explain(name, err)
	}
	return heldBy(name, holders, "has it open; end every gateway on this store first")
}

func heldBy(name string, holders []string, what string) *fault.Error {
	who := "another process"
	if len(holders) > 0 {
		who = strings.Join(holders, ", ")
	}
	return fault.New(fault.Unavailable, store.CodeLocked, "the store %s is held: %s %s", name, who, what)
}

// holdersOf describes who holds openKey in this database, the oldest first.
func holdersOf(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, `
SELECT coalesce(nullif(a.application_name, ''), 'a process'), coalesce(host(a.client_addr), ''), a.backend_start, a.pid
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = current_database()
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid::bigint = $1 AND l.objid::bigint = $2
ORDER BY a.backend_start, a.pid LIMIT 8`, int64(openKey)>>32, int64(openKey)&0xffffffff)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var application, address string
		var since *time.Time
		var backend int64
		if err := row.Scan(&application, &address, &since, &backend); err != nil {
			return "", err
		}
		text := fmt.Sprintf("%q", application)
		if address != "" {
			text += " from " + address
		}
		if since != nil { // hidden from other users of the server
			text += " since " + since.UTC().Format(time.RFC3339)
		}
		return fmt.Sprintf("%s (backend %d)", text, backend), nil
	})
}

// hangUp closes a connection, also when ctx is over; saying goodbye takes at most a
// moment.
func hangUp(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	return conn.Close(ctx)
}

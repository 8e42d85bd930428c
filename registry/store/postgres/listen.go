package postgres

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-fleet/muster/registry"
)

// channel is where replicas tell each other of new revisions.
const channel = "muster_registry"

const (
	// silence is for how long a connection may be silent before it is tested: a
	// peer that vanished without a word says nothing ever.
	silence = 15 * time.Second
	// The waits between attempts to listen again.
	firstWait, longestWait = 50 * time.Millisecond, 2 * time.Second
)

// notify tells the other replicas of a revision; they hear of it at commit.
func notify(ctx context.Context, tx *sql.Tx, rev registry.Revision) error {
	_, err := tx.ExecContext(ctx, `SELECT pg_notify($1, $2)`, channel, strconv.FormatInt(int64(rev), 10))
	return err
}

// listener turns notifications into pokes, over a connection of its own that it
// makes anew when it is lost.
type listener struct {
	pokes chan struct{} // closed at the end
	stop  context.CancelFunc
	done  chan struct{}
	log   *slog.Logger
}

// listen begins on a connection that connect has made, and makes later ones with it.
func listen(ctx context.Context, conn *pgx.Conn, connect func(context.Context) (*pgx.Conn, error), log *slog.Logger) *listener {
	ctx, stop := context.WithCancel(ctx)
	l := &listener{pokes: make(chan struct{}, 1), stop: stop, done: make(chan struct{}), log: log}
	go l.run(ctx, conn, connect)
	return l
}

func (l *listener) close() {
	l.stop()
	<-l.done
}

func (l *listener) poke() {
	select {
	case l.pokes <- struct{}{}:
	default: // one is waiting already, and it will see the newest state
	}
}

func (l *listener) run(ctx context.Context, conn *pgx.Conn, connect func(context.Context) (*pgx.Conn, error)) {
	defer close(l.done)
	defer close(l.pokes)
	wait, lost := firstWait, false
	for {
		var heard bool
		var err error
		if conn == nil {
			conn, err = connect(ctx)
		}
		if err == nil {
			heard, err = l.session(ctx, conn)
			conn = nil
		}
		if ctx.Err() != nil {
			return
		}
		if heard {
			wait, lost = firstWait, false
		}
		if !lost {
			l.log.WarnContext(ctx, "notifications of the store are lost; changes of other replicas are seen by polling until they are back",
				"error", err)
			lost = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, longestWait)
	}
}

// session listens until the connection is lost or ctx ends, and closes it. heard
// reports whether it got as far as listening.
func (l *listener) session(ctx context.Context, conn *pgx.Conn) (heard bool, err error) {
	// What closing answers matters to nobody.
	defer func() { _ = hangUp(ctx, conn) }()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return false, err
	}
	l.poke() // whatever was said while nobody listened
	for {
		waiting, cancel := context.WithTimeout(ctx, silence)
		_, err := conn.WaitForNotification(waiting)
		cancel()
		switch {
		case err == nil:
			l.poke()
		case ctx.Err() != nil:
			return true, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded) && !conn.IsClosed():
			if err := l.ping(ctx, conn); err != nil {
				return true, err
			}
		default:
			return true, err
		}
	}
}

func (l *listener) ping(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return conn.Ping(ctx)
}

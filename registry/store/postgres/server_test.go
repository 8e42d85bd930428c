package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/store/postgres"
	"github.com/muster-fleet/muster/registry/store/postgres/pgtest"
	"github.com/muster-fleet/muster/registry/store/storetest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func serve(t *testing.T, dsn string) *registry.Service {
	t.Helper()
	store, err := openAt(t.Context(), dsn, quiet())
	if err != nil {
		t.Fatal(err)
	}
	s, err := registry.Open(t.Context(), store, registry.Options{Logger: quiet(), Inspector: storetest.Scribbler(), PollInterval: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("never: " + what)
		}
	}
}

// TestServerGoesAndComesBack takes the server away from two replicas.
func TestServerGoesAndComesBack(t *testing.T) {
	server := pgtest.Start(t)
	dsn := server.Database(t)
	a, b := serve(t, dsn), serve(t, dsn)
	r := rand.New(rand.NewPCG(1, 1))
	for range 5 {
		if _, _, err := storetest.Scribble(t.Context(), a, r); err != nil {
			t.Fatal(err)
		}
	}
	before := a.Snapshot()
	eventually(t, "b has it too", func() bool { return b.Snapshot().Revision == before.Revision })
	if err := server.Down(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*registry.Service{a, b} {
		begun := time.Now()
		if _, _, err := storetest.Scribble(t.Context(), s, r); !fault.Is(err, "store_unavailable") {
			t.Errorf("a change without a store: %v", err)
		}
		if err := s.Ready(t.Context()); !fault.Is(err, "store_unavailable") {
			t.Errorf("ready without a store: %v", err)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("it took %s to say so", took)
		}
		eventually(t, "the outage is noticed", func() bool { return s.StoreError() != nil })
		if len(s.Snapshot().Workers) != len(before.Workers) || s.Snapshot().Revision != before.Revision {
			t.Error("the last snapshot is to keep serving")
		}
	}
	if err := server.Up(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a writes again", func() bool { _, _, err := storetest.Scribble(t.Context(), a, r); return err == nil })
	eventually(t, "b has caught up by itself", func() bool {
		return b.StoreError() == nil && b.Snapshot().Revision == a.Snapshot().Revision
	})
	if err := b.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// scribble has each replica write until the function returned is called, which
// returns the revisions that were acknowledged.
func scribble(t *testing.T, replicas []*registry.Service) func() []registry.Revision {
	var mu sync.Mutex
	var acks []registry.Revision
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for n, s := range replicas {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 7))
			for {
				select {
				case <-stop:
					return
				default:
				}
				// While the server is down this fails, which is as it should be.
				if _, _, err := storetest.Scribble(t.Context(), s, r); err == nil {
					mu.Lock()
					acks = append(acks, s.Snapshot().Revision)
					mu.Unlock()
				}
			}
		})
	}
	return func() []registry.Revision {
		close(stop)
		wg.Wait()
		return acks
	}
}

// TestServerKilled kills the whole server, and single connections, under two
// replicas that write.
func TestServerKilled(t *testing.T) {
	server := pgtest.Start(t)
	dsn := server.Database(t)
	replicas := []*registry.Service{serve(t, dsn), serve(t, dsn)}
	stop := scribble(t, replicas)
	kills := max(storetest.Kills(t)/10, 3)
	for n := range kills {
		wait := time.NewTimer(time.Duration(rand.Int64N(int64(time.Second))))
		<-wait.C // when is the point
		if n%2 == 0 {
			if err := errors.Join(server.Kill(), server.Up()); err != nil {
				t.Fatal(err)
			}
			continue
		}
		conn, err := pgx.Connect(t.Context(), server.DSN())
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'muster%'`)
		if err := errors.Join(err, conn.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	acks := stop()
	// The server may still be recovering from the last kill.
	var store registry.Store
	eventually(t, "the store opens again", func() bool {
		var err error
		store, err = openAt(t.Context(), dsn, quiet())
		return err == nil
	})
	var ledger storetest.Ledger
	ledger.Check(t, store, nil) // no half change, no gap
	c, err := store.Load(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, acknowledged := range acks {
		if acknowledged > c.Revision {
			t.Errorf("revision %d was acknowledged and the store is at %d", acknowledged, c.Revision)
		}
	}
	if len(acks) == 0 {
		t.Error("nothing was ever acknowledged")
	}
	t.Logf("%d kills, %d acknowledged changes", kills, len(acks))
	if err := store.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestListeningAgain cuts only the listening connection.
func TestListeningAgain(t *testing.T) {
	dsn := pgtest.Database(t)
	store, err := openAt(t.Context(), dsn, quiet())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	listeners := func(query string) (n int) {
		err := conn.QueryRow(t.Context(), query+` FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	eventually(t, "it listens", func() bool { return listeners(`SELECT count(*)`) == 1 })
	for len(store.Changed()) > 0 {
		<-store.Changed()
	}
	if listeners(`SELECT count(pg_terminate_backend(pid))`) != 1 {
		t.Fatal("nobody to cut off")
	}
	if _, open := <-store.Changed(); !open { // the poke after listening again
		t.Fatal("closed")
	}
	if _, err := conn.Exec(t.Context(), `NOTIFY muster_registry`); err != nil {
		t.Fatal(err)
	}
	if _, open := <-store.Changed(); !open {
		t.Fatal("closed")
	}
	if err := errors.Join(conn.Close(t.Context()), store.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	for range store.Changed() { // it is closed, else this hangs
	}
}

func TestOpenFails(t *testing.T) {
	good, err := url.Parse(pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(u *url.URL)) string {
		u := *good
		change(&u)
		return u.String()
	}
	const secret = "s3cr3t-p4ss"
	for name, c := range map[string]struct{ dsn, says string }{
		"nonsense":    {"postgres://u:" + secret + "@[::1/x", "cannot be read"},
		"bad port":    {"postgres://u:" + secret + "@127.0.0.1:port/x", "cannot be read"},
		"refused":     {with(func(u *url.URL) { u.Host = "127.0.0.1:1"; u.User = url.UserPassword("u", secret) }), "cannot be reached"},
		"password":    {with(func(u *url.URL) { u.User = url.UserPassword("muster", secret) }), "refuses the login"},
		"no database": {with(func(u *url.URL) { u.Path = "/nowhere" }), "does not exist"},
	} {
		s, err := postgres.Open(t.Context(), c.dsn, postgres.Options{Logger: quiet(), ConnectTimeout: time.Second})
		if !fault.Is(err, "store_unavailable") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(fmt.Sprintf("%v %+v", e, e), secret) {
				t.Errorf("%s: the error tells the password: %v", name, e)
			}
		}
		if s != nil {
			t.Error(s.Close(t.Context()))
		}
	}
	if _, err := postgres.Open(t.Context(), good.String(), postgres.Options{}); err == nil {
		t.Error("opened without a logger")
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	dsn := pgtest.Database(t)
	before := goleak.IgnoreCurrent()
	s, err := openAt(t.Context(), dsn, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}

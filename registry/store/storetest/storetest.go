// Package storetest is what every store of the registry must do, as tests that
// each store's own package runs. It also tests registry.Service over the store,
// since what the two promise together is what counts: a change that was
// acknowledged is durable, audited and visible.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
)

// Open opens a store over the same data each time.
type Open func(ctx context.Context, log *slog.Logger) (registry.Store, error)

// OpenAt opens the store at a place: a path, a DSN.
type OpenAt func(ctx context.Context, place string, log *slog.Logger) (registry.Store, error)

// Backend is a kind of store. Its package's TestMain must call ChildMain first.
type Backend struct {
	// Place makes an empty place for data.
	Place func(t testing.TB) string
	// OpenAt is given what Place returned.
	OpenAt OpenAt
	// Forgetful is OpenAt with deletions remembered for Remembered revisions.
	Forgetful OpenAt
	// Chained is OpenAt with the keys of the audit log; nil for none.
	Chained func(ctx context.Context, place string, log *slog.Logger, keys *audit.Keys) (registry.Store, error)
	// Behind runs statements at a place where no store is open: behind its back.
	Behind func(t testing.TB, place string, statements ...string)
	// Outlived waits for what a killed process leaves behind at a place: a server may
	// still be committing its last change. Nil where nothing outlives a process.
	Outlived func(t testing.TB, place string)
	// Shared says that several may be open over the same data at once.
	Shared bool
}

// New makes an empty place and returns how to open it.
func (b Backend) New(t testing.TB) Open { return at(b.Place(t), b.OpenAt) }

func at(place string, open OpenAt) Open {
	return func(ctx context.Context, log *slog.Logger) (registry.Store, error) { return open(ctx, place, log) }
}

// Remembered is for how many revisions a Forgetful store remembers deletions.
const Remembered = 5

// Run runs the suite.
func Run(t *testing.T, b Backend) {
	for _, group := range []struct {
		name  string
		tests map[string]func(*testing.T, Backend)
	}{
		{"Store", storeTests()},
		{"Access", accessStoreTests()},
		{"Audit", auditTests()},
		{"Service", serviceTests()},
		{"AccessService", accessServiceTests()},
		{"AccessAttacks", accessAttackTests()},
		{"Following", followTests()},
		{"Update", updateTests()},
		{"Replicas", replicaTests()},
		{"Runs", runTests()},
		{"RunRules", runRuleTests()},
		{"Rules", ruleTests()},
		{"Tables", tableTests()},
		{"Crash", crashTests()},
	} {
		t.Run(group.name, func(t *testing.T) {
			names := make([]string, 0, len(group.tests))
			for name := range group.tests {
				names = append(names, name)
			}
			slices.Sort(names)
			for _, name := range names {
				t.Run(name, func(t *testing.T) { group.tests[name](t, b) })
			}
		})
	}
}

func logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// opened opens a store and closes it when the test ends.
func opened(t testing.TB, open Open) registry.Store {
	t.Helper()
	s, err := open(t.Context(), logger(t))
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

// noon is the time that tests begin at.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// uuidOf is the nth uuid.
func uuidOf(n int) registry.WorkerID {
	return registry.WorkerID(fmt.Sprintf("8a8a8a8a-0000-4000-8000-%012d", n))
}

// Worker is the nth plain record, with its own uuid, name and url.
func Worker(n int) *registry.Worker {
	return &registry.Worker{
		ID: uuidOf(n), Name: fmt.Sprintf("worker %03d", n), URL: fmt.Sprintf("http://w%d:8080/filter", n),
		Class: registry.ClassResult, Type: registry.TypeGraphSecurity, Version: "1.0.0",
		Transport: registry.TransportREST, Active: true, Settings: registry.DefaultSettings(),
		Conformance:  registry.Conformance{Level: registry.LevelNone},
		RegisteredBy: "admin", RegisteredAt: noon, UpdatedAt: noon, Revision: 1,
	}
}

func entry(n int) registry.AuditEntry {
	return registry.AuditEntry{
		ID: fmt.Sprintf("entry-%d", n), At: noon, Actor: registry.Actor{Username: "admin", Subject: "s", Issuer: "i",
			RequestID: "r", Address: "192.0.2.1"},
		Action: registry.ActionRegistered, Resource: "worker:" + string(uuidOf(n)), After: []byte(`{"n": 1}`), Result: "ok",
	}
}

// write runs fn in a transaction that must succeed.
func write(t testing.TB, s registry.Store, fn func(ctx context.Context, tx registry.Tx) error) registry.Revision {
	t.Helper()
	rev, err := s.Write(t.Context(), fn)
	if err != nil {
		t.Fatalf("write: %v", err)
	}
	return rev
}

func insert(t testing.TB, s registry.Store, all ...*registry.Worker) registry.Revision {
	t.Helper()
	return write(t, s, func(ctx context.Context, tx registry.Tx) error {
		for _, w := range all {
			if err := tx.InsertWorker(ctx, w); err != nil {
				return err
			}
		}
		return nil
	})
}

func load(t testing.TB, s registry.Store, since registry.Revision) *registry.Changes {
	t.Helper()
	c, err := s.Load(t.Context(), since)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return c
}

func trail(t testing.TB, s registry.Store) []registry.AuditEntry {
	t.Helper()
	all, err := s.AuditTrail(t.Context(), 0, 1_000_000)
	if err != nil {
		t.Fatalf("read the audit log: %v", err)
	}
	return all
}

var errGiveUp = errors.New("give up")

// same compares records by what they say.
func same(a, b *registry.Worker) bool {
	x, y := *a, *b
	x.Quarantined, y.Quarantined = nil, nil
	if a.Quarantined == nil || b.Quarantined == nil {
		return x == y && a.Quarantined == b.Quarantined
	}
	return x == y && *a.Quarantined == *b.Quarantined
}

// eventually waits until ok, and fails the test when it takes too long.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	const patience = 20 * time.Second
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

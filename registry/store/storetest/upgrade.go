package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
)

// FillFixture makes what the fixture of a schema holds, in the empty store at a
// place: changes of every kind that this code knows, and the runs of a step. A
// fixture is made once, by the last code that has its schema as the newest one, and
// is kept from then on.
func FillFixture(t testing.TB, place string, open OpenAt) {
	t.Helper()
	store, err := open(t.Context(), place, logger(t))
	if err != nil {
		t.Fatal(err)
	}
	fillRuns(t, store)
	fillAccess(t, store)
	s, err := registry.Open(t.Context(), store, registry.Options{Logger: logger(t), Inspector: Scribbler()})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 120 {
		if action, _, err := Scribble(t.Context(), s, r); err != nil {
			t.Fatalf("%s: %v", action, err)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// The records of a fixture's step.

func fixtureRuns() (ended, open *run.Run) {
	ended, open = queued(1, "step-001"), queued(2, "step-001")
	ended.State, ended.EndedAt, ended.Retries = run.Failed, noon.Add(time.Hour), 1
	ended.Attempts = []run.Attempt{{
		Number: 1, State: run.Failed, StartedAt: noon, EndedAt: noon.Add(time.Second), Status: 503, Code: "worker_status",
		Message: "ümläut \"quoted\"",
	}}
	return ended, open
}

func fixtureDigest() run.Digest { return run.DigestOf("a token of a fixture") }

func fixtureKey() registry.RunKey {
	return registry.RunKey{Issuer: "i", Subject: "s", Key: "nightly-1", Params: "{}", Run: runID(2), At: noon}
}

func fixtureLine(n int) run.Line {
	return run.Line{At: noon.Add(time.Duration(n) * time.Second), Text: fmt.Sprintf("line %d", n)}
}

// fillRuns makes, in one transaction with its audit row, a step with a run that has
// ended and one that has not.
func fillRuns(t testing.TB, s registry.Store) {
	t.Helper()
	ended, open := fixtureRuns()
	write(t, s, func(ctx context.Context, tx registry.Tx) error {
		e := entry(1)
		e.Action, e.Resource = registry.ActionStepCreated, "step:step-001"
		return errors.Join(tx.PutStep(ctx, Step(1)), tx.InsertRun(ctx, ended), tx.InsertRun(ctx, open),
			tx.PutRunToken(ctx, fixtureDigest(), open.ID, 1), tx.PutRunKey(ctx, fixtureKey()),
			tx.PutLease(ctx, registry.Lease{Run: open.ID, Owner: "gateway-1", Beat: 7}), tx.Audit(ctx, e))
	})
	if err := s.AppendRunLog(t.Context(), ended.ID, []run.Line{fixtureLine(1), fixtureLine(2)}); err != nil {
		t.Fatal(err)
	}
}

// checkRuns looks for what fillRuns made.
func checkRuns(t testing.TB, s registry.Store) {
	t.Helper()
	ended, open := fixtureRuns()
	for _, want := range []*run.Run{ended, open} {
		got, err := s.Run(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if want == ended {
			want.Lines = 2
		}
		equalDeep(t, "run", got, want)
	}
	step, err := s.Step(t.Context(), "step-001")
	if err != nil {
		t.Fatal(err)
	}
	equalDeep(t, "step", step, Step(1))
	lines, err := s.RunLog(t.Context(), ended.ID, 0, 10)
	if err != nil || len(lines) != 2 || lines[1].Text != fixtureLine(2).Text || !lines[1].At.Equal(fixtureLine(2).At) {
		t.Errorf("log %+v: %v", lines, err)
	}
	runs, leases, err := s.OpenRuns(t.Context())
	if err != nil || len(runs) != 1 || len(leases) != 1 || leases[0] != (registry.Lease{Run: open.ID, Owner: "gateway-1", Beat: 7}) {
		t.Errorf("%d open runs, leases %+v: %v", len(runs), leases, err)
	}
	_, err = s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error {
		holder, err := tx.RunByToken(ctx, fixtureDigest())
		if err != nil || holder.Run != open.ID {
			t.Errorf("the token is of %+v: %v", holder, err)
		}
		key, err := tx.RunKey(ctx, "i", "s", "nightly-1")
		if err != nil || key != fixtureKey() {
			t.Errorf("the key is %+v: %v", key, err)
		}
		return errGiveUp
	})
	if !errors.Is(err, errGiveUp) {
		t.Error(err)
	}
}

// Upgraded checks that the store at a place, which is the fixture of an earlier
// schema, holds all that it did and works on.
func Upgraded(t *testing.T, place string, version int, open OpenAt) {
	t.Helper()
	var ledger Ledger
	store, err := open(t.Context(), place, logger(t))
	if err != nil {
		t.Fatal(err)
	}
	ledger.Check(t, store, nil)
	if c := load(t, store, 0); len(ledger.rows) < 100 || len(c.Workers) == 0 || c.Gateway == "" || version > 1 && len(c.Rules) == 0 {
		t.Fatalf("the fixture of version %d is too poor: %d rows, %d workers, %d rules", version, len(ledger.rows), len(c.Workers), len(c.Rules))
	}
	if version > 2 {
		checkRuns(t, store)
	}
	if version > 3 {
		checkAccess(t, store)
	}
	s, err := registry.Open(t.Context(), store, registry.Options{Logger: logger(t), Inspector: Scribbler()})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if action, _, err := Scribble(t.Context(), s, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))); err != nil {
			t.Fatalf("%s: %v", action, err)
		}
	}
	Exercise(t, s)
	ledger.Check(t, store, nil)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := opened(t, at(place, open))
	ledger.Check(t, again, nil)
}

package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
)

func runTests() map[string]func(*testing.T, Backend) {
	return map[string]func(*testing.T, Backend){
		"steps":                        testSteps,
		"runs":                         testRuns,
		"log":                          testRunLog,
		"log written by many":          testRunLogTogether,
		"tokens":                       testRunTokens,
		"keys":                         testRunKeys,
		"leases":                       testLeases,
		"forgetting":                   testForgetRuns,
		"service: steps":               testPutStep,
		"service: one run at a time":   testOneRun,
		"service: idempotency keys":    testStartKeys,
		"service: attempts":            testAttempts,
		"service: cancel":              testCancelRun,
		"service: dead owners":         testInterruptRun,
		"service: audit of runs":       testRunAudit,
		"service: random schedules":    testRunModel,
		"service: replicas claim once": shared(testClaimOnce),
	}
}

// Step is the nth plain step.
func Step(n int) *run.Step {
	return &run.Step{
		Name: fmt.Sprintf("step-%03d", n), Worker: string(uuidOf(n)),
		Client: run.Client{ID: "loader", SecretFile: "team/loader"},
		Users:  run.Choice[string]{All: true}, Groups: run.Choice[string]{List: []string{"/b", "/a ü"}},
		Clients: run.Choice[string]{List: []string{}}, Entities: run.Choice[int64]{List: []int64{414, 1<<53 - 1}},
		Timeout: 90 * time.Second, Retries: 2, CreatedBy: "admin", CreatedAt: noon, UpdatedAt: noon, Revision: 1,
	}
}

func runID(n int) run.ID { return run.ID(fmt.Sprintf("01900000-0000-7000-8000-%012d", n)) }

// queued is the nth run of a step, waiting.
func queued(n int, step string) *run.Run {
	return &run.Run{ID: runID(n), Step: step, State: run.Queued, StartedBy: "admin", QueuedAt: noon.Add(time.Duration(n) * time.Second)}
}

func putRuns(t testing.TB, s registry.Store, all ...*run.Run) {
	t.Helper()
	write(t, s, func(ctx context.Context, tx registry.Tx) error {
		for _, r := range all {
			if err := tx.InsertRun(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// equalJSON compares values that reach each other only through pointers.
func equalDeep(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func testSteps(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	if _, err := s.Step(t.Context(), "step-001"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a step that is not there: %v", err)
	}
	names := []string{"step-001", "Step-002", "step_3", "step-10", "step.b"}
	for i, name := range names {
		one := Step(i)
		one.Name = name
		write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.PutStep(ctx, one) })
		got, err := s.Step(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		equalDeep(t, "step", got, one)
	}
	changed := Step(7)
	changed.Name, changed.Revision, changed.UpdatedAt = "step-001", 2, noon.Add(time.Hour)
	changed.Users, changed.Relationships = run.Choice[string]{}, run.Choice[int64]{All: true}
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.PutStep(ctx, changed) })
	write(t, s, func(ctx context.Context, tx registry.Tx) error {
		got, err := tx.Step(ctx, "step-001")
		if err != nil {
			return err
		}
		equalDeep(t, "replaced step", got, changed)
		return nil
	})
	var listed []string
	for after := ""; ; {
		page, err := s.Steps(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, one := range page {
			listed = append(listed, one.Name)
		}
		after = listed[len(listed)-1]
	}
	// Bytes decide, on either store.
	equalDeep(t, "order", listed, []string{"Step-002", "step-001", "step-10", "step.b", "step_3"})
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.DeleteStep(ctx, "step.b") })
	_, err := s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error { return tx.DeleteStep(ctx, "step.b") })
	if !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

func testRuns(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	one, two, other := queued(1, "a"), queued(2, "a"), queued(3, "b")
	two.NotBefore, two.Retries = noon.Add(time.Minute), 3
	two.Attempts = []run.Attempt{{Number: 1, State: run.Failed, StartedAt: noon, EndedAt: noon.Add(time.Second), Status: 503,
		Code: "worker_status", Message: "ümläut \"quoted\""}}
	putRuns(t, s, one, two, other)
	for _, want := range []*run.Run{one, two, other} {
		got, err := s.Run(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		equalDeep(t, "run", got, want)
	}
	if _, err := s.Run(t.Context(), runID(9)); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a run that is not there: %v", err)
	}
	one.Begin(noon)
	one.End(noon.Add(time.Second), run.Outcome{State: run.Succeeded, Status: 200})
	other.Begin(noon)
	other.Cancel(noon)
	write(t, s, func(ctx context.Context, tx registry.Tx) error {
		return errors.Join(tx.UpdateRun(ctx, one), tx.UpdateRun(ctx, other))
	})
	page, err := s.Runs(t.Context(), "a", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	equalDeep(t, "runs of a", page, []*run.Run{two, one})
	page, err = s.Runs(t.Context(), "a", two.ID, 10)
	if err != nil || len(page) != 1 || page[0].ID != one.ID {
		t.Errorf("the second page: %+v %v", page, err)
	}
	open, leases, err := s.OpenRuns(t.Context())
	if err != nil || len(leases) != 0 {
		t.Fatal(err, leases)
	}
	equalDeep(t, "open runs", open, []*run.Run{two, other})
	_, err = s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error { return tx.UpdateRun(ctx, queued(9, "a")) })
	if !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a run that is not there was updated: %v", err)
	}
}

func testRunLog(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	putRuns(t, s, queued(1, "a"))
	before := load(t, s, 0).Revision
	lines := []run.Line{{At: noon, Text: "first ü"}, {At: noon.Add(time.Second), Text: "second"}}
	if err := s.AppendRunLog(t.Context(), runID(1), lines); err != nil {
		t.Fatal(err)
	}
	got, err := s.RunLog(t.Context(), runID(1), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	equalDeep(t, "log", got, []run.Line{
		{Number: 1, At: noon, Text: "first ü"}, {Number: 2, At: noon.Add(time.Second), Text: "second"},
	})
	if got, err = s.RunLog(t.Context(), runID(1), 1, 10); err != nil || len(got) != 1 || got[0].Number != 2 {
		t.Errorf("from the second on: %+v %v", got, err)
	}
	if err := s.AppendRunLog(t.Context(), runID(9), lines); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("the log of no run: %v", err)
	}
	for range run.MaxLines/10 + 3 {
		many := make([]run.Line, 10)
		for i := range many {
			many[i] = run.Line{At: noon, Text: "more"}
		}
		if err := s.AppendRunLog(t.Context(), runID(1), many); err != nil {
			t.Fatal(err)
		}
	}
	if got, err = s.RunLog(t.Context(), runID(1), 0, 2*run.MaxLines); err != nil || len(got) != run.MaxLines {
		t.Fatalf("%d lines, %v", len(got), err)
	}
	if last := got[len(got)-1]; last.Number != run.MaxLines || !strings.Contains(last.Text, "ends here") {
		t.Errorf("the last line is %+v", last)
	}
	if r, err := s.Run(t.Context(), runID(1)); err != nil || r.Lines != run.MaxLines {
		t.Errorf("%+v %v", r, err)
	}
	if now := load(t, s, 0).Revision; now != before {
		t.Errorf("lines of a log moved the revision from %d to %d", before, now)
	}
}

// testRunLogTogether has several append while a change counts rules of the run.
func testRunLogTogether(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	putRuns(t, s, queued(1, "a"))
	var all sync.WaitGroup
	const writers, each = 4, 15
	for w := range writers {
		all.Go(func() {
			for n := range each {
				line := run.Line{At: noon, Text: fmt.Sprintf("%d/%d", w, n)}
				if err := s.AppendRunLog(t.Context(), runID(1), []run.Line{line}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		for range each {
			_, err := s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error {
				return tx.AddRunCounts(ctx, runID(1), run.Counts{Created: 2, Ignored: 1, Deleted: 3})
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	lines, err := s.RunLog(t.Context(), runID(1), 0, 1000)
	if err != nil || len(lines) != writers*each {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	next := map[string]int{}
	for i, l := range lines {
		w, n, _ := strings.Cut(l.Text, "/")
		if l.Number != int64(i+1) || n != fmt.Sprint(next[w]) {
			t.Errorf("line %d is %+v", i+1, l)
		}
		next[w]++
	}
	r, err := s.Run(t.Context(), runID(1))
	if err != nil || r.Counts != (run.Counts{Created: 2 * each, Ignored: each, Deleted: 3 * each}) || r.Lines != writers*each {
		t.Errorf("%+v %v", r, err)
	}
}

func testRunTokens(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	r := queued(1, "a")
	r.Retries = 1
	r.Begin(noon)
	putRuns(t, s, r)
	first, second := run.DigestOf("first"), run.DigestOf("second")
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.PutRunToken(ctx, first, r.ID, 1) })
	holder := func(d run.Digest) (h registry.TokenHolder, err error) {
		write(t, s, func(ctx context.Context, tx registry.Tx) error {
			h, err = tx.RunByToken(ctx, d)
			return nil
		})
		return h, err
	}
	if h, err := holder(first); err != nil || h != (registry.TokenHolder{Run: r.ID, Step: "a"}) {
		t.Errorf("%+v %v", h, err)
	}
	if _, err := holder(second); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a token of nobody: %v", err)
	}
	r.End(noon, run.Outcome{State: run.Failed})
	r.Begin(noon)
	write(t, s, func(ctx context.Context, tx registry.Tx) error {
		return errors.Join(tx.UpdateRun(ctx, r), tx.PutRunToken(ctx, second, r.ID, 2))
	})
	if h, err := holder(first); err != nil || !h.Ended {
		t.Errorf("the token of an attempt that is over: %+v %v", h, err)
	}
	if h, err := holder(second); err != nil || h.Ended {
		t.Errorf("the token of the second attempt: %+v %v", h, err)
	}
	r.Cancel(noon)
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.UpdateRun(ctx, r) })
	if h, err := holder(second); err != nil || !h.Ended {
		t.Errorf("the token of a run that is being cancelled: %+v %v", h, err)
	}
}

func testRunKeys(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	key := registry.RunKey{Issuer: "i", Subject: "s", Key: "k ü", Params: "p", Run: runID(1), At: noon}
	put := func(k registry.RunKey) {
		t.Helper()
		write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.PutRunKey(ctx, k) })
	}
	get := func(k registry.RunKey) (got registry.RunKey, err error) {
		write(t, s, func(ctx context.Context, tx registry.Tx) error {
			got, err = tx.RunKey(ctx, k.Issuer, k.Subject, k.Key)
			return nil
		})
		return got, err
	}
	put(key)
	if got, err := get(key); err != nil || got != key {
		t.Errorf("%+v %v", got, err)
	}
	other := key
	other.Subject = "another"
	if _, err := get(other); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("another's key: %v", err)
	}
	put(other)
	// A key is used again after its life; what is as old is forgotten with it.
	key.At, key.Params, key.Run = noon.Add(run.KeyLife+time.Hour), "q", runID(2)
	put(key)
	if got, err := get(key); err != nil || got != key {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := get(other); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a key older than its life is still there: %v", err)
	}
}

func testLeases(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	putRuns(t, s, queued(1, "a"))
	write(t, s, func(ctx context.Context, tx registry.Tx) error {
		return tx.PutLease(ctx, registry.Lease{Run: runID(1), Owner: "one"})
	})
	before := load(t, s, 0).Revision
	for range 3 {
		if err := s.RenewLease(t.Context(), runID(1), "one"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.RenewLease(t.Context(), runID(1), "two"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("renewed by another: %v", err)
	}
	want := registry.Lease{Run: runID(1), Owner: "one", Beat: 3}
	if _, leases, err := s.OpenRuns(t.Context()); err != nil || len(leases) != 1 || leases[0] != want {
		t.Errorf("%+v %v", leases, err)
	}
	if now := load(t, s, 0).Revision; now != before {
		t.Errorf("renewing moved the revision from %d to %d", before, now)
	}
	write(t, s, func(ctx context.Context, tx registry.Tx) error {
		if l, err := tx.Lease(ctx, runID(1)); err != nil || l != want {
			t.Errorf("%+v %v", l, err)
		}
		return tx.DeleteLease(ctx, runID(1))
	})
	if err := s.RenewLease(t.Context(), runID(1), "one"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("renewed after it was taken back: %v", err)
	}
	write(t, s, func(ctx context.Context, tx registry.Tx) error {
		if _, err := tx.Lease(ctx, runID(1)); !errors.Is(err, registry.ErrNotFound) {
			t.Error(err)
		}
		return tx.PutLease(ctx, registry.Lease{Run: runID(1), Owner: "two"})
	})
}

func testForgetRuns(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	for n := range 6 {
		r := queued(n, "a")
		if n != 0 {
			r.Begin(noon)
			r.End(noon, run.Outcome{State: run.Succeeded})
		}
		putRuns(t, s, r)
		if err := s.AppendRunLog(t.Context(), r.ID, []run.Line{{At: noon, Text: "x"}}); err != nil {
			t.Fatal(err)
		}
		write(t, s, func(ctx context.Context, tx registry.Tx) error {
			return tx.PutRunToken(ctx, run.DigestOf(string(r.ID)), r.ID, 1)
		})
	}
	other := queued(9, "b")
	other.Cancel(noon)
	putRuns(t, s, other)
	// 0 is open, 4 and 5 are the newest two, 3 is young enough.
	write(t, s, func(ctx context.Context, tx registry.Tx) error {
		return tx.ForgetRuns(ctx, "a", 1, noon.Add(2500*time.Millisecond))
	})
	left, err := s.Runs(t.Context(), "a", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	var ids []run.ID
	for _, r := range left {
		ids = append(ids, r.ID)
	}
	equalDeep(t, "left", ids, []run.ID{runID(5), runID(4), runID(3), runID(2), runID(0)})
	if lines, err := s.RunLog(t.Context(), runID(1), 0, 10); err != nil || len(lines) != 0 {
		t.Errorf("the log of a run that is forgotten: %+v %v", lines, err)
	}
	write(t, s, func(ctx context.Context, tx registry.Tx) error {
		if _, err := tx.RunByToken(ctx, run.DigestOf(string(runID(1)))); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("the token of a run that is forgotten: %v", err)
		}
		return nil
	})
	if _, err := s.Run(t.Context(), other.ID); err != nil {
		t.Errorf("another step's run: %v", err)
	}
}

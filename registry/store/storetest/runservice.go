package storetest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
)

// transformer is the nth worker as a RuleTransformation.
func transformer(n int) *registry.Worker {
	w := Worker(n)
	w.Type = registry.TypeRuleTransformation
	return w
}

func stepInput(name string, retries int) registry.StepInput {
	return registry.StepInput{
		Name: name, Worker: string(uuidOf(1)), Client: run.Client{ID: "loader", SecretFile: "loader"},
		Users: run.Choice[string]{All: true}, Retries: &retries,
	}
}

// transformations opens a service with a transformation worker and steps a and b,
// which may be retried twice.
func transformations(t testing.TB, open Open) (*registry.Service, *clock) {
	t.Helper()
	c := &clock{at: noon}
	s := service(t, open, newFleet().serve(transformer(1), Worker(2)), func(o *registry.Options) { o.Clock = c.now })
	register(t, s, transformer(1), Worker(2))
	for _, name := range []string{"a", "b"} {
		if _, _, err := s.PutStep(t.Context(), admin, stepInput(name, 2), ""); err != nil {
			t.Fatal(err)
		}
	}
	return s, c
}

func startRun(t testing.TB, s *registry.Service, in registry.StartInput) run.Run {
	t.Helper()
	r, err := s.StartRun(t.Context(), admin, in)
	if err != nil {
		t.Fatalf("start %+v: %v", in, err)
	}
	return r
}

func claim(t testing.TB, s *registry.Service, owner string) *registry.Claimed {
	t.Helper()
	c, err := s.ClaimRun(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func endRun(t testing.TB, s *registry.Service, owner string, c *registry.Claimed, o run.Outcome) run.Run {
	t.Helper()
	r, err := s.EndAttempt(t.Context(), owner, c.Run.ID, len(c.Run.Attempts), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testPutStep(t *testing.T, b Backend) {
	s, c := transformations(t, b.New(t))
	in := stepInput("nightly", 0)
	step, created, err := s.PutStep(t.Context(), admin, in, "")
	if err != nil || !created || step.Revision != 1 || step.Timeout != run.DefaultTimeout || step.CreatedBy != "admin" {
		t.Fatalf("%+v %v %v", step, created, err)
	}
	if got := lastAction(t, s); got != registry.ActionStepCreated {
		t.Error(got)
	}
	rows := len(audited(t, s))
	if again, created, err := s.PutStep(t.Context(), admin, in, `"1"`); err != nil || created || again.Revision != 1 || len(audited(t, s)) != rows {
		t.Errorf("the same wish again: %+v %v %v", again, created, err)
	}
	c.advance(time.Minute)
	timeout := "90s"
	in.Timeout = &timeout
	changed, created, err := s.PutStep(t.Context(), admin, in, "1")
	if err != nil || created || changed.Revision != 2 || changed.Timeout != 90*time.Second ||
		!changed.CreatedAt.Equal(step.CreatedAt) || !changed.UpdatedAt.After(step.UpdatedAt) {
		t.Fatalf("%+v %v %v", changed, created, err)
	}
	_, _, err = s.PutStep(t.Context(), admin, in, `"1"`)
	refused(t, err, "revision_mismatch")
	_, _, err = s.PutStep(t.Context(), admin, stepInput("new", 0), `"1"`)
	refused(t, err, "revision_mismatch")
	_, err = s.DeleteStep(t.Context(), admin, "nightly", `"1"`)
	refused(t, err, "revision_mismatch")
	if _, err := s.DeleteStep(t.Context(), admin, "nightly", `"2"`); err != nil {
		t.Fatal(err)
	}
	_, err = s.Step(t.Context(), "nightly")
	refused(t, err, "not_found")
	_, err = s.DeleteStep(t.Context(), admin, "nightly", "")
	refused(t, err, "not_found")
	testStepMistakes(t, s)
}

func testStepMistakes(t *testing.T, s *registry.Service) {
	t.Helper()
	long, minus := "25h", -1
	_, _, err := s.PutStep(t.Context(), admin, registry.StepInput{
		Name: "with space", Worker: string(uuidOf(2)), Client: run.Client{SecretFile: "../etc/passwd"},
		Users: run.Choice[string]{List: []string{"alice", "", "b\x00b"}}, Entities: run.Choice[int64]{List: make([]int64, run.MaxListed+1)},
		Timeout: &long, Retries: &minus,
	}, "")
	f := refused(t, err, "bad_step")
	var found []string
	for _, v := range f.Violations {
		found = append(found, v.Pointer)
	}
	want := []string{"/name", "/client/id", "/client/secretFile", "/users/1", "/users/2", "/entities", "/timeout", "/retries", "/worker"}
	if strings.Join(found, " ") != strings.Join(want, " ") {
		t.Errorf("mistakes at %v, want %v", found, want)
	}
	in := stepInput("x", 0)
	in.Worker = string(uuidOf(9))
	_, _, err = s.PutStep(t.Context(), admin, in, "")
	if f := refused(t, err, "bad_step"); !strings.Contains(f.Detail, "not registered") {
		t.Error(f.Detail)
	}
}

func testOneRun(t *testing.T, b Backend) {
	s, _ := transformations(t, b.New(t))
	_, err := s.StartRun(t.Context(), admin, registry.StartInput{Step: "none"})
	refused(t, err, "not_found")
	first := startRun(t, s, registry.StartInput{Step: "a"})
	if first.State != run.Queued || first.StartedBy != "admin" || first.Retries != 2 {
		t.Errorf("%+v", first)
	}
	other := startRun(t, s, registry.StartInput{Step: "b"})
	again, err := s.StartRun(t.Context(), admin, registry.StartInput{Step: "a"})
	if refused(t, err, registry.CodeRunOpen); again.ID != first.ID {
		t.Errorf("the run that is open is %s, not %s", first.ID, again.ID)
	}
	if joined := startRun(t, s, registry.StartInput{Step: "a", Coalesce: true}); joined.ID != first.ID {
		t.Error("a start that may wait does not join the run that waits")
	}
	mine := claim(t, s, "one")
	if mine == nil || mine.Run.ID != first.ID || mine.Run.State != run.Running || mine.Step.Name != "a" {
		t.Fatalf("%+v", mine)
	}
	follow := startRun(t, s, registry.StartInput{Step: "a", Coalesce: true})
	third := startRun(t, s, registry.StartInput{Step: "a", Coalesce: true})
	if follow.ID == first.ID || third.ID != follow.ID {
		t.Errorf("%s, %s, %s: not exactly one follow-up", first.ID, follow.ID, third.ID)
	}
	if next := claim(t, s, "one"); next == nil || next.Run.ID != other.ID {
		t.Errorf("%+v: the other step's run has its turn", next)
	}
	if next := claim(t, s, "two"); next != nil {
		t.Errorf("%+v: two runs of one step at once", next)
	}
	open, err := s.DeleteStep(t.Context(), admin, "a", "")
	if refused(t, err, registry.CodeRunOpen); open == nil || open.ID != first.ID {
		t.Errorf("%+v", open)
	}
	endRun(t, s, "one", mine, run.Outcome{State: run.Succeeded, Status: 200})
	if next := claim(t, s, "two"); next == nil || next.Run.ID != follow.ID {
		t.Errorf("%+v: the follow-up has its turn", next)
	}
	all, err := s.Runs(t.Context(), "a", "", 10)
	if err != nil || len(all) != 2 || all[0].ID != follow.ID {
		t.Errorf("%+v %v", all, err)
	}
	_, err = s.Runs(t.Context(), "none", "", 10)
	refused(t, err, "not_found")
	_, err = s.Run(t.Context(), "b", first.ID)
	refused(t, err, "not_found")
}

func testStartKeys(t *testing.T, b Backend) {
	s, c := transformations(t, b.New(t))
	in := registry.StartInput{Step: "a", Key: "airflow-1"}
	first := startRun(t, s, in)
	var same sync.WaitGroup
	for range 5 {
		same.Go(func() {
			if r, err := s.StartRun(t.Context(), admin, in); err != nil || r.ID != first.ID {
				t.Errorf("%+v %v", r, err)
			}
		})
	}
	same.Wait()
	_, err := s.StartRun(t.Context(), admin, registry.StartInput{Step: "b", Key: "airflow-1"})
	refused(t, err, registry.CodeKeyReused)
	_, err = s.StartRun(t.Context(), admin, registry.StartInput{Step: "none", Key: "airflow-1"})
	refused(t, err, registry.CodeKeyReused) // the key is looked up before the step
	_, err = s.StartRun(t.Context(), admin, registry.StartInput{Step: "a", Key: "airflow-1", Coalesce: true})
	refused(t, err, registry.CodeKeyReused)
	bob := admin
	bob.Subject = "sub-2"
	_, err = s.StartRun(t.Context(), bob, in)
	refused(t, err, registry.CodeRunOpen) // his key is another
	// It gives the ended run as well, as it is now.
	endRun(t, s, "one", claim(t, s, "one"), run.Outcome{State: run.Succeeded, Status: 200})
	c.advance(run.KeyLife - time.Second)
	if r := startRun(t, s, in); r.ID != first.ID || r.State != run.Succeeded {
		t.Errorf("%+v", r)
	}
	c.advance(time.Second)
	if r := startRun(t, s, in); r.ID == first.ID {
		t.Error("the key is honoured for longer than its life")
	}
}

func testAttempts(t *testing.T, b Backend) {
	s, c := transformations(t, b.New(t))
	r := startRun(t, s, registry.StartInput{Step: "a"})
	failed := run.Outcome{State: run.Failed, Status: 503, Code: "worker_status", Message: "busy"}
	for n := 1; n <= 2; n++ {
		mine := claim(t, s, "one")
		if mine == nil || len(mine.Run.Attempts) != n {
			t.Fatalf("attempt %d: %+v", n, mine)
		}
		digest := run.DigestOf(fmt.Sprint("token", n))
		if err := s.HoldToken(t.Context(), "two", r.ID, n, digest); !registry.Lost(err) {
			t.Errorf("another's attempt: %v", err)
		}
		if err := s.HoldToken(t.Context(), "one", r.ID, n, digest); err != nil {
			t.Error(err)
		}
		after := endRun(t, s, "one", mine, failed)
		if after.State != run.Queued || !after.NotBefore.Equal(c.now().Add(run.Backoff(n))) {
			t.Errorf("after attempt %d: %+v", n, after)
		}
		if claim(t, s, "one") != nil {
			t.Error("tried again at once")
		}
		if _, err := s.EndAttempt(t.Context(), "one", r.ID, n, failed); !registry.Lost(err) {
			t.Errorf("ended twice: %v", err)
		}
		c.advance(run.Backoff(n))
	}
	after := endRun(t, s, "one", claim(t, s, "one"), failed)
	if after.State != run.Failed || !after.EndedAt.Equal(c.now()) || len(after.Attempts) != 3 || after.Message() != "busy" {
		t.Errorf("%+v", after)
	}
	got, err := s.Run(t.Context(), "a", r.ID)
	if err != nil {
		t.Fatal(err)
	}
	equalDeep(t, "stored", got, after)
}

func testCancelRun(t *testing.T, b Backend) {
	s, _ := transformations(t, b.New(t))
	waiting := startRun(t, s, registry.StartInput{Step: "a"})
	_, err := s.CancelRun(t.Context(), admin, "b", waiting.ID)
	refused(t, err, "not_found")
	got, err := s.CancelRun(t.Context(), admin, "a", waiting.ID)
	if err != nil || got.State != run.Cancelled || got.EndedAt.IsZero() {
		t.Errorf("%+v %v", got, err)
	}
	if again, err := s.CancelRun(t.Context(), admin, "a", waiting.ID); err != nil || again.State != run.Cancelled {
		t.Errorf("cancelled twice: %+v %v", again, err)
	}
	started := startRun(t, s, registry.StartInput{Step: "a"})
	mine := claim(t, s, "one")
	if got, err = s.CancelRun(t.Context(), admin, "a", started.ID); err != nil || got.State != run.Running || !got.Cancelling {
		t.Errorf("%+v %v", got, err)
	}
	if err := s.HoldToken(t.Context(), "one", started.ID, 1, run.DigestOf("t")); !registry.Lost(err) {
		t.Errorf("a token for a run that is being cancelled: %v", err)
	}
	// Whatever the worker says, the end is what was asked for, and is not retried.
	if after := endRun(t, s, "one", mine, run.Outcome{State: run.Failed, Message: "cut off"}); after.State != run.Cancelled {
		t.Errorf("%+v", after)
	}
	third := startRun(t, s, registry.StartInput{Step: "a"})
	endRun(t, s, "one", claim(t, s, "one"), run.Outcome{State: run.Succeeded})
	_, err = s.CancelRun(t.Context(), admin, "a", third.ID)
	refused(t, err, registry.CodeRunEnded)
}

func testInterruptRun(t *testing.T, b Backend) {
	s, _ := transformations(t, b.New(t))
	r := startRun(t, s, registry.StartInput{Step: "a"})
	claim(t, s, "dead")
	_, leases, err := s.OpenRuns(t.Context())
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	if err := s.RenewRun(t.Context(), "dead", r.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.InterruptRun(t.Context(), leases[0], "late"); !registry.Lost(err) {
		t.Errorf("taken from an owner that has renewed meanwhile: %v", err)
	}
	if _, leases, err = s.OpenRuns(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := s.InterruptRun(t.Context(), leases[0], "its gateway died")
	if err != nil || after.State != run.Queued || after.Attempts[0].State != run.Interrupted {
		t.Fatalf("%+v %v", after, err)
	}
	if _, err := s.InterruptRun(t.Context(), leases[0], "twice"); !registry.Lost(err) {
		t.Error(err)
	}
	if err := s.RenewRun(t.Context(), "dead", r.ID); !registry.Lost(err) {
		t.Errorf("the dead renews: %v", err)
	}
	mine := claim(t, s, "alive")
	if mine == nil || len(mine.Run.Attempts) != 2 {
		t.Fatalf("%+v", mine)
	}
	if _, err := s.EndAttempt(t.Context(), "dead", r.ID, 1, run.Outcome{State: run.Succeeded}); !registry.Lost(err) {
		t.Errorf("the dead ends an attempt: %v", err)
	}
	// One that was being cancelled is not tried again.
	if _, err := s.CancelRun(t.Context(), admin, "a", r.ID); err != nil {
		t.Fatal(err)
	}
	if _, leases, err = s.OpenRuns(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after, err = s.InterruptRun(t.Context(), leases[0], "died too"); err != nil || after.State != run.Cancelled {
		t.Errorf("%+v %v", after, err)
	}
}

func testRunAudit(t *testing.T, b Backend) {
	s, _ := transformations(t, b.New(t))
	r := startRun(t, s, registry.StartInput{Step: "a", Key: "k"})
	startRun(t, s, registry.StartInput{Step: "a", Key: "k"})
	mine := claim(t, s, "one")
	endRun(t, s, "one", mine, run.Outcome{State: run.Interrupted})
	mine = claim(t, s, "one")
	endRun(t, s, "one", mine, run.Outcome{State: run.Succeeded, Status: 200, Message: "done"})
	var rows []string
	for _, e := range audited(t, s) {
		if e.Resource == "rule_run:"+string(r.ID) {
			rows = append(rows, e.Action+" by "+e.Actor.Username)
			if e.Result != "ok" || len(e.After) == 0 {
				t.Errorf("%+v", e)
			}
		}
	}
	equalDeep(t, "audit", rows, []string{
		registry.ActionRunStarted + " by admin", registry.ActionRunInterrupted + " by muster", registry.ActionRunEnded + " by muster",
	})
}

// testClaimOnce has several replicas claim what one has queued.
func testClaimOnce(t *testing.T, b Backend) {
	open := b.New(t)
	first, _ := transformations(t, open)
	all := []*registry.Service{first}
	for range 3 {
		all = append(all, service(t, open, newFleet().serve(transformer(1))))
	}
	for round := range 5 {
		r := startRun(t, first, registry.StartInput{Step: "a"})
		var mu sync.Mutex
		var got []int
		var together sync.WaitGroup
		for i, s := range all {
			together.Go(func() {
				c, err := s.ClaimRun(t.Context(), fmt.Sprint("owner", i))
				if err != nil {
					t.Error(err)
				}
				if c != nil {
					mu.Lock()
					got = append(got, i)
					mu.Unlock()
				}
			})
		}
		together.Wait()
		if len(got) != 1 {
			t.Fatalf("round %d: claimed by %v", round, got)
		}
		if _, err := all[(got[0]+1)%len(all)].EndAttempt(t.Context(), fmt.Sprint("owner", got[0]), r.ID, 1, run.Outcome{State: run.Succeeded}); err != nil {
			t.Fatal(err)
		}
	}
}

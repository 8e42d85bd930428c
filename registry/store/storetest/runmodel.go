package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
)

// modelRun is what the specification says of a run.
type modelRun struct {
	id        run.ID
	step      string
	state     run.State
	attempts  int
	owner     string
	notBefore time.Time
	cancelled bool
}

// runModel is the specification of starts, claims and ends, written as simply as
// can be.
type runModel struct {
	s      *registry.Service
	c      *clock
	runs   []*modelRun
	keys   map[string]*modelRun
	params map[string]string
	usedAt map[string]time.Time
	owners int
}

const modelRetries = 2

func testRunModel(t *testing.T, b Backend) {
	s, c := transformations(t, b.New(t))
	rapid.Check(t, func(rt *rapid.T) {
		m := &runModel{s: s, c: c, keys: map[string]*modelRun{}, params: map[string]string{}, usedAt: map[string]time.Time{}}
		m.reset(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"start": m.start, "claim": m.claim, "end": m.end, "cancel": m.cancel, "die": m.die,
			"wait": func(rt *rapid.T) {
				m.c.advance(time.Duration(rapid.IntRange(1, 60).Draw(rt, "seconds")) * time.Second)
			},
			"": m.check,
		})
	})
}

// reset ends what the schedule before has left.
func (m *runModel) reset(rt *rapid.T) {
	m.c.advance(2 * run.KeyLife)
	open, leases, err := m.s.OpenRuns(rt.Context())
	if err != nil {
		rt.Fatal(err)
	}
	for _, r := range open {
		if _, err := m.s.CancelRun(rt.Context(), admin, r.Step, r.ID); err != nil {
			rt.Fatal(err)
		}
	}
	for _, l := range leases {
		if _, err := m.s.InterruptRun(rt.Context(), l, "reset"); err != nil {
			rt.Fatal(err)
		}
	}
}

func (m *runModel) open(step string) (all []*modelRun) {
	for _, r := range m.runs {
		if r.step == step && !r.state.Ended() {
			all = append(all, r)
		}
	}
	return all
}

func (m *runModel) start(rt *rapid.T) {
	step := rapid.SampledFrom([]string{"a", "b", "none"}).Draw(rt, "step")
	in := registry.StartInput{
		Step: step, Coalesce: rapid.Bool().Draw(rt, "coalesce"), Key: rapid.SampledFrom([]string{"", "k1", "k2"}).Draw(rt, "key"),
	}
	params := fmt.Sprint(step, in.Coalesce)
	got, err := m.s.StartRun(rt.Context(), admin, in)
	open := m.open(step)
	known := m.keys[in.Key]
	want := ""
	switch {
	case known != nil && m.params[in.Key] != params:
		want = registry.CodeKeyReused
	case known != nil:
	case step == "none":
		want = "not_found"
	case len(open) > 0 && !in.Coalesce:
		want = registry.CodeRunOpen
	case len(open) > 0 && open[len(open)-1].state == run.Queued:
		known = open[len(open)-1]
	default:
		known = &modelRun{id: got.ID, step: step, state: run.Queued}
		if err == nil && slices.ContainsFunc(m.runs, func(r *modelRun) bool { return r.id == got.ID }) {
			rt.Fatalf("%+v: not a new run", got)
		}
		m.runs = append(m.runs, known)
	}
	if want != "" {
		if !fault.Is(err, want) {
			rt.Fatalf("start %+v: %v, want %s", in, err, want)
		}
		return
	}
	if err != nil || got.ID != known.id || got.State != known.state {
		rt.Fatalf("start %+v: %+v %v, want %+v", in, got, err, known)
	}
	if in.Key != "" && m.keys[in.Key] == nil {
		m.keys[in.Key], m.params[in.Key], m.usedAt[in.Key] = known, params, m.c.now()
	}
}

// due is the run that a claim must get.
func (m *runModel) due() *modelRun {
	for _, r := range m.runs {
		first := m.open(r.step)
		if r.state != run.Queued || r.notBefore.After(m.c.now()) {
			continue
		}
		if first[0] == r { // nothing of the step is older and open
			return r
		}
	}
	return nil
}

func (m *runModel) claim(rt *rapid.T) {
	m.owners++
	owner := fmt.Sprint("owner-", m.owners)
	got, err := m.s.ClaimRun(rt.Context(), owner)
	if err != nil {
		rt.Fatal(err)
	}
	want := m.due()
	if (got == nil) != (want == nil) || got != nil && got.Run.ID != want.id {
		rt.Fatalf("claimed %+v, want %+v", got, want)
	}
	if want != nil {
		want.state, want.owner, want.attempts = run.Running, owner, want.attempts+1
	}
}

// running draws one that is under way; nil when there is none.
func (m *runModel) running(rt *rapid.T) *modelRun {
	var all []*modelRun
	for _, r := range m.runs {
		if r.state == run.Running {
			all = append(all, r)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return rapid.SampledFrom(all).Draw(rt, "running")
}

func (m *runModel) end(rt *rapid.T) {
	r := m.running(rt)
	if r == nil {
		return
	}
	state := rapid.SampledFrom([]run.State{run.Succeeded, run.Failed, run.Interrupted}).Draw(rt, "outcome")
	if _, err := m.s.EndAttempt(rt.Context(), "somebody else", r.id, r.attempts, run.Outcome{State: state}); !registry.Lost(err) {
		rt.Fatalf("ended by another: %v", err)
	}
	if _, err := m.s.EndAttempt(rt.Context(), r.owner, r.id, r.attempts, run.Outcome{State: state}); err != nil {
		rt.Fatal(err)
	}
	m.ended(r, state)
}

func (m *runModel) ended(r *modelRun, state run.State) {
	switch {
	case r.cancelled:
		r.state = run.Cancelled
	case state != run.Succeeded && r.attempts <= modelRetries:
		r.state, r.notBefore = run.Queued, m.c.now()
		if state == run.Failed {
			r.notBefore = m.c.now().Add(run.Backoff(r.attempts))
		}
	default:
		r.state = state
	}
}

func (m *runModel) die(rt *rapid.T) {
	r := m.running(rt)
	if r == nil {
		return
	}
	_, leases, err := m.s.OpenRuns(rt.Context())
	if err != nil {
		rt.Fatal(err)
	}
	i := slices.IndexFunc(leases, func(l registry.Lease) bool { return l.Run == r.id && l.Owner == r.owner })
	if i < 0 {
		rt.Fatalf("no lease of %+v among %+v", r, leases)
	}
	if _, err := m.s.InterruptRun(rt.Context(), leases[i], "died"); err != nil {
		rt.Fatal(err)
	}
	m.ended(r, run.Interrupted)
}

func (m *runModel) cancel(rt *rapid.T) {
	if len(m.runs) == 0 {
		return
	}
	r := rapid.SampledFrom(m.runs).Draw(rt, "run")
	_, err := m.s.CancelRun(rt.Context(), admin, r.step, r.id)
	if r.state.Ended() && r.state != run.Cancelled {
		if !fault.Is(err, registry.CodeRunEnded) {
			rt.Fatalf("%+v: %v", r, err)
		}
		return
	}
	if err != nil {
		rt.Fatal(err)
	}
	if r.state == run.Running {
		r.cancelled = true
	} else {
		r.state = run.Cancelled
	}
}

func (m *runModel) check(rt *rapid.T) {
	for key, at := range m.usedAt {
		if m.c.now().Sub(at) >= run.KeyLife {
			delete(m.keys, key)
			delete(m.usedAt, key)
		}
	}
	under := map[string]int{}
	for _, r := range m.runs {
		got, err := m.s.Run(rt.Context(), r.step, r.id)
		if err != nil {
			rt.Fatal(err)
		}
		if got.State != r.state || len(got.Attempts) != r.attempts || got.Cancelling != (r.cancelled && r.state == run.Running) {
			rt.Fatalf("%+v\nwant %+v", got, r)
		}
		if got.State == run.Running {
			under[r.step]++
		}
	}
	for step, n := range under {
		if n > 1 {
			rt.Fatalf("%d runs of %s at once", n, step)
		}
	}
}

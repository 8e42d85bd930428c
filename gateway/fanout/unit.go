package fanout

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
)

// unit is one call: elements [from, to) of one batch to one worker.
type unit struct {
	ask      *ask
	worker   *registry.Worker
	leg      *leg
	auth     string
	batch    *element.Batch
	shared   *shared
	from, to int
	// lost is the address that the first attempt was sent to; a second one goes
	// nowhere else.
	lost string
	// second is set for the one retry.
	second bool

	set  *verdict.Set
	fail *failure
}

// maxParallel bounds the calls of one request to one worker at the same time.
const maxParallel = 8

// runUnits makes all calls to one worker: one per kind, more when its settings
// split batches. Beyond the one call that was admitted, calls run side by side
// only as far as the bulkhead has room.
func (a *ask) runUnits(ctx context.Context, w *registry.Worker, l *leg, auth string) (nodes, rels *verdict.Set, fail *failure) {
	var few [2]unit
	units := a.split(few[:0], w, l, auth)
	if len(units) == 1 {
		a.runUnit(ctx, &units[0])
		if units[0].fail != nil {
			return nil, nil, units[0].fail
		}
		nodes, rels = a.gather(units)
		return nodes, rels, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var next atomic.Int64
	work := func() {
		for ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= len(units) {
				return
			}
			if a.runUnit(ctx, &units[i]); units[i].fail != nil {
				cancel()
			}
		}
	}
	var wg sync.WaitGroup
	for range min(len(units), maxParallel) - 1 {
		if !l.bulkhead.TryAcquirePermit() {
			break
		}
		wg.Go(func() {
			defer l.bulkhead.ReleasePermit()
			work()
		})
	}
	work()
	wg.Wait()
	for i := range units {
		if f := units[i].fail; f != nil && (fail == nil || fail.row == rowCancelled) {
			fail = f
		}
	}
	if fail == nil && ctx.Err() != nil {
		fail = a.ended(ctx.Err()) // ended between two calls
	}
	if fail != nil {
		return nil, nil, fail
	}
	nodes, rels = a.gather(units)
	return nodes, rels, nil
}

// mostPerCall is how many elements one call may have, 0 for all of them. Only a
// worker whose present version obeys the laws may be asked in pieces: another may
// decide differently about a part than about the whole. The setting outlives a new
// version; the proof does not.
func mostPerCall(w *registry.Worker) int {
	if w.Conformance.Level != registry.LevelLaws || w.Conformance.Version != w.Version {
		return 0
	}
	return w.Settings.MaxElementsPerCall
}

// split plans the calls.
func (a *ask) split(units []unit, w *registry.Worker, l *leg, auth string) []unit {
	for _, s := range []*shared{&a.nodes, &a.rels} {
		n := size(s.batch)
		step := n
		if most := mostPerCall(w); most > 0 && most < n {
			step = most
		}
		for from := 0; from < n; from += step {
			units = append(units, unit{
				ask: a, worker: w, leg: l, auth: auth, batch: s.batch, shared: s,
				from: from, to: min(from+step, n),
			})
		}
	}
	return units
}

// runUnit makes one call, and once more when the connection failed before a
// byte was answered and the budget has a retry left.
func (a *ask) runUnit(ctx context.Context, u *unit) {
	start := time.Now()
	u.leg.inflight.Inc()
	u.leg.budget.pay()
	set, err := u.leg.carrier.ask(ctx, u)
	if f := (*failure)(nil); errors.As(err, &f) && f.again && ctx.Err() == nil && u.leg.budget.take() {
		u.second = true
		set, err = u.leg.carrier.ask(ctx, u)
	}
	u.leg.inflight.Dec()
	u.leg.seconds.Observe(time.Since(start).Seconds())
	switch {
	case err == nil:
		u.set = set
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		u.fail = a.ended(err)
	default:
		u.fail = asFailure(err)
	}
}

// gather puts the verdicts of all calls to one worker together. Their order is
// that of the plan, whatever the order they came in.
func (a *ask) gather(units []unit) (nodes, rels *verdict.Set) {
	return a.gatherBatch(units, &a.nodes), a.gatherBatch(units, &a.rels)
}

func (a *ask) gatherBatch(units []unit, s *shared) *verdict.Set {
	if s.batch == nil {
		return nil
	}
	n := s.batch.Len()
	var all *verdict.Set
	for i := range units {
		u := &units[i]
		switch {
		case u.shared != s:
		case u.from == 0 && u.to == n:
			return u.set
		default:
			if all == nil {
				all = verdict.NewHidden(n)
			}
			all.Place(u.from, u.set)
		}
	}
	if all == nil { // an empty list: nothing was asked, and nothing is hidden
		all = verdict.NewWhole(0)
	}
	return all
}

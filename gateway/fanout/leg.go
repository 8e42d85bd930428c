package fanout

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/registry"
)

// carrier is a transport to one worker.
type carrier interface {
	// ask sends one unit of work and reads its verdicts. Its error is a *failure
	// or the context's. It uses nothing of the unit after it has returned, except
	// what Pin holds.
	ask(ctx context.Context, u *unit) (*verdict.Set, error)
	// prune drops connections past their time.
	prune()
	// close drops idle connections at once, the others when their calls end.
	close()
}

// leg is the way to one worker, with all that calls to it share.
type leg struct {
	id        registry.WorkerID
	url       string
	transport registry.Transport
	limit     int

	carrier  carrier
	bulkhead bulkhead.Bulkhead[any]
	breaker  circuitbreaker.CircuitBreaker[any]
	budget   retryBudget
	hint     verdict.Hint

	seconds  prometheus.Observer
	inflight prometheus.Gauge
	failures map[string]prometheus.Counter // by reason
}

// serves reports whether the leg fits a worker's record.
func (l *leg) serves(w *registry.Worker) bool {
	return l.url == w.URL && l.transport == w.Transport && l.limit == w.Settings.MaxConcurrent
}

func (f *Fleet) newLeg(w *registry.Worker) *leg {
	limit := max(w.Settings.MaxConcurrent, 1)
	b := f.cfg.Breaker
	l := &leg{
		id: w.ID, url: w.URL, transport: w.Transport, limit: w.Settings.MaxConcurrent,
		bulkhead: bulkhead.New[any](uint(limit)),
		breaker: circuitbreaker.NewBuilder[any]().
			WithFailureRateThreshold(b.Rate, b.MinCalls, b.Window).
			WithSuccessThreshold(1).
			WithDelay(b.Delay).
			Build(),
		seconds:  f.metrics.seconds.WithLabelValues(string(w.ID), w.Type, string(w.Transport)),
		inflight: f.metrics.inflight.WithLabelValues(string(w.ID)),
		failures: f.metrics.failuresOf(w.ID),
	}
	l.budget.share = int64(f.cfg.RetryShare * retryUnit)
	l.budget.left.Store(retryBurst * retryUnit)
	l.carrier = f.newCarrier(w, limit)
	return l
}

func (f *Fleet) newCarrier(w *registry.Worker, limit int) carrier {
	t, err := parseTarget(w.URL)
	switch {
	case err != nil:
		return brokenCarrier{err}
	case w.Transport == registry.TransportGRPC:
		return newGRPCCarrier(f, t)
	default:
		c, err := newRESTCarrier(f, t, limit)
		if err != nil {
			return brokenCarrier{err}
		}
		return c
	}
}

// brokenCarrier stands for a worker whose record no call can be made from. The
// registry refuses such records, so this is a defect, and it fails closed.
type brokenCarrier struct{ err error }

func (b brokenCarrier) ask(context.Context, *unit) (*verdict.Set, error) {
	return nil, &failure{row: rowUnreachable, reason: "bad_url", detail: "its address is malformed", cause: b.err}
}
func (brokenCarrier) prune() {}
func (brokenCarrier) close() {}

// admit asks the breaker and the bulkhead for one call. Whoever gets nil must
// call the leg's leave.
func (l *leg) admit() *failure {
	if !l.breaker.TryAcquirePermit() {
		return &failure{
			row: rowCircuitOpen, reason: "circuit_open",
			detail: "it failed too often of late and is given time to recover",
			retry:  max(l.breaker.RemainingDelay(), time.Second),
		}
	}
	if !l.bulkhead.TryAcquirePermit() {
		l.settle(settleNothing)
		return &failure{
			row: rowBusy, reason: "busy", detail: "it has as many calls in flight as its settings allow (maxConcurrent)",
			retry: time.Second,
		}
	}
	return nil
}

type settlement uint8

const (
	settleSuccess settlement = iota
	settleFailure
	settleNothing // neither for nor against the worker
)

// settle tells the breaker how an admitted call went.
func (l *leg) settle(s settlement) {
	switch s {
	case settleSuccess:
		l.breaker.RecordSuccess()
	case settleFailure:
		l.breaker.RecordFailure()
	case settleNothing:
		// A trial of a half-open breaker that told nothing gives its permit back:
		// the trial starts anew.
		if l.breaker.IsHalfOpen() {
			l.breaker.Open()
			l.breaker.HalfOpen()
		}
	}
}

const (
	retryUnit  = 1000
	retryBurst = 10
)

// retryBudget keeps retries a bounded share of calls: every call pays in, every
// retry takes out, and a worker that is down is not called twice as often.
type retryBudget struct {
	left  atomic.Int64
	share int64
}

func (b *retryBudget) pay() {
	if left := b.left.Load(); left < retryBurst*retryUnit {
		b.left.CompareAndSwap(left, min(left+b.share, retryBurst*retryUnit))
	}
}

func (b *retryBudget) take() bool {
	for {
		left := b.left.Load()
		if left < retryUnit {
			return false
		}
		if b.left.CompareAndSwap(left, left-retryUnit) {
			return true
		}
	}
}

package fanout

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
	"github.com/muster-fleet/muster/workers/token"
)

// Call is one request to all workers.
type Call struct {
	// Snapshot is the one that the request took at its start.
	Snapshot *registry.Snapshot
	// Workers are those to ask, ordered by name, then uuid.
	Workers []*registry.Worker
	// Request holds what is sent. It must stay as it is until Ask has returned.
	Request *element.Request
	// Principal is the caller; Token its bearer token as it came, empty for a
	// personal access token, which never leaves the gateway.
	Principal *token.Principal
	Token     string
	// Hops is how many gateways the request has passed before this one.
	Hops int
	// Standing tells what is known beside the snapshot; it may be nil.
	Standing func(registry.WorkerID) registry.State
	// Body holds the buffer behind Request for gRPC calls, whose connections may
	// send from it after Ask has returned. With nil they send from a copy.
	Body Pin
}

// Pin keeps a buffer from being used again. It is safe for concurrent use.
type Pin interface {
	// Retain asks for the buffer to be left alone until Release, once more.
	Retain()
	Release()
}

// Outcome is what one worker said. Without Err the sets are its verdicts; nil
// for a kind that the request has not. With Err the worker failed and its
// registration says to hide what it did not judge: the sets hide everything.
type Outcome struct {
	Worker        *registry.Worker
	Nodes         *verdict.Set
	Relationships *verdict.Set
	Err           *fault.Error
}

// errSibling cancels the other calls when a required worker has failed.
var errSibling = errors.New("another required worker has failed")

// sameMoment is how long the other calls may still go on when a required worker
// has failed that is not the first by name: of workers that fail together, as
// when what they all need is gone, the error names the same one every time.
const sameMoment = 20 * time.Millisecond

// ask is one Ask in progress.
type ask struct {
	fleet *Fleet
	call  *Call
	ctx   context.Context //nolint:containedctx // of the request, to tell whose deadline ran out
	auth  string
	hops  string

	nodes, rels shared
	outcomes    []Outcome
	failures    []*failure

	failed   sync.Once
	givingUp *time.Timer // set within failed; read when all calls have ended
}

// Ask asks all workers at once and returns one Outcome per worker, in their
// order. When a worker fails whose registration requires it, the other calls are
// cancelled (at most sameMoment later) and the error, a *fault.Error, blames the
// first such worker by name among those that had failed by then. Workers are not
// called with nothing. When Ask returns no goroutine of it runs.
func (f *Fleet) Ask(ctx context.Context, call *Call) ([]Outcome, error) {
	if len(call.Workers) == 0 || size(call.Request.Nodes)+size(call.Request.Relationships) == 0 {
		return nil, nil
	}
	if err := f.enter(); err != nil {
		return nil, fault.New(fault.Unavailable, "draining", "the gateway is shutting down").Wrap(err)
	}
	defer f.asks.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a := newAsk(ctx, f, call)
	last := len(call.Workers) - 1
	var wg sync.WaitGroup
	for i := range last {
		wg.Go(func() { a.worker(cancel, i) })
	}
	// The last one runs here: with one worker there is no goroutine at all.
	a.worker(cancel, last)
	wg.Wait()
	if a.givingUp != nil {
		a.givingUp.Stop()
	}
	return a.conclude()
}

// giveUp cancels the other calls because required worker i has failed.
func (a *ask) giveUp(cancel context.CancelCauseFunc, i int) {
	if i == 0 {
		cancel(errSibling)
		return
	}
	a.failed.Do(func() {
		a.givingUp = time.AfterFunc(sameMoment, func() { cancel(errSibling) })
	})
}

// conclude picks the error to show: the first by name.
func (a *ask) conclude() ([]Outcome, error) {
	var first *fault.Error
	cancelled := false
	for i, fail := range a.failures {
		if fail == nil {
			continue
		}
		w := a.call.Workers[i]
		switch {
		case fail.row == rowCancelled:
			cancelled = true
		case w.Settings.OnFailure != registry.HideUnjudged && first == nil:
			first = fail.fault(w)
		}
	}
	if first != nil {
		return nil, first
	}
	if cancelled {
		return nil, fault.From(context.Cause(a.ctx))
	}
	return a.outcomes, nil
}

// worker asks one worker and notes the outcome.
func (a *ask) worker(cancel context.CancelCauseFunc, i int) {
	w := a.call.Workers[i]
	out := &a.outcomes[i]
	out.Worker = w
	nodes, rels, fail := a.judge(a.ctx, w)
	if fail == nil {
		out.Nodes, out.Relationships = nodes, rels
		return
	}
	a.failures[i] = fail
	if fail.row == rowCancelled {
		return
	}
	if w.Settings.OnFailure != registry.HideUnjudged {
		a.giveUp(cancel, i)
		return
	}
	out.Err = fail.fault(w)
	out.Nodes, out.Relationships = hidden(a.nodes.batch), hidden(a.rels.batch)
}

func hidden(b *element.Batch) *verdict.Set {
	if b == nil {
		return nil
	}
	return verdict.NewHidden(b.Len())
}

// judge gets one worker's verdicts, and tells breaker, standing, log and trace
// how it went.
func (a *ask) judge(ctx context.Context, w *registry.Worker) (nodes, rels *verdict.Set, fail *failure) {
	l := a.fleet.leg(w)
	ctx, span := a.fleet.startSpan(ctx, w)
	defer span.End()
	if fail = a.mayCall(w); fail == nil {
		fail = l.admit()
	}
	if fail != nil {
		a.fleet.report(ctx, l, w, span, fail)
		return nil, nil, fail
	}
	defer l.bulkhead.ReleasePermit()
	own := time.Now().Add(w.Settings.Timeout)
	deadline, bounded := ctx.Deadline()
	early := bounded && deadline.Before(own)
	ctx, cancel := context.WithDeadline(ctx, own)
	defer cancel()
	auth, fail := a.authorization(ctx, w)
	if fail == nil {
		nodes, rels, fail = a.runUnits(ctx, w, l, auth)
	}
	if fail == nil {
		l.settle(settleSuccess)
		a.fleet.observe(w, Succeeded, "")
		return nodes, rels, nil
	}
	if fail.row == rowTimeout && early {
		fail.early = true
	}
	l.settle(fail.settlement())
	a.fleet.report(ctx, l, w, span, fail)
	return nil, nil, fail
}

// settlement is what the failure means for the breaker.
func (f *failure) settlement() settlement {
	if f.early {
		return settleNothing
	}
	return rows[f.row].breaker
}

// mayCall refuses calls that must not be made at all.
func (a *ask) mayCall(w *registry.Worker) *failure {
	quarantined := w.Quarantined != nil ||
		a.call.Standing != nil && a.call.Standing(w.ID) == registry.StateQuarantined
	switch {
	case quarantined:
		return &failure{row: rowQuarantined, reason: "quarantined", detail: "it is in quarantine and is not called until an operator pardons it"}
	case a.call.Token == "":
		return &failure{row: rowLoginRequired, reason: "login_token_required",
			detail: "a personal access token is not passed on to workers; log in and use the login's token"}
	}
	return nil
}

// authorization returns the header value for one worker.
func (a *ask) authorization(ctx context.Context, w *registry.Worker) (string, *failure) {
	if w.Settings.Identity != registry.IdentityExchange {
		return a.auth, nil
	}
	fail := &failure{row: rowIdentity, reason: "identity", detail: "no token could be obtained for its audience"}
	if a.fleet.deps.Exchanger == nil {
		fail.detail = "its identity is exchange, and no token exchange is configured (auth.clientID)"
		return "", fail
	}
	got, err := a.fleet.deps.Exchanger.Exchange(ctx, a.call.Token, w.Settings.Audience)
	if err != nil {
		if a.ctx.Err() != nil {
			return "", a.ended(a.ctx.Err())
		}
		fail.cause = err
		return "", fail
	}
	return "Bearer " + got, nil
}

// ended turns a context's error into the row it stands for.
func (a *ask) ended(err error) *failure {
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(a.ctx.Err(), context.Canceled) {
		return &failure{row: rowTimeout, reason: "timeout", detail: "no answer in time", cause: err}
	}
	return &failure{row: rowCancelled, reason: "cancelled", detail: "the request ended before it", cause: err}
}

func newAsk(ctx context.Context, f *Fleet, call *Call) *ask {
	return &ask{
		fleet: f, call: call, ctx: ctx, auth: "Bearer " + call.Token, hops: strconv.Itoa(call.Hops + 1),
		nodes:    shared{batch: call.Request.Nodes, pin: call.Body},
		rels:     shared{batch: call.Request.Relationships, pin: call.Body},
		outcomes: make([]Outcome, len(call.Workers)),
		failures: make([]*failure, len(call.Workers)),
	}
}

func size(b *element.Batch) int {
	if b == nil {
		return 0
	}
	return b.Len()
}

package fanout

import (
	"context"
	"errors"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"

	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
)

// lane is one gRPC worker's part of a Stream. Its worker's timeout runs only
// while the worker is waited for: while it does not take what is sent, and after
// the last element; a caller that sends slowly uses up nobody's time but its own.
type lane struct {
	s     *Stream
	index int
	w     *registry.Worker
	leg   *leg
	ctx   context.Context //nolint:containedctx // of the worker's span
	span  trace.Span
	auth  string

	admitted bool
	parts    []*part
	open     [2]*part // by kind; the one that takes elements
	// failed is set once, by whoever finds the first failure.
	failed    atomic.Pointer[failure]
	reported  bool
	concluded bool
	released  bool
}

// errOwnTimeout cancels a part whose worker did not answer in its time.
var errOwnTimeout = errors.New("the worker's timeout has passed")

func newLane(s *Stream, index int, w *registry.Worker) *lane {
	s.ask.outcomes[index].Worker = w
	return &lane{s: s, index: index, w: w, span: noSpan}
}

// admit does once what comes before a worker's first call.
func (l *lane) admit() *failure {
	if l.admitted {
		return nil
	}
	f := l.s.ask.fleet
	l.leg = f.leg(l.w)
	l.ctx, l.span = f.startSpan(l.s.ask.ctx, l.w)
	if fail := l.s.ask.mayCall(l.w); fail != nil {
		return fail
	}
	if fail := l.leg.admit(); fail != nil {
		return fail
	}
	l.admitted = true
	auth, fail := l.s.ask.authorization(l.ctx, l.w)
	l.auth = auth
	return fail
}

// send passes elements on: whole when the worker takes them as they are, cut to
// its settings otherwise.
func (l *lane) send(c *element.Chunk, whole *chunk) {
	if l.failed.Load() != nil {
		return
	}
	if fail := l.admit(); fail != nil {
		l.fail(fail)
		return
	}
	b, k := c.Batch, c.Batch.Kind()-1
	if k > 0 && l.open[0] != nil {
		l.end(0) // all nodes have come
	}
	most := mostPerCall(l.w)
	for from := 0; from < b.Len(); {
		p := l.open[k]
		if p == nil {
			if p = l.begin(b.Kind()); p == nil {
				return
			}
		}
		to, ch := b.Len(), whole
		if most > 0 {
			to = min(b.Len(), from+most-p.count)
			ch = encodeOwned(b, p.count, from, to)
		}
		if !p.send(ch, to-from) {
			return // the part's collector knows why
		}
		if from = to; p.count == most {
			l.end(int(k))
		}
	}
}

// begin opens the next call for elements of a kind. The calls of one worker
// follow each other, unless the bulkhead has room for one more.
func (l *lane) begin(k element.Kind) *part {
	extra := false
	if n := len(l.parts); n > 0 {
		if extra = l.leg.bulkhead.TryAcquirePermit(); !extra {
			<-l.parts[n-1].done
		}
	}
	p, fail := l.newPart(k, extra)
	if fail != nil && fail.again && l.ctx.Err() == nil && l.leg.budget.take() {
		p, fail = l.newPart(k, extra) // nothing has been sent yet
	}
	if fail != nil {
		if extra {
			l.leg.bulkhead.ReleasePermit()
		}
		l.fail(fail)
		return nil
	}
	l.parts = append(l.parts, p)
	l.open[k-1] = p
	return p
}

func (l *lane) end(k int) {
	if p := l.open[k]; p != nil {
		l.open[k] = nil
		p.finish()
	}
}

// fail notes the first failure; a required worker's ends the whole stream.
func (l *lane) fail(f *failure) {
	if l.failed.CompareAndSwap(nil, f) && f.row != rowCancelled && l.w.Settings.OnFailure != registry.HideUnjudged {
		l.s.cancel(errSibling)
	}
}

func (l *lane) finish() {
	l.end(0)
	l.end(1)
}

// join waits for the worker's calls and notes the failure there was.
func (l *lane) join() {
	if l.failed.Load() != nil {
		for _, p := range l.parts {
			p.cancel(context.Canceled)
		}
	}
	for _, p := range l.parts {
		<-p.done
	}
	if f := l.failed.Load(); f != nil && !l.reported {
		l.reported = true
		l.s.ask.failures[l.index] = f
		if l.admitted {
			l.leg.settle(f.settlement())
		}
		l.s.ask.fleet.report(l.s.ask.ctx, l.leg, l.w, l.span, f)
	}
}

// conclude turns what the worker said into its outcome.
func (l *lane) conclude() {
	out := &l.s.ask.outcomes[l.index]
	if f := l.failed.Load(); f != nil {
		out.Err = f.fault(l.w)
		out.Nodes, out.Relationships = l.s.hidden(element.Nodes), l.s.hidden(element.Relationships)
		return
	}
	out.Nodes, out.Relationships = l.verdicts(element.Nodes), l.verdicts(element.Relationships)
	if l.w.Settings.Mask {
		out.Nodes = l.s.shapes.fit(element.Nodes, out.Nodes)
		out.Relationships = l.s.shapes.fit(element.Relationships, out.Relationships)
	}
	if l.admitted {
		l.concluded = true
		l.leg.settle(settleSuccess)
		l.s.ask.fleet.observe(l.w, Succeeded, "")
	}
}

func (l *lane) verdicts(k element.Kind) *verdict.Set {
	all := l.s.hidden(k)
	from := 0
	for _, p := range l.parts {
		if p.kind != k {
			continue
		}
		if p.count == all.Len() {
			return p.set
		}
		all.Place(from, p.set)
		from += p.count
	}
	return all
}

// close cancels what still runs and gives everything back.
func (l *lane) close() {
	for _, p := range l.parts {
		p.cancel(context.Canceled)
		p.timer.Stop()
	}
	l.join()
	if l.released {
		return
	}
	l.released = true
	if l.admitted {
		l.leg.bulkhead.ReleasePermit()
		if !l.reported && !l.concluded {
			l.leg.settle(settleNothing) // given up before it could tell anything
		}
	}
	l.span.End()
}

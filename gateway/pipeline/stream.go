package pipeline

import (
	"context"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
)

// StreamInput is one request whose elements arrive bit by bit.
type StreamInput struct {
	Caller authn.Caller
	// Type says what the stream holds.
	Type element.Type
	// Options are those of reading.
	Options element.Options
	// Explain and Hops are as in Input.
	Explain bool
	Hops    int
	// MaxHeld bounds the bytes held while a worker over REST is among those to
	// ask; 0 means 256 MiB.
	MaxHeld int64
}

// Stream takes a request through the line whose elements are dropped once they
// have been passed on: what stays of each is a digest and its verdict. It is for
// one goroutine and must be closed.
type Stream struct {
	in       StreamInput
	snapshot *registry.Snapshot
	elements *element.Stream
	asked    *fanout.Stream
	asks     bool
	rules    *rules.Stream // nil when rules are off
	sent     [2]int        // elements passed on, by kind, when rules are on
}

// Stream begins a request. Nothing is asked before the first element.
func (f *Filter) Stream(ctx context.Context, in StreamInput) (*Stream, error) {
	snapshot, program := f.program(in.Caller)
	workers, err := f.workersFor(snapshot, in.Hops)
	if err != nil {
		return nil, err
	}
	asked, err := f.deps.Fleet.Open(ctx, &fanout.StreamCall{
		Snapshot: snapshot, Workers: workers, Principal: in.Caller.Principal, Token: in.Caller.Token,
		Hops: in.Hops, Standing: f.deps.Standings, Type: in.Type, MaxHeld: in.MaxHeld,
	})
	if err != nil {
		return nil, err
	}
	s := &Stream{
		in: in, snapshot: snapshot, elements: element.NewStream(in.Type, in.Options),
		asked: asked, asks: len(workers) > 0,
	}
	if program != nil {
		s.rules = program.Stream(in.Type, s.elements, in.Explain)
	}
	return s, nil
}

// Add reads the next elements of a kind, given as the columns of the gRPC
// contract, and passes on those that have not been there before, as far as rules
// leave them. data must not be changed by anybody any more. Errors are
// *fault.Error and end the stream.
func (s *Stream) Add(k element.Kind, base uint64, data []byte, starts, ends []uint32) error {
	c, err := s.elements.Add(k, base, data, starts, ends)
	if err != nil {
		return err
	}
	defer c.Release()
	if s.rules == nil {
		return s.asked.Send(c)
	}
	sel, err := s.rules.Add(c)
	if err != nil || !s.asks {
		return err
	}
	from := s.sent[k-1]
	s.sent[k-1] += sel.Count()
	if sel.Whole() {
		return s.asked.Send(&element.Chunk{From: from, Batch: c.Batch})
	}
	left := c.Select(from, sel)
	defer left.Release()
	return s.asked.Send(left)
}

// Decide says that all elements have come, and returns what may be seen. The
// verdicts are by place: an element that came twice is judged twice. There is
// no decision before every worker has ended well. The elements are gone by then,
// so strips of properties that an element does not have are still among the
// verdicts of workers over gRPC; whoever applies them finds nothing to strip.
func (s *Stream) Decide() (*Decision, error) {
	outcomes, err := s.asked.Finish()
	if err != nil {
		return nil, fault.From(err)
	}
	d, err := newDecision(s.snapshot)
	if err != nil {
		return nil, err
	}
	d.Complete = complete(outcomes)
	byNodes, byRels := s.ruled(element.Nodes), s.ruled(element.Relationships)
	nodes := s.meet(element.Nodes, byNodes, outcomes, nodesOf)
	rels := s.meet(element.Relationships, byRels, outcomes, relsOf)
	var before *verdict.Set
	if s.in.Type == element.TypeGraph {
		if s.in.Explain {
			before = rels.Clone()
		}
		verdict.CloseOver(s.elements, nodes, rels)
	}
	if s.in.Explain {
		e := explained{}
		if s.rules != nil {
			e = explainRules(byNodes, byRels, s.rules.Listed())
			outcomes = lift(outcomes, byNodes, byRels)
		}
		e.workers(outcomes, before, rels)
		d.Explanations = s.explain(e, nodes, rels)
	}
	d.Nodes, d.Relationships = s.spread(element.Nodes, nodes), s.spread(element.Relationships, rels)
	return d, nil
}

// ruled is what the rules say of a kind; nil when they are off, and for a kind
// that the stream does not have.
func (s *Stream) ruled(k element.Kind) *verdict.Set {
	if s.rules == nil || !s.has(k) {
		return nil
	}
	return verdict.Select(s.rules.Selection(k), nil)
}

func (s *Stream) has(k element.Kind) bool {
	return s.in.Type == element.TypeGraph || s.in.Type == element.TypeNodes && k == element.Nodes ||
		s.in.Type == element.TypeRelationships && k == element.Relationships
}

// meet merges what rules and workers say of a kind.
func (s *Stream) meet(k element.Kind, by *verdict.Set, outcomes []fanout.Outcome, of func(*fanout.Outcome) *verdict.Set) *verdict.Set {
	switch {
	case !s.has(k):
		return nil
	case by != nil && len(outcomes) == 0:
		return by.Clone()
	}
	n := s.elements.Len(k)
	if by != nil {
		n = s.sent[k-1]
	}
	merged := verdict.NewWhole(n)
	for i := range outcomes {
		verdict.Meet(merged, of(&outcomes[i]))
	}
	if by != nil {
		return verdict.Widen(by, merged)
	}
	return merged
}

func (s *Stream) spread(k element.Kind, set *verdict.Set) *verdict.Set {
	if set == nil {
		return nil
	}
	return set.Spread(s.elements.Places(k), func(place int) int { return s.elements.Ordinal(k, place) })
}

// Close ends the stream, and every call that is still being made.
func (s *Stream) Close() {
	if s.rules != nil {
		s.rules.Close()
	}
	s.asked.Close()
}

package pipeline

import (
	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/element"
)

// explain says who took what away.
func (e *explained) explain(req *element.Request) []verdict.Explanation {
	// An empty list, not nil: the answer has been explained, and nothing was
	// taken away.
	out := []verdict.Explanation{}
	if req.Nodes != nil {
		out = append(out, verdict.Explain(req.Nodes, e.nodes)...)
	}
	if req.Relationships != nil {
		out = append(out, verdict.Explain(req.Relationships, e.rels)...)
	}
	return out
}

// workers adds what each worker said, and the closure where before, the
// relationships' verdicts without it, is not nil.
func (e *explained) workers(outcomes []fanout.Outcome, before, after *verdict.Set) {
	for i := range outcomes {
		o := &outcomes[i]
		cause := causeOf(o)
		e.nodes = append(e.nodes, verdict.SourceSet{Cause: cause, Set: o.Nodes})
		e.rels = append(e.rels, verdict.SourceSet{Cause: cause, Set: o.Relationships})
	}
	if before != nil {
		e.rels = append(e.rels, verdict.Closure(before, after))
	}
}

// lift turns outcomes over what rules left into outcomes over everything.
func lift(outcomes []fanout.Outcome, byNodes, byRels *verdict.Set) []fanout.Outcome {
	out := make([]fanout.Outcome, len(outcomes))
	for i, o := range outcomes {
		if o.Nodes != nil {
			o.Nodes = verdict.Lift(byNodes, o.Nodes)
		}
		if o.Relationships != nil {
			o.Relationships = verdict.Lift(byRels, o.Relationships)
		}
		out[i] = o
	}
	return out
}

// explain is the same for elements that are no longer there. Ordinals are those
// of the first place of each element.
func (s *Stream) explain(e explained, nodes, rels *verdict.Set) []verdict.Explanation {
	out := []verdict.Explanation{}
	if nodes != nil {
		out = append(out, s.explainKind(element.Nodes, nodes, e.nodes)...)
	}
	if rels != nil {
		out = append(out, s.explainKind(element.Relationships, rels, e.rels)...)
	}
	return out
}

func (s *Stream) explainKind(k element.Kind, all *verdict.Set, bySource []verdict.SourceSet) []verdict.Explanation {
	out := verdict.ExplainOrdinals(k, all.Len(), bySource)
	places := s.elements.Places(k)
	if places == all.Len() {
		return out
	}
	first := make([]int, all.Len())
	for p := places - 1; p >= 0; p-- {
		first[s.elements.Ordinal(k, p)] = p
	}
	for i := range out {
		out[i].Ordinal = first[out[i].Ordinal]
	}
	return out
}

// causeOf names a worker. One that failed and hides by its registration gives
// the failure's code as its reason.
func causeOf(o *fanout.Outcome) verdict.Cause {
	c := verdict.Cause{Worker: &fault.WorkerRef{UUID: string(o.Worker.ID), Name: fanout.Clean(o.Worker.Name)}}
	if o.Err != nil {
		c.Reason = o.Err.Code
	}
	return c
}

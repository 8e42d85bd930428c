package pipeline

import (
	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/element"
)

// explain says who took what away: each worker, and the closure where before,
// the relationships' verdicts without it, is not nil.
func explain(req *element.Request, outcomes []fanout.Outcome, before, after *verdict.Set) []verdict.Explanation {
	nodes, rels := sources(outcomes, before, after)
	// An empty list, not nil: the answer has been explained, and nothing was
	// taken away.
	out := []verdict.Explanation{}
	if req.Nodes != nil {
		out = append(out, verdict.Explain(req.Nodes, nodes)...)
	}
	if req.Relationships != nil {
		out = append(out, verdict.Explain(req.Relationships, rels)...)
	}
	return out
}

// sources are what each worker said, and the closure.
func sources(outcomes []fanout.Outcome, before, after *verdict.Set) (nodes, rels []verdict.SourceSet) {
	for i := range outcomes {
		o := &outcomes[i]
		cause := causeOf(o)
		nodes = append(nodes, verdict.SourceSet{Cause: cause, Set: o.Nodes})
		rels = append(rels, verdict.SourceSet{Cause: cause, Set: o.Relationships})
	}
	if before != nil {
		rels = append(rels, verdict.Closure(before, after))
	}
	return nodes, rels
}

// explain is the same for elements that are no longer there. Ordinals are those
// of the first place of each element.
func (s *Stream) explain(outcomes []fanout.Outcome, nodes, before, rels *verdict.Set) []verdict.Explanation {
	bySource, relsBySource := sources(outcomes, before, rels)
	out := []verdict.Explanation{}
	if nodes != nil {
		out = append(out, s.explainKind(element.Nodes, nodes, bySource)...)
	}
	if rels != nil {
		out = append(out, s.explainKind(element.Relationships, rels, relsBySource)...)
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

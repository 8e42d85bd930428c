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
	var nodes, rels []verdict.SourceSet
	for i := range outcomes {
		o := &outcomes[i]
		cause := causeOf(o)
		nodes = append(nodes, verdict.SourceSet{Cause: cause, Set: o.Nodes})
		rels = append(rels, verdict.SourceSet{Cause: cause, Set: o.Relationships})
	}
	if before != nil {
		rels = append(rels, verdict.Closure(before, after))
	}
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

// causeOf names a worker. One that failed and hides by its registration gives
// the failure's code as its reason.
func causeOf(o *fanout.Outcome) verdict.Cause {
	c := verdict.Cause{Worker: &fault.WorkerRef{UUID: string(o.Worker.ID), Name: fanout.Clean(o.Worker.Name)}}
	if o.Err != nil {
		c.Reason = o.Err.Code
	}
	return c
}

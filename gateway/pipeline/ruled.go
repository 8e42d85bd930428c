package pipeline

import (
	"sync"
	"sync/atomic"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
)

// program returns what the rules say to a caller; nil when rules are off. The
// snapshot is the one that they are of: as new as the newest when it was asked.
func (f *Filter) program(caller authn.Caller) (*registry.Snapshot, *rules.Program) {
	if f.deps.Rules == nil {
		return f.deps.Snapshots(), nil
	}
	p := caller.Principal
	return f.deps.Rules.Program(f.deps.Snapshots, rule.SubjectsOf(p.Username, p.Client, p.Groups))
}

// ruled is what rules did to a request.
type ruled struct {
	req     *element.Request
	program *rules.Program
	result  *rules.Result
	// left is the request of what they leave: it goes to the workers, and the
	// answer is written from it. It is nil when nothing is left, and req itself
	// when nothing was taken away.
	left *element.Request
	body *leftBody // behind left
}

var results = sync.Pool{New: func() any { return new(rules.Result) }}

// newRuled applies rules to a request. Nothing is copied unless something was
// taken away and something is left.
func newRuled(p *rules.Program, req *element.Request, explain bool) *ruled {
	result, _ := results.Get().(*rules.Result)
	result.Explain = explain
	r := &ruled{req: req, program: p, result: result}
	p.Decide(req, result)
	switch {
	case !result.Any():
	case result.Whole():
		r.left = req
	default:
		r.body = newLeftBody()
		r.left, r.body.buf = req.Select(r.body.buf, &result.Nodes, &result.Relationships)
	}
	return r
}

// pin holds the bytes behind left; given is what holds those behind the request.
func (r *ruled) pin(given fanout.Pin) fanout.Pin {
	if r.body == nil {
		return given
	}
	return r.body
}

// sets returns what the rules leave as verdicts over the request.
func (r *ruled) sets() (nodes, rels *verdict.Set) {
	if r.req.Nodes != nil {
		nodes = verdict.Select(&r.result.Nodes, r.req.Nodes)
	}
	if r.req.Relationships != nil {
		rels = verdict.Select(&r.result.Relationships, r.req.Relationships)
	}
	return nodes, rels
}

// release gives everything back; no set of the request may be used afterwards.
func (r *ruled) release() {
	if r.left != nil && r.left != r.req {
		r.left.Release()
	}
	if r.body != nil {
		r.body.Release()
	}
	results.Put(r.result)
	*r = ruled{}
}

// leftBody is the bytes of a narrowed request. Connections over gRPC may send
// from them after the request has ended.
type leftBody struct {
	buf  []byte
	held atomic.Int32
}

// maxLeftBody is the largest buffer that is kept for the next request, in bytes.
const maxLeftBody = 8 << 20

var leftBodies = sync.Pool{New: func() any { return new(leftBody) }}

func newLeftBody() *leftBody {
	b, _ := leftBodies.Get().(*leftBody)
	b.held.Store(1)
	return b
}

// Retain keeps the bytes until Release, once more.
func (b *leftBody) Retain() { b.held.Add(1) }

// Release gives the bytes back when nobody holds them any more.
func (b *leftBody) Release() {
	if b.held.Add(-1) == 0 && cap(b.buf) <= maxLeftBody {
		leftBodies.Put(b)
	}
}

// explained is what the rules took away, by reason: elements for which no rule
// speaks, properties that none of those that do grants, relationships that lost
// an end.
type explained struct{ nodes, rels []verdict.SourceSet }

func explainRules(nodes, rels *verdict.Set, listed *element.Selection) explained {
	var e explained
	if nodes != nil {
		hides, strips := nodes.Split()
		e.nodes = []verdict.SourceSet{{Cause: access(verdict.ReasonNoRule), Set: hides}, {Cause: access(verdict.ReasonNotGranted), Set: strips}}
	}
	if rels != nil {
		by := verdict.Select(listed, nil)
		e.rels = []verdict.SourceSet{{Cause: access(verdict.ReasonNoRule), Set: by}, verdict.Closure(by, rels)}
	}
	return e
}

func access(reason string) verdict.Cause {
	return verdict.Cause{Rule: verdict.RuleAccess, Reason: reason}
}

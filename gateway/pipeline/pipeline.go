// Package pipeline is the line that a filter request goes through, and the place
// to begin reading the gateway:
//
//	snapshot -> rules -> workers to ask -> fan-out -> meet -> close -> decision
//
// A stage takes a value and returns a value; nothing here keeps state between
// requests. Verdicts only ever take away: the decision for an element is the
// meet over the rules and all active workers (law 1), so the order in which they
// answer, how they are called and whether their batches were split never change
// it. Workers get what the rules leave, and nothing else.
package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
)

// MaxHops is how many gateways a request may pass, one behind the other.
const MaxHops = 8

// Config bounds what the line does.
type Config struct {
	// MinWorkers is how many active ExternalGraphSecurity workers there must be
	// for a request to be answered at all; 0 answers without any.
	MinWorkers int
	// Now is the clock by which pauses end; nil means time.Now.
	Now func() time.Time
}

// Asker asks the workers. It is *fanout.Fleet.
type Asker interface {
	Ask(ctx context.Context, call *fanout.Call) ([]fanout.Outcome, error)
	Open(ctx context.Context, call *fanout.StreamCall) (*fanout.Stream, error)
}

// Deps are what the line stands on; Standings and Rules may be nil.
type Deps struct {
	// Snapshots returns the newest snapshot, never nil.
	Snapshots func() *registry.Snapshot
	Fleet     Asker
	// Standings tells what this replica has observed of a worker.
	Standings func(registry.WorkerID) registry.State
	// Rules evaluates Graph Access Rules; nil when they are switched off.
	Rules *rules.Engine
}

// Filter decides requests. It is safe for concurrent use.
type Filter struct {
	cfg  Config
	deps Deps
}

// New returns a Filter.
func New(cfg Config, deps Deps) (*Filter, error) {
	if deps.Snapshots == nil || deps.Fleet == nil {
		return nil, errors.New("pipeline: Snapshots and Fleet are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Filter{cfg: cfg, deps: deps}, nil
}

// Input is one request.
type Input struct {
	Caller authn.Caller
	// Request must stay as it is until Decide has returned; the explanations of
	// its decision refer to it for longer.
	Request *element.Request
	// Explain asks for Decision.Explanations. The caller's right to them has been
	// checked.
	Explain bool
	// Hops is how many gateways the request has passed before this one.
	Hops int
	// Body holds the buffer behind Request for calls over gRPC; see fanout.Call.
	Body fanout.Pin
}

// Decision is what a caller may see.
type Decision struct {
	// ID is a UUIDv7.
	ID string
	// Revision is that of the snapshot that decided.
	Revision registry.Revision
	// Complete is false when a worker failed whose registration says to hide what
	// it did not judge.
	Complete bool
	// Nodes and Relationships are the merged verdicts; nil where the request has
	// no such list.
	Nodes, Relationships *verdict.Set
	// Explanations say who hid, stripped or masked what; nil unless asked for.
	Explanations []verdict.Explanation

	req   *element.Request
	ruled *ruled
	// leftNodes and leftRels are the merged verdicts over what the rules left,
	// when that was written out for the workers.
	leftNodes, leftRels *verdict.Set
}

// Answer assembles the body of the answer. It must not outlive the decision or
// its request. The decision of a Stream has none: its elements are gone.
func (d *Decision) Answer(o verdict.AnswerOptions) *verdict.Answer {
	if d.leftNodes != nil || d.leftRels != nil {
		return verdict.NewAnswer(d.ruled.left, d.leftNodes, d.leftRels, o)
	}
	return verdict.NewAnswer(d.req, d.Nodes, d.Relationships, o)
}

// Release ends the use of a decision, its sets and its answer.
func (d *Decision) Release() {
	if d.ruled != nil {
		d.ruled.release()
	}
	*d = Decision{}
}

// Decide takes a request through the line. The deadline is the context's. Its
// errors are *fault.Error; there is no decision beside an error.
func (f *Filter) Decide(ctx context.Context, in Input) (*Decision, error) {
	snapshot, program := f.program(in.Caller)
	workers, err := f.workersFor(snapshot, in.Hops)
	if err != nil {
		return nil, err
	}
	d, err := newDecision(snapshot)
	if err != nil {
		return nil, err
	}
	d.req = in.Request
	req, body := in.Request, in.Body
	if program != nil {
		d.ruled = newRuled(program, in.Request, in.Explain)
		req, body = d.ruled.left, d.ruled.pin(in.Body)
	}
	var outcomes []fanout.Outcome
	if req != nil {
		outcomes, err = f.deps.Fleet.Ask(ctx, &fanout.Call{
			Snapshot: snapshot, Workers: workers, Request: req,
			Principal: in.Caller.Principal, Token: in.Caller.Token,
			Hops: in.Hops, Standing: f.deps.Standings, Body: body,
		})
	}
	if err != nil {
		d.Release()
		return nil, fault.From(err)
	}
	d.Complete = complete(outcomes)
	d.merge(in.Explain, outcomes)
	return d, nil
}

// merge brings together what rules and workers said.
func (d *Decision) merge(explain bool, outcomes []fanout.Outcome) {
	req := d.req
	var byNodes, byRels *verdict.Set // what the rules say; nil when they are off
	if d.ruled != nil {
		byNodes, byRels = d.ruled.sets()
	}
	switch {
	case d.ruled != nil && d.ruled.left == nil: // there was nothing to ask about
		d.Nodes, d.Relationships = byNodes, byRels
	case d.ruled != nil && d.ruled.left != req:
		d.leftNodes, d.leftRels = meet(d.ruled.left.Nodes, outcomes, nodesOf), meet(d.ruled.left.Relationships, outcomes, relsOf)
		d.Nodes, d.Relationships = widen(byNodes, d.leftNodes), widen(byRels, d.leftRels)
	default:
		d.Nodes, d.Relationships = meet(req.Nodes, outcomes, nodesOf), meet(req.Relationships, outcomes, relsOf)
	}
	var before *verdict.Set
	if req.Type == element.TypeGraph {
		if explain {
			before = d.Relationships.Clone()
		}
		verdict.Close(req, d.Nodes, d.Relationships)
		if d.leftRels != nil {
			verdict.Follow(byRels, d.Relationships, d.leftRels)
		}
	}
	if !explain {
		return
	}
	e := explained{}
	if d.ruled != nil {
		e = explainRules(byNodes, byRels, &d.ruled.result.Listed)
		if d.ruled.left != req {
			outcomes = lift(outcomes, byNodes, byRels)
		}
	}
	e.workers(outcomes, before, d.Relationships)
	d.Explanations = e.explain(req)
}

func nodesOf(o *fanout.Outcome) *verdict.Set { return o.Nodes }
func relsOf(o *fanout.Outcome) *verdict.Set  { return o.Relationships }

func widen(by, narrowed *verdict.Set) *verdict.Set {
	if narrowed == nil {
		return nil
	}
	return verdict.Widen(by, narrowed)
}

// workersFor returns the workers that decide a request: every active one. A
// quarantined worker is among them, for it has to fail the request.
func (f *Filter) workersFor(s *registry.Snapshot, hops int) ([]*registry.Worker, error) {
	if hops > MaxHops {
		return nil, fault.New(fault.Loop, "loop_detected",
			"the request has passed %d gateways, and %d are the most; look for a gateway registered with itself", hops, MaxHops)
	}
	now := f.cfg.Now()
	all := s.GraphSecurity()
	active := make([]*registry.Worker, 0, len(all))
	for _, w := range all {
		if w.ActiveAt(now) {
			active = append(active, w)
		}
	}
	if len(active) < f.cfg.MinWorkers {
		return nil, fault.New(fault.Unavailable, "no_security_worker",
			"%d active ExternalGraphSecurity workers, and filter.minWorkers asks for %d; register or resume one", len(active), f.cfg.MinWorkers)
	}
	return active, nil
}

func newDecision(s *registry.Snapshot) (*Decision, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fault.From(err)
	}
	return &Decision{ID: id.String(), Revision: s.Revision, Complete: true}, nil
}

func complete(outcomes []fanout.Outcome) bool {
	for i := range outcomes {
		if outcomes[i].Err != nil {
			return false
		}
	}
	return true
}

// meet merges the workers' verdicts over one batch. Without workers the input
// comes back whole.
func meet(b *element.Batch, outcomes []fanout.Outcome, of func(*fanout.Outcome) *verdict.Set) *verdict.Set {
	if b == nil {
		return nil
	}
	merged := verdict.NewWhole(b.Len())
	for i := range outcomes {
		verdict.Meet(merged, of(&outcomes[i]))
	}
	return merged
}

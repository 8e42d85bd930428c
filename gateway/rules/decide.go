package rules

import "github.com/muster-fleet/muster/workers/element"

// Result is what the rules leave of a request. It can be used again for the next
// one, by one goroutine at a time; the zero value is ready.
type Result struct {
	// Nodes and Relationships are what is left of the request's lists; empty for
	// a list that it does not have.
	Nodes, Relationships element.Selection
	// Explain, set before Decide, asks for Listed: the relationships that a rule
	// lists, among them those that are hidden because an end is.
	Explain bool
	Listed  element.Selection

	labels endLabels
}

// Whole reports whether the request was left as it is.
func (r *Result) Whole() bool { return r.Nodes.Whole() && r.Relationships.Whole() }

// Any reports whether anything of the request is left.
func (r *Result) Any() bool { return r.Nodes.Count()+r.Relationships.Count() > 0 }

// Decide says what the principal may see of a request. Its cost is proportional
// to the request; elements that look like those before them cost no allocation.
// The request must stay as it is until the result is not used any more.
func (p *Program) Decide(r *element.Request, out *Result) {
	reset(&out.Nodes, r.Nodes)
	reset(&out.Relationships, r.Relationships)
	var listed *element.Selection
	if out.Explain {
		listed = &out.Listed
		reset(listed, r.Relationships)
	}
	if p.Empty() {
		return
	}
	if r.Nodes != nil && len(p.ordered) > 0 {
		d := p.decider(false)
		d.nodes(r.Nodes, &out.Nodes)
		p.release(d)
	}
	if r.Relationships == nil || len(p.kinds) == 0 {
		return
	}
	rels := relations{p: p, graph: r.Type == element.TypeGraph, nodes: &out.Nodes, ends: r.Ends}
	if rels.graph && missing(r.Relationships) {
		rels.labels = out.labels
		rels.labels.note(p, r.Nodes)
	}
	rels.batch(r.Relationships, &out.Relationships, listed)
	out.labels = rels.labels
	out.labels.forget()
}

func reset(s *element.Selection, b *element.Batch) {
	n := 0
	if b != nil {
		n = b.Len()
	}
	s.Reset(n)
}

// decider takes a decider for one batch. names is for elements that are gone
// when somebody asks what was taken away from them.
func (p *Program) decider(names bool) *decider {
	d, ok := p.deciders.Get().(*decider)
	if !ok {
		d = newDecider(p)
	}
	d.names = names
	d.begin()
	return d
}

func (p *Program) release(d *decider) {
	d.end()
	p.deciders.Put(d)
}

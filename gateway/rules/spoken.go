package rules

import (
	"slices"

	"github.com/muster-fleet/muster/workers/element"
)

// Speaker tells which rules speak for the elements of a request. It is for
// explanations: it looks at one element at a time and keeps nothing. It is for
// one goroutine.
type Speaker struct {
	d    *decider
	rels relations
	req  *element.Request
	fold fold
}

// Speaker begins explaining a request.
func (p *Program) Speaker(r *element.Request) *Speaker {
	s := &Speaker{d: newDecider(p), req: r, rels: relations{p: p, graph: r.Type == element.TypeGraph}}
	if s.rels.graph && len(p.kinds) > 0 {
		s.rels.labels.note(p, r.Nodes)
	}
	return s
}

// Rules returns the ids of the rules that speak for an element, ascending. For a
// relationship they are those that list it, whether its ends are visible or not.
func (s *Speaker) Rules(k element.Kind, i int) []int64 {
	var numbers []int32
	if k == element.Nodes {
		numbers = s.node(i)
	} else {
		numbers = s.relationship(i)
	}
	ids := make([]int64, len(numbers))
	for j, n := range numbers {
		ids[j] = s.d.p.ids[n]
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (s *Speaker) node(i int) []int32 {
	d := s.d
	d.b, d.i = s.req.Nodes, i
	d.stamp++
	seq := d.loosely()
	var out []int32
	for token := range d.b.Labels(i) {
		l := d.label(token)
		if l == nil || d.labels[l.index].stamp == d.stamp {
			continue
		}
		d.labels[l.index].stamp = d.stamp
		s.fold.make(d, seq, l)
		out = append(out, l.always...)
		for k := range s.fold.checks {
			c := &s.fold.checks[k]
			out = s.value(out, c.group, d.b.Value(i, int(c.pos)))
		}
	}
	return out
}

// value adds the rules that speak for the node because of a property's value.
func (s *Speaker) value(out []int32, g *group, value []byte) []int32 {
	if value[0] == '[' {
		s.d.entriesOf(g, value, func(k int32) { out = s.entry(out, g, k) })
		return out
	}
	if k := s.d.find(&g.values, value); k >= 0 {
		out = s.entry(out, g, k)
	}
	return out
}

func (s *Speaker) entry(out []int32, g *group, k int32) []int32 {
	e := &g.entries[k]
	out = append(out, e.rules...)
	for j := range e.clauses {
		if c := &e.clauses[j]; s.d.holds(&s.fold, c.rest) {
			out = append(out, c.rules...)
		}
	}
	return out
}

func (s *Speaker) relationship(i int) []int32 {
	b := s.req.Relationships
	from, to := b.EndLabels(i)
	var out []int32
	switch {
	case from != nil && to != nil:
		if x := s.rels.find(from, b.Type(i), to); x != nil {
			out = append(out, x.rules...)
		}
	case s.rels.graph:
		start, end, ok := s.req.Ends(i)
		if !ok || len(s.rels.p.kinds) == 0 {
			return nil
		}
		for _, x := range s.rels.derived(b, i, from, to, start, end, false) {
			out = append(out, x.rules...)
		}
	}
	return out
}

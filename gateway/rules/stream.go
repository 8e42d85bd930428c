package rules

import (
	"strings"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/element"
)

// Stream judges a request whose elements arrive chunk by chunk and are dropped
// once they have been passed on. Of each it keeps a bit, the number of its form
// and, in a graph, the number of its set of labels. It is for one goroutine and
// must be closed.
type Stream struct {
	p       *Program
	d       *decider
	rels    relations
	chunk   element.Selection
	nodes   element.Selection
	edges   element.Selection
	explain bool
	listed  element.Selection // as Result.Listed
	some    element.Selection // of the chunk
	byNames map[string]uint32
	room    int // bytes that names of forms may still take
}

// Bounds of what a Stream keeps beside the elements' own numbers.
const (
	streamNames  = 32 << 20 // bytes of names that were taken away, each distinct list once
	streamLabels = 4 << 20  // words of distinct sets of labels
)

// Stream begins a request. all knows the elements that have come; its Ends are
// asked for the relationships of a graph.
//
// explain asks for Listed.
func (p *Program) Stream(t element.Type, all *element.Stream, explain bool) *Stream {
	s := &Stream{
		p: p, d: p.decider(true), explain: explain, room: streamNames,
		byNames: map[string]uint32{},
	}
	s.rels = relations{p: p, graph: t == element.TypeGraph, nodes: &s.nodes, ends: all.Ends}
	s.nodes.Reset(0)
	s.edges.Reset(0)
	s.listed.Reset(0)
	return s
}

// Add judges the next elements, which have been added to the stream of elements
// before. The selection is valid until the next call. An error is a *fault.Error:
// more distinct elements than can be remembered.
func (s *Stream) Add(c *element.Chunk) (*element.Selection, error) {
	b := c.Batch
	s.chunk.Reset(b.Len())
	if b.Kind() == element.Relationships {
		s.relationships(c)
		return &s.chunk, nil
	}
	if len(s.p.ordered) > 0 {
		s.d.begin()
		s.d.nodes(b, &s.chunk)
		s.d.b = nil
	}
	if s.rels.graph && len(s.p.kinds) > 0 {
		s.rels.labels.note(s.p, b)
	}
	s.nodes.Append(&s.chunk, s.number)
	if s.room < 0 || s.rels.labels.size() > streamLabels {
		return nil, fault.New(fault.TooLarge, "too_large",
			"the nodes differ too much in their labels or in the names of their properties to be judged in one stream; split the call")
	}
	return &s.chunk, nil
}

// relationships judges a chunk of relationships; they stay whole.
func (s *Stream) relationships(c *element.Chunk) {
	var some *element.Selection
	if s.explain {
		some = &s.some
		some.Reset(c.Batch.Len())
	}
	if len(s.p.kinds) > 0 {
		s.rels.at = c.From
		s.rels.batch(c.Batch, &s.chunk, some)
	}
	whole := func(*element.Form) uint32 { return 0 }
	s.edges.Append(&s.chunk, whole)
	if some != nil {
		s.listed.Append(some, whole)
	}
}

// number gives a chunk's form a number over the whole stream: one for each
// distinct list of names.
func (s *Stream) number(f *element.Form) uint32 {
	names, _ := f.Stripped() // the decider has been told that names are wanted
	var key strings.Builder
	for _, n := range names {
		key.Write(appendText(nil, n))
	}
	k, ok := s.byNames[key.String()]
	if !ok {
		s.room -= 2*key.Len() + 64*(len(names)+1)
		k = s.nodes.AddForm(f)
		s.byNames[key.String()] = k
	}
	return k
}

// Selection returns what is left of all elements of a kind so far. It belongs to
// the stream until Close.
func (s *Stream) Selection(k element.Kind) *element.Selection {
	if k == element.Relationships {
		return &s.edges
	}
	return &s.nodes
}

// Listed returns the relationships so far that a rule lists, if they were asked
// for; see Result.Listed.
func (s *Stream) Listed() *element.Selection { return &s.listed }

// Close ends the stream; what it has selected stays.
func (s *Stream) Close() {
	if s.d != nil {
		s.p.release(s.d)
		s.d = nil
	}
}

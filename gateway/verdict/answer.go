package verdict

import (
	"io"
	"net"
	"slices"

	"github.com/muster-fleet/muster/workers/element"
)

// AnswerOptions are what an answer holds beside the elements.
type AnswerOptions struct {
	// Explain, when not nil, is a JSON value that becomes the member explain.
	Explain []byte
}

// Answer is the body of a filter answer, ready to be written: its length is
// known, and neighbours that stayed whole are one slice of the request's body.
// It must not outlive the Request it was made of.
type Answer struct {
	segments [][]byte
	size     int64
}

// NewAnswer assembles what is left of a request. nodes and rels are the final
// verdicts over req.Nodes and req.Relationships; the one of a kind that the
// request does not have is nil. The sets must not change while the answer is used.
func NewAnswer(req *element.Request, nodes, rels *Set, o AnswerOptions) *Answer {
	a := &Answer{}
	switch req.Type {
	case element.TypeNodes:
		a.text(`{"result":{"nodes":[`)
		a.batch(req.Nodes, nodes)
	case element.TypeRelationships:
		a.text(`{"result":{"relationships":[`)
		a.batch(req.Relationships, rels)
	default:
		a.text(`{"result":{"nodes":[`)
		a.batch(req.Nodes, nodes)
		a.text(`],"relationships":[`)
		a.batch(req.Relationships, rels)
	}
	a.text(`]}`)
	if o.Explain != nil {
		a.text(`,"explain":`)
		a.add(o.Explain)
	}
	a.text(`}`)
	return a
}

// Size returns the number of bytes that WriteTo writes.
func (a *Answer) Size() int64 { return a.size }

// Segments returns the body as a gather list. It belongs to the answer.
func (a *Answer) Segments() [][]byte { return a.segments }

func (a *Answer) add(b []byte) {
	if len(b) > 0 {
		a.segments = append(a.segments, b)
		a.size += int64(len(b))
	}
}

func (a *Answer) text(s string) { a.add([]byte(s)) }

// batch adds the elements of one kind that are visible, in the request's order,
// repetitions included.
func (a *Answer) batch(b *element.Batch, s *Set) {
	if !b.Repeats() && !s.Marked() {
		a.whole(b, s)
		return
	}
	w := rewriter{set: s, batch: b}
	places, first := b.Places(), true
	for place := 0; place < places; {
		i := b.Ordinal(place)
		if !s.Visible(i) {
			place++
			continue
		}
		if !first {
			a.add(comma)
		}
		first = false
		if w.touched(i) {
			a.add(w.element(i))
			place++
			continue
		}
		from := place
		for place++; place < places && w.whole(b.Ordinal(place)); place++ {
		}
		a.run(b, from, place-1)
	}
}

// whole is batch for elements that are either hidden or whole.
func (a *Answer) whole(b *element.Batch, s *Set) {
	a.segments = slices.Grow(a.segments, 2*s.runs()+2)
	for i := s.next(0); i < s.n; {
		to := s.gap(i)
		a.add(b.Span(i, to-1))
		if i = s.next(to); i < s.n {
			a.add(comma)
		}
	}
}

// run adds the elements at places [from, to], all whole.
func (a *Answer) run(b *element.Batch, from, to int) {
	if !b.Repeats() {
		a.add(b.Span(from, to))
		return
	}
	// With repetitions, places are not where ordinals lie; one by one then.
	for place := from; place <= to; place++ {
		if place > from {
			a.add(comma)
		}
		a.add(b.Raw(b.Ordinal(place)))
	}
}

var comma = []byte{','}

// gatherLimit is from which size on a segment is written by itself when the
// writer cannot gather.
const gatherLimit = 32 << 10

// WriteTo writes the body. To a network connection it is written by gathering;
// to anything else in large pieces, because runs are short when much is hidden.
func (a *Answer) WriteTo(w io.Writer) (int64, error) {
	switch w.(type) {
	case *net.TCPConn, *net.UnixConn:
		buffers := make(net.Buffers, len(a.segments))
		copy(buffers, a.segments)
		return buffers.WriteTo(w)
	}
	p := pieces{w: w, buf: make([]byte, 0, min(a.size, 2*gatherLimit))}
	for _, s := range a.segments {
		if err := p.write(s); err != nil {
			return p.written, err
		}
	}
	return p.written, p.flush()
}

// pieces gathers small segments before it writes.
type pieces struct {
	w       io.Writer
	buf     []byte
	written int64
}

func (p *pieces) write(s []byte) error {
	if len(s) < gatherLimit {
		if len(p.buf)+len(s) > cap(p.buf) {
			if err := p.flush(); err != nil {
				return err
			}
		}
		p.buf = append(p.buf, s...)
		return nil
	}
	if err := p.flush(); err != nil {
		return err
	}
	n, err := p.w.Write(s)
	p.written += int64(n)
	return err
}

func (p *pieces) flush() error {
	if len(p.buf) == 0 {
		return nil
	}
	n, err := p.w.Write(p.buf)
	p.written += int64(n)
	p.buf = p.buf[:0]
	return err
}

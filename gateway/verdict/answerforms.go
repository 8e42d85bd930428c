package verdict

import "github.com/muster-fleet/muster/workers/element"

// formWriter adds the elements of a batch of which most were stripped by forms:
// they are copied one behind the other, and only long runs of whole neighbours
// stay slices of the request's body.
type formWriter struct {
	a    *Answer
	w    rewriter
	buf  []byte // the piece being written
	next int    // size of the next piece
}

const (
	firstPiece = 16 << 10
	lastPiece  = 1 << 20
	longRun    = 8 << 10 // bytes from which on a run is not copied
)

// formed adds the elements of one kind that are visible, as batch does.
func (a *Answer) formed(b *element.Batch, s *Set) {
	f := formWriter{a: a, w: rewriter{set: s, batch: b}, next: firstPiece}
	places, first := b.Places(), true
	for place := 0; place < places; {
		i := b.Ordinal(place)
		if !s.Visible(i) {
			place++
			continue
		}
		if !first {
			f.comma()
		}
		first = false
		switch form := f.w.onlyForm(i); {
		case form != nil:
			f.room(len(b.Raw(i)))
			f.buf = b.AppendKept(f.buf, i, form)
			place++
		case f.w.touched(i):
			f.copy(f.w.element(i))
			place++
		default:
			from := place
			for place++; place < places && f.w.whole(b.Ordinal(place)); place++ {
			}
			f.run(b, from, place-1)
		}
	}
	f.flush()
}

func (f *formWriter) run(b *element.Batch, from, to int) {
	if b.Repeats() {
		for place := from; place <= to; place++ {
			if place > from {
				f.comma()
			}
			f.copy(b.Raw(b.Ordinal(place)))
		}
		return
	}
	span := b.Span(from, to)
	if len(span) < longRun {
		f.copy(span)
		return
	}
	f.flush()
	f.a.add(span)
}

func (f *formWriter) comma() {
	f.room(1)
	f.buf = append(f.buf, ',')
}

func (f *formWriter) copy(b []byte) {
	f.room(len(b))
	f.buf = append(f.buf, b...)
}

// room makes sure that size bytes more do not move the piece.
func (f *formWriter) room(size int) {
	if cap(f.buf)-len(f.buf) >= size {
		return
	}
	f.flush()
	f.buf = make([]byte, 0, max(size, f.next))
	f.next = min(2*f.next, lastPiece)
}

// flush gives what was written to the answer; the rest of the piece is written on.
func (f *formWriter) flush() {
	f.a.add(f.buf[:len(f.buf):len(f.buf)])
	f.buf = f.buf[len(f.buf):]
}

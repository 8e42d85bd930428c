package element

import (
	"bytes"
	"iter"
)

// Batch is the elements of one kind of one request. Elements are numbered from
// 0; a byte-identical repetition of an element is not an element of its own but
// a second place of the first, so that the numbers are those that rules, workers
// and verdicts use. A Batch does not change once it is made and is safe for
// concurrent readers until its Request is released.
type Batch struct {
	kind  Kind
	body  []byte
	arena []byte
	recs  []record
	ends  []ends // as long as recs for relationships, else empty
	props []prop
	order []uint32 // place in the request -> ordinal; nil when nothing repeats
	ids   idTable

	skeletons uint32 // how many numbers of skeletons have been given

	unsorted bool // an id does not follow the one before it
	until    int  // where the elements are expected to end; 0 for the body's end
}

// Kind says what the elements are.
func (b *Batch) Kind() Kind { return b.kind }

// Len returns the number of elements, repetitions not counted.
func (b *Batch) Len() int { return len(b.recs) }

// Sent returns how many elements go to the workers when nothing was taken away
// before: the same as Len.
func (b *Batch) Sent() int { return len(b.recs) }

// Places returns how many elements the request wrote down, repetitions counted.
func (b *Batch) Places() int {
	if b.order != nil {
		return len(b.order)
	}
	return len(b.recs)
}

// Ordinal returns which element stands at a place of the request.
func (b *Batch) Ordinal(place int) int {
	if b.order != nil {
		return int(b.order[place])
	}
	return place
}

// Repeats reports whether an element stands at more than one place.
func (b *Batch) Repeats() bool { return b.order != nil }

// Raw returns element i's own bytes.
func (b *Batch) Raw(i int) []byte {
	r := &b.recs[i]
	return b.body[r.from:r.to:r.to]
}

// Length returns the number of element i's own bytes.
func (b *Batch) Length(i int) int {
	r := &b.recs[i]
	return int(r.to - r.from)
}

// ID returns element i's elementId, decoded.
func (b *Batch) ID(i int) []byte { return text(b.body, b.arena, b.recs[i].id) }

// Type returns relationship i's type, decoded; nil for a node.
func (b *Batch) Type(i int) []byte {
	if b.kind != Relationships {
		return nil
	}
	return text(b.body, b.arena, b.recs[i].what)
}

// Endpoints returns the ids of relationship i's ends, decoded; nil for a node.
func (b *Batch) Endpoints(i int) (start, end []byte) {
	if b.kind != Relationships {
		return nil, nil
	}
	e := &b.ends[i]
	return text(b.body, b.arena, e.start), text(b.body, b.arena, e.end)
}

// EndLabels returns relationship i's startNodeLabel and endNodeLabel, decoded.
// A label that the caller left out is nil.
func (b *Batch) EndLabels(i int) (start, end []byte) {
	if b.kind != Relationships {
		return nil, nil
	}
	v := b.View(i)
	return v.StartLabel(), v.EndLabel()
}

// Labels iterates over node i's labels as string tokens with their quotes, as
// they were written; TextEqual compares one. A relationship has none.
func (b *Batch) Labels(i int) iter.Seq[[]byte] {
	v := b.View(i)
	return v.Labels()
}

// Properties iterates over element i's properties in their order: the name's
// token with its quotes and the value's bytes, both as they were written.
func (b *Batch) Properties(i int) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		v := b.View(i)
		for j := range v.PropertyCount() {
			if p := v.Property(j); !yield(p.Name, p.Value) {
				return
			}
		}
	}
}

// View returns the parts of element i.
func (b *Batch) View(i int) View {
	r := &b.recs[i]
	v := View{
		kind: b.kind, body: b.body, arena: b.arena, rec: r,
		props: b.props[r.firstProp : r.firstProp+r.propCount],
	}
	if b.kind == Relationships {
		v.ends = &b.ends[i]
	}
	return v
}

func (b *Batch) sameBytes(i, j int) bool { return bytes.Equal(b.Raw(i), b.Raw(j)) }

// Shape returns element i's bytes and where in them the id's text lies, without
// its quotes, for matching a reply byte by byte. Both offsets are 0 when the id
// is written with escapes.
func (b *Batch) Shape(i int) (raw []byte, idFrom, idTo int) {
	r := &b.recs[i]
	raw = b.body[r.from:r.to:r.to]
	if int64(r.id.from) >= int64(len(b.body)) {
		return raw, 0, 0
	}
	return raw, int(r.id.from - r.from), int(r.id.to - r.from)
}

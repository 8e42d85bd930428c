package element

import "hash/maphash"

// Names is a sequence of property names as an element wrote them, escapes and
// all: two spellings of one name are two sequences. The zero value is empty. It
// keeps its memory between uses and is for one goroutine while it is taken.
type Names struct {
	text []byte   // the tokens with their quotes, end to end
	ends []uint32 // where in text each one ends
}

// Take makes n the names of element i, in the order of writing.
func (n *Names) Take(b *Batch, i int) {
	n.text, n.ends = n.text[:0], n.ends[:0]
	v := b.View(i)
	for j := range v.props {
		n.text = append(n.text, v.Property(j).Name...)
		n.ends = append(n.ends, uint32(len(n.text)))
	}
}

// Len returns how many names there are.
func (n *Names) Len() int { return len(n.ends) }

// Size returns the bytes of all tokens together.
func (n *Names) Size() int { return len(n.text) }

// Token returns name j with its quotes.
func (n *Names) Token(j int) []byte {
	from := uint32(0)
	if j > 0 {
		from = n.ends[j-1]
	}
	return n.text[from:n.ends[j]:n.ends[j]]
}

// SameNames reports whether the properties of element i have these names, in
// this order and spelling.
func (b *Batch) SameNames(i int, n *Names) bool {
	r := &b.recs[i]
	if int(r.propCount) != len(n.ends) {
		return false
	}
	props := b.props[r.firstProp : r.firstProp+r.propCount]
	ends := n.ends[:len(props)]
	from := uint32(0)
	for j := range props {
		// A token ends with its quote: equal bytes up to there are the same name.
		token := n.text[from:ends[j]]
		at := b.body[props[j].name:]
		if len(at) < len(token) || !sameShort(at[:len(token)], token) {
			return false
		}
		from = ends[j]
	}
	return true
}

// sameShort compares two texts of the same length, most of them of 16 bytes or
// fewer, without a call for these.
func sameShort(a, b []byte) bool {
	if len(a) < 8 || len(a) != len(b) {
		return string(a) == string(b)
	}
	if load64(a) != load64(b) || load64(a[len(a)-8:]) != load64(b[len(b)-8:]) {
		return false
	}
	return len(a) <= 16 || string(a) == string(b)
}

// HashNames mixes the names of element i, in their order and spelling.
func (b *Batch) HashNames(seed maphash.Seed, i int) uint64 {
	v := b.View(i)
	h := uint64(len(v.props))
	for j := range v.props {
		h = (h ^ maphash.Bytes(seed, v.Property(j).Name)) * 0x9E3779B97F4A7C15
		h ^= h >> 29
	}
	return h
}

// PropertyCount returns how many properties element i has.
func (b *Batch) PropertyCount(i int) int { return int(b.recs[i].propCount) }

// Value returns the value of property j of element i, as it was written.
func (b *Batch) Value(i, j int) []byte {
	r := &b.recs[i]
	from := b.props[r.firstProp+uint32(j)].value
	to := b.propertyEnd(r, uint32(j))
	return b.body[from:to:to]
}

// LabelsRaw returns node i's labels array as it was written; nil for a
// relationship.
func (b *Batch) LabelsRaw(i int) []byte {
	if b.kind != Nodes {
		return nil
	}
	what := b.recs[i].what
	return b.body[what.from:what.to:what.to]
}

// propertyEnd returns the offset behind the value of a record's property j.
func (b *Batch) propertyEnd(r *record, j uint32) uint32 {
	after := r.props.to - 1 // the closing brace
	if j+1 < r.propCount {
		after = skipBack(b.body, b.props[r.firstProp+j+1].name, ',')
	}
	return spaceBack(b.body, after)
}

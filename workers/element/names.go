package element

import (
	"bytes"
	"hash/maphash"
)

// Names is a sequence of property names as an element wrote them, escapes and
// all: two spellings of one name are two sequences. The zero value is empty. It
// keeps its memory between uses and is for one goroutine while it is taken.
type Names struct {
	text  []byte   // the tokens with their quotes, end to end
	ends  []uint32 // where in text each one ends
	brief []brief
}

// brief is a token in short, for comparing it without looking at it: most names
// have no more than sixteen bytes with their quotes.
type brief struct {
	size       uint32
	head, tail uint64 // its first and its last eight bytes
	mask       uint64 // which of head count
}

// Take makes n the names of element i, in the order of writing.
func (n *Names) Take(b *Batch, i int) {
	n.text, n.ends, n.brief = n.text[:0], n.ends[:0], n.brief[:0]
	v := b.View(i)
	for j := range v.props {
		token := v.Property(j).Name
		n.text = append(n.text, token...)
		n.ends = append(n.ends, uint32(len(n.text)))
		n.brief = append(n.brief, briefOf(token))
	}
}

func briefOf(token []byte) brief {
	t := brief{size: uint32(len(token)), mask: ^uint64(0)}
	if len(token) >= 8 {
		t.head, t.tail = load64(token), load64(token[len(token)-8:])
		return t
	}
	t.mask >>= 64 - 8*len(token)
	for k, c := range token {
		t.head |= uint64(c) << (8 * k)
	}
	return t
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
	briefs := n.brief[:len(props)]
	for j := range props {
		// A token ends with its quote: equal bytes up to there are the same name.
		t := &briefs[j]
		at := b.body[props[j].name:]
		if len(at) < 8 || len(at) < int(t.size) {
			if !bytes.HasPrefix(at, n.Token(j)) {
				return false
			}
			continue
		}
		switch {
		case load64(at)&t.mask != t.head:
			return false
		case t.size <= 8:
		case load64(at[t.size-8:]) != t.tail:
			return false
		case t.size > 16 && !bytes.HasPrefix(at, n.Token(j)):
			return false
		}
	}
	return true
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

package element

import "bytes"

// template is what stands before the values of an object of its sort that was
// read: of every member the bytes from the value before it to its own
// value, with comma, name, colon and white space. Elements of one request look
// alike: where the next object brings the same bytes, comparing them replaces
// reading the names and looking for duplicates, because the names of the
// template are known to be good and to differ. The first byte that differs ends
// that, for this object.
type template struct {
	text  []byte // the pieces end to end
	marks []mark
	full  bool // a piece found no room: the template ends there
}

// mark is one piece of a template.
type mark struct {
	head, mask uint64 // its first eight bytes, and which of them count
	tail       uint64 // its last eight, where it is longer than eight
	from       uint16 // where in text it begins
	size       uint16
	quote      uint16 // where in it the name's token begins
	name       uint16 // length of the name without its quotes
	which      uint8  // what the name means; for the members of elements
}

// maxTemplate bounds the bytes of a template: odd objects are not worth it.
const maxTemplate = 4 << 10

// match returns how many bytes of b at i are piece k of the template; 0 when
// they are something else.
func (t *template) match(b []byte, i, k int) int {
	if k >= len(t.marks) {
		return 0
	}
	m := &t.marks[k]
	n := int(m.size)
	if len(b)-i < max(n, 8) {
		return t.matchAtEnd(b, i, m)
	}
	if (load64(b[i:])^m.head)&m.mask != 0 {
		return 0
	}
	if n <= 8 {
		return n
	}
	if load64(b[i+n-8:]) != m.tail {
		return 0
	}
	if n > 16 && string(b[i+8:i+n-8]) != string(t.text[int(m.from)+8:int(m.from)+n-8]) {
		return 0
	}
	return n
}

// matchAtEnd is match where the bytes end soon.
func (t *template) matchAtEnd(b []byte, i int, m *mark) int {
	if i <= len(b) && bytes.HasPrefix(b[i:], t.text[m.from:m.from+m.size]) {
		return int(m.size)
	}
	return 0
}

// cut leaves the first n pieces.
func (t *template) cut(n int) {
	t.full = false
	if n == 0 {
		t.text, t.marks = t.text[:0], t.marks[:0]
	} else if n < len(t.marks) {
		last := t.marks[n-1]
		t.text, t.marks = t.text[:last.from+last.size], t.marks[:n]
	}
}

// begins reports whether the first k pieces of t are those of o, which has as many.
func (t *template) begins(o *template, k int) bool {
	if k == 0 {
		return true
	}
	if len(t.marks) < k {
		return false
	}
	for j := range k {
		if t.marks[j].size != o.marks[j].size {
			return false
		}
	}
	end := o.marks[k-1].from + o.marks[k-1].size
	return string(t.text[:end]) == string(o.text[:end])
}

// copy makes t the first k pieces of o, which is another one.
func (t *template) copy(o *template, k int) {
	t.cut(0)
	if k > 0 {
		last := o.marks[k-1]
		t.text = append(t.text, o.text[:last.from+last.size]...)
		t.marks = append(t.marks, o.marks[:k]...)
	}
}

// add appends a piece, in which the name of so many bytes has its quote at an
// offset. Nothing is added any more once a piece was too long.
func (t *template) add(piece []byte, quote, name, which int) {
	if t.full || len(t.text)+len(piece) > maxTemplate {
		t.full = true // what follows is read in full
		return
	}
	m := mark{
		from: uint16(len(t.text)), size: uint16(len(piece)), quote: uint16(quote), name: uint16(name), which: uint8(which),
		mask: ^uint64(0),
	}
	t.text = append(t.text, piece...)
	if len(piece) >= 8 {
		m.head, m.tail = load64(piece), load64(piece[len(piece)-8:])
	} else {
		var head [8]byte
		copy(head[:], piece)
		m.head, m.mask = load64(head[:]), 1<<(8*len(piece))-1
	}
	t.marks = append(t.marks, m)
}

// recall enters the names of an object that matched the template so far into
// the list of open names, since from here on they count. at returns where in b
// name k begins, its quote included.
func (p *parser) recall(b []byte, t *template, n int, o *openObject, at func(k int) uint32) {
	for k := range n {
		from := at(k) + 1
		name := span{from, from + uint32(t.marks[k].name)}
		// They are known to differ: note never refuses one of them.
		p.note(b, name, bytes.IndexByte(b[name.from:name.to], '\\') >= 0, o)
	}
}

package element

import "bytes"

// template is the sequence of names of the object of its sort that was read
// last. Elements of one request look alike: where the next object brings the
// same names in the same order, comparing bytes replaces reading the names and
// looking for duplicates, because the names of the template are known to be
// good and to differ. The first name that differs ends that, for this object.
type template struct {
	text  []byte   // the name tokens, each with its quotes and a colon, end to end
	ends  []uint32 // where in text each one ends
	which []uint8  // what each one means; for the members of elements
}

// maxTemplate bounds the bytes of a template: odd objects are not worth it.
const maxTemplate = 4 << 10

// match returns how many bytes of b at i are name k of the template with its
// colon; 0 when they are something else.
func (t *template) match(b []byte, i, k int) int {
	if k >= len(t.ends) {
		return 0
	}
	from := uint32(0)
	if k > 0 {
		from = t.ends[k-1]
	}
	token := t.text[from:t.ends[k]]
	if len(b)-i < len(token) || string(b[i:i+len(token)]) != string(token) {
		return 0
	}
	return len(token)
}

// size returns the length of name k without quotes and colon.
func (t *template) size(k int) int {
	from := uint32(0)
	if k > 0 {
		from = t.ends[k-1]
	}
	return int(t.ends[k]-from) - len(`"":`)
}

func (t *template) reset() {
	t.text, t.ends, t.which = t.text[:0], t.ends[:0], t.which[:0]
}

// cut leaves the first n names.
func (t *template) cut(n int) {
	if n < len(t.ends) {
		t.ends, t.which = t.ends[:n], t.which[:n]
		t.text = t.text[:0]
		if n > 0 {
			t.text = t.text[:t.ends[n-1]]
		}
	}
}

// add appends a name, given without quotes.
func (t *template) add(name []byte, which int) {
	if len(t.text)+len(name) > maxTemplate {
		return // the template ends here; what follows is read in full
	}
	t.text = append(t.text, '"')
	t.text = append(t.text, name...)
	t.text = append(t.text, '"', ':')
	t.ends = append(t.ends, uint32(len(t.text)))
	t.which = append(t.which, uint8(which))
}

// recall enters the names of an object that matched the template so far into
// the list of open names, since from here on they count. at returns where in b
// name k begins, its quote included.
func (p *parser) recall(b []byte, t *template, n int, o *openObject, at func(k int) uint32) {
	for k := range n {
		from := at(k) + 1
		name := span{from, from + uint32(t.size(k))}
		// They are known to differ: note never refuses one of them.
		p.note(b, name, bytes.IndexByte(b[name.from:name.to], '\\') >= 0, o)
	}
}

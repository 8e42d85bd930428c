package element

import (
	"bytes"
	"errors"
	"slices"
)

// ErrOther says that the bytes are not, or not surely, a rewriting of the
// element they were held against; Element tells what they are.
var ErrOther = errors.New("not a rewriting of this element")

// Change is a property whose value is another one.
type Change struct {
	// Property is its number in the element that was sent.
	Property int
	// Value is the value that came instead; it aliases the bytes read.
	Value []byte
}

// follower is the state of Follow.
type follower struct {
	seen    []uint64 // properties of the element that came back
	count   int      // how many
	guess   []int    // which property of an element the n-th of a reply was, last time
	budget  int      // how many names may still be compared in vain
	changes []Change
	missing []int
	members [3]template // the members of the last element of each kind
}

// Follow reads the element that begins at b[0] as element k of a batch written
// anew: with other white space, members and properties in any order, values in
// another spelling. Parsing and comparing are one pass, and where the bytes of a
// name or value are the batch's own they need not be validated again. It returns
// the length, or ErrMore, or ErrOther when the bytes are anything but element k
// with properties left out or changed, or when that cannot be told this way.
// Afterwards Missing and Changes tell what differs.
func (s *Single) Follow(b []byte, batch *Batch, k, depth int) (int, error) {
	s.p.names = s.p.names[:0]
	s.f.changes, s.f.missing = s.f.changes[:0], s.f.missing[:0]
	s.batch.kind = batch.kind
	switch n := s.follow(b, batch, k, depth+1); {
	case n >= 0:
		return n, nil
	case n == more:
		return 0, ErrMore
	default:
		return 0, ErrOther
	}
}

// Missing returns the numbers of the properties that Follow did not find.
func (s *Single) Missing() []int { return s.f.missing }

// Changes returns the properties that Follow found with another value.
func (s *Single) Changes() []Change { return s.f.changes }

func (s *Single) follow(b []byte, batch *Batch, k, depth int) int {
	if len(b) == 0 {
		return more
	}
	if b[0] != '{' {
		return bad
	}
	var seen uint32
	t := &s.f.members[batch.kind]
	i := skipSpace(b, 1)
	for m := 0; ; m++ {
		which, at := s.followName(b, i, m, t, batch.kind)
		if which <= 0 || at < 0 {
			return at
		}
		if seen&(1<<which) != 0 {
			return bad // a name twice
		}
		seen |= 1 << which
		if i = s.followMember(b, at, batch, k, depth, which); i < 0 {
			return i
		}
		if i = skipSpace(b, i); i >= len(b) {
			return more
		}
		if b[i] == ',' {
			i = skipSpace(b, i+1)
			continue
		}
		if b[i] != '}' || seen&required[batch.kind] != required[batch.kind] {
			return bad
		}
		return i + 1
	}
}

// required is which members an element has to have.
var required = [3]uint32{
	Nodes:         1<<memberID | 1<<memberLabels | 1<<memberProps,
	Relationships: 1<<memberID | 1<<memberType | 1<<memberStart | 1<<memberEnd | 1<<memberProps,
}

// followName reads the m-th member's name and returns what it means and where
// its value begins; which is 0 when at tells why not.
func (s *Single) followName(b []byte, i, m int, t *template, kind Kind) (which, at int) {
	if n := t.match(b, i, m); n > 0 {
		return int(t.marks[m].which), skipSpace(b, i+n)
	}
	if i >= len(b) {
		return 0, more
	}
	if b[i] != '"' {
		return 0, bad
	}
	end, escaped := scanString(b, i+1)
	if end < 0 {
		return 0, end
	}
	if which = memberOf(b[i+1:end-1], kind); escaped || which == 0 {
		return 0, bad
	}
	t.cut(m)
	if at = followColon(b, end); at >= 0 {
		t.add(b[i:at], 0, end-i-2, which)
	}
	return which, at
}

func followColon(b []byte, i int) int {
	if i = skipSpace(b, i); i >= len(b) {
		return more
	}
	if b[i] != ':' {
		return bad
	}
	return skipSpace(b, i+1)
}

// followMember reads the value of a member and compares it with the element's.
func (s *Single) followMember(b []byte, i int, batch *Batch, k, depth, which int) int {
	r := &batch.recs[k]
	switch which {
	case memberID:
		return followText(b, i, batch, r.id)
	case memberProps:
		return s.followProperties(b, i, batch, r, depth+1)
	case memberLabels:
		return s.followLabels(b, i, batch.body[r.what.from:r.what.to], depth)
	case memberType:
		return followText(b, i, batch, r.what)
	}
	e := &batch.ends[k]
	switch which {
	case memberStart:
		return followText(b, i, batch, e.start)
	case memberEnd:
		return followText(b, i, batch, e.end)
	case memberStartLabel:
		return followText(b, i, batch, e.startLabel)
	default:
		return followText(b, i, batch, e.endLabel)
	}
}

// followText reads a string that has to be the same bytes. A text that is not
// there, or that was written with escapes, is left to the strict reading.
func followText(b []byte, i int, batch *Batch, s span) int {
	if s == (span{}) || int64(s.from) >= int64(len(batch.body)) {
		return bad
	}
	token := batch.body[s.from-1 : s.to+1] // with its quotes
	if len(b)-i < len(token) {
		if i <= len(b) && bytes.HasPrefix(token, b[i:]) {
			return more
		}
		return bad
	}
	if string(b[i:i+len(token)]) != string(token) {
		return bad
	}
	return i + len(token)
}

func (s *Single) followLabels(b []byte, i int, labels []byte, depth int) int {
	if len(b)-i >= len(labels) && string(b[i:i+len(labels)]) == string(labels) {
		return i + len(labels)
	}
	end := s.p.value(b, i, depth)
	if end >= 0 && !equal(labels, b[i:end]) {
		return bad
	}
	return end
}

// followProperties reads the properties object.
func (s *Single) followProperties(b []byte, i int, batch *Batch, r *record, depth int) int {
	if i >= len(b) {
		return more
	}
	if b[i] != '{' {
		return bad
	}
	v := View{body: batch.body, rec: r, props: batch.props[r.firstProp : r.firstProp+r.propCount]}
	s.f.start(len(v.props))
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		s.f.finish(len(v.props))
		return i + 1
	}
	for n := 0; ; n++ {
		j, at := s.followProperty(b, i, n, &v)
		if at < 0 {
			return at
		}
		if i = s.followValue(b, at, &v, j, depth); i < 0 {
			return i
		}
		if i = skipSpace(b, i); i >= len(b) {
			return more
		}
		if b[i] == ',' {
			i = skipSpace(b, i+1)
			continue
		}
		if b[i] != '}' {
			return bad
		}
		s.f.finish(len(v.props))
		return i + 1
	}
}

func (f *follower) start(n int) {
	size := (n + 63) / 64
	f.seen = slices.Grow(f.seen[:0], size)[:size]
	clear(f.seen)
	f.count, f.budget = 0, 64+8*n
	f.changes, f.missing = f.changes[:0], f.missing[:0]
}

// finish lists what did not come back.
func (f *follower) finish(n int) {
	if f.count == n {
		return
	}
	for j := range n {
		if f.seen[j>>6]>>(j&63)&1 == 0 {
			f.missing = append(f.missing, j)
		}
	}
}

// followProperty reads the n-th property's name and returns which property of
// the element it is, and where its value begins. A name that is not found byte
// by byte, or found twice, is left to the strict reading.
func (s *Single) followProperty(b []byte, i, n int, v *View) (j, at int) {
	f := &s.f
	if n >= len(f.guess) {
		f.guess = append(f.guess, n)
	}
	j = f.guess[n]
	size := 0
	if j < len(v.props) {
		size = v.sameName(b, i, j)
	}
	if size == 0 {
		if j, size = f.search(b, i, j, v); size == 0 {
			return 0, missed(b, i)
		}
		f.guess[n] = j
	}
	if f.seen[j>>6]>>(j&63)&1 != 0 {
		return 0, bad
	}
	f.seen[j>>6] |= 1 << (j & 63)
	f.count++
	return j, followColon(b, i+size)
}

// missed tells a name that is cut off by the end of the bytes from a strange one.
func missed(b []byte, i int) int {
	if i >= len(b) {
		return more
	}
	if b[i] != '"' {
		return bad
	}
	if end, _ := scanString(b, i+1); end == more {
		return more
	}
	return bad
}

// search looks for the property whose name is at i, from the one after the
// guess on and around.
func (f *follower) search(b []byte, i, guess int, v *View) (j, size int) {
	n := len(v.props)
	for step := 1; step <= n && f.budget > 0; step++ {
		f.budget--
		if j = guess + step; j >= n {
			if j -= n; j >= n {
				j = step - 1 // the guess came from a longer element
			}
		}
		if size = v.sameName(b, i, j); size > 0 {
			return j, size
		}
	}
	return 0, 0
}

// sameName returns the length of property j's name token if b has it at i, else 0.
func (v *View) sameName(b []byte, i, j int) int {
	p := v.props[j]
	end := p.value - 1
	if v.body[end] != ':' || v.body[end-1] != '"' {
		end = spaceBack(v.body, skipBack(v.body, p.value, ':'))
	}
	size := int(end - p.name)
	if len(b)-i < size || string(b[i:i+size]) != string(v.body[p.name:end]) {
		return 0
	}
	return size
}

// followValue reads a value and compares it with property j's.
func (s *Single) followValue(b []byte, i int, v *View, j, depth int) int {
	value := v.value(j)
	if end := i + len(value); end < len(b) && string(b[i:end]) == string(value) && !goesOn(value, b[end]) {
		return end
	}
	end := s.p.value(b, i, depth)
	if end == shape {
		return bad
	}
	if end >= 0 && !equal(value, b[i:end]) {
		s.f.changes = append(s.f.changes, Change{j, b[i:end]})
	}
	return end
}

// goesOn reports whether a number of these bytes goes on with c; no other value can.
func goesOn(value []byte, c byte) bool {
	last := value[len(value)-1]
	return isDigit(last) && (isDigit(c) || c == '.' || c|0x20 == 'e')
}

// value returns the bytes of property j's value.
func (v *View) value(j int) []byte {
	after := v.rec.props.to - 1
	if j+1 < len(v.props) {
		if after = v.props[j+1].name - 1; v.body[after] != ',' {
			after = skipBack(v.body, after, ',')
		}
	}
	return v.body[v.props[j].value:spaceBack(v.body, after)]
}

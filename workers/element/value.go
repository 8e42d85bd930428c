package element

// nameScanner reads JSON values and refuses duplicate names in every object on
// the way. Its slices are kept between values; it is for one goroutine at a time.
type nameScanner struct {
	names []span // the names of all open objects, innermost last, without quotes
	dup   duplicates
}

// maxLinear is how many names of one object are compared with one another while
// reading; an object with more is checked by a table at its end.
const maxLinear = 32

// bloom answers whether a name may have been seen in this object.
type bloom [4]uint64

// add notes a hash and reports whether it may have been there.
func (f *bloom) add(h uint64) bool {
	word, bit := &f[h>>6&3], uint64(1)<<(h&63)
	seen := *word&bit != 0
	*word |= bit
	return seen
}

// hashName mixes a name's length and its first and last eight bytes. It is no
// protection against chosen names: those only cost maxLinear compares each.
func hashName(name []byte) uint64 {
	var head, tail uint64
	if n := len(name); n >= 8 {
		head, tail = load64(name), load64(name[n-8:])
	} else {
		for i := range n {
			head = head<<8 | uint64(name[i])
		}
	}
	h := (head ^ tail*0x9E3779B97F4A7C15 ^ uint64(len(name))) * 0xD6E8FEB86659FD93
	return h>>48 ^ h>>56
}

// value reads any value that begins at i. depth counts what is open around it.
func (s *nameScanner) value(b []byte, i, depth int) int {
	if i >= len(b) {
		return more
	}
	switch c := b[i]; c {
	case '"':
		return skipString(b, i+1)
	case '{':
		return s.object(b, i, depth+1)
	case '[':
		return s.array(b, i, depth+1)
	case 't':
		return scanLiteral(b, i, "true")
	case 'f':
		return scanLiteral(b, i, "false")
	case 'n':
		return scanLiteral(b, i, "null")
	default:
		if c == '-' || isDigit(c) {
			return scanNumber(b, i)
		}
		return bad
	}
}

// array reads an array that begins at i; depth counts it already.
func (s *nameScanner) array(b []byte, i, depth int) int {
	if depth > MaxDepth {
		return bad
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i = s.value(b, i, depth); i < 0 {
			return i
		}
		if i = skipSpace(b, i); i >= len(b) {
			return more
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case ']':
			return i + 1
		default:
			return bad
		}
	}
}

// object reads an object that begins at i; depth counts it already.
func (s *nameScanner) object(b []byte, i, depth int) int {
	if depth > MaxDepth {
		return bad
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	o := openObject{base: len(s.names)}
	for {
		if i = s.name(b, i, &o); i < 0 {
			return i
		}
		if i = s.value(b, i, depth); i < 0 {
			return i
		}
		if i = skipSpace(b, i); i >= len(b) {
			return more
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case '}':
			return s.close(b, i, &o)
		default:
			return bad
		}
	}
}

// openObject is what is known of the names of an object being read.
type openObject struct {
	base  int // where its names begin in nameScanner.names
	seen  bloom
	later bool // names are compared when the object ends
	esc   bool // the last name holds escapes
}

// name reads a member's name that begins at i, and its colon, and returns where
// the value begins. The name is the last of s.names.
func (s *nameScanner) name(b []byte, i int, o *openObject) int {
	if i >= len(b) {
		return more
	}
	if b[i] != '"' {
		return bad
	}
	end, escaped := scanString(b, i+1)
	if end < 0 {
		return end
	}
	name := span{uint32(i + 1), uint32(end - 1)}
	if !s.note(b, name, escaped, o) {
		return bad
	}
	if i = skipSpace(b, end); i >= len(b) {
		return more
	}
	if b[i] != ':' {
		return bad
	}
	return skipSpace(b, i+1)
}

// note adds a name and reports false when the object has it already.
func (s *nameScanner) note(b []byte, name span, escaped bool, o *openObject) bool {
	o.esc = escaped
	if escaped || len(s.names)-o.base >= maxLinear {
		o.later = true
	} else if !o.later && o.seen.add(hashName(b[name.from:name.to])) {
		for _, n := range s.names[o.base:] {
			if string(b[n.from:n.to]) == string(b[name.from:name.to]) {
				return false
			}
		}
	}
	s.names = append(s.names, name)
	return true
}

// close ends an object at its brace i.
func (s *nameScanner) close(b []byte, i int, o *openObject) int {
	names := s.names[o.base:]
	s.names = s.names[:o.base]
	if o.later && s.dup.any(b, names) {
		return bad
	}
	return i + 1
}

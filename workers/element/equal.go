package element

import (
	"bytes"
	"hash/maphash"
)

// Equal reports whether a and b are the same JSON value: strings after
// unescaping, without Unicode normalisation; arrays in order; objects as sets of
// members; numbers as exact decimals, so that 1.50 = 1.5 = 15e-1 and -0 = 0.
// White space around and inside values does not matter. It is false when one of
// them is no JSON value by this package's rules (see ParseRequest). The cost is
// linear in the lengths, whatever the exponents.
func Equal(a, b []byte) bool {
	var s nameScanner
	a, ok := s.only(a)
	if !ok {
		return false
	}
	s.names = s.names[:0]
	b, ok = s.only(b)
	return ok && equal(a, b)
}

// only checks that b is one value and nothing else, and returns it trimmed.
func (s *nameScanner) only(b []byte) ([]byte, bool) {
	from := skipSpace(b, 0)
	to := s.value(b, from, 0)
	if to < 0 || skipSpace(b, to) != len(b) {
		return nil, false
	}
	return b[from:to], true
}

// equal compares two valid values without white space around them.
func equal(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	switch c := a[0]; {
	case c == '"':
		return b[0] == '"' && equalStrings(a, b)
	case c == '{':
		return b[0] == '{' && equalObjects(a, b)
	case c == '[':
		return b[0] == '[' && equalArrays(a, b)
	case c == '-' || isDigit(c):
		return (b[0] == '-' || isDigit(b[0])) && equalNumbers(a, b)
	default:
		return false // literals are equal only byte by byte
	}
}

// equalStrings compares two string tokens decoded.
func equalStrings(a, b []byte) bool {
	x, y := a[1:len(a)-1], b[1:len(b)-1]
	if bytes.IndexByte(x, '\\') < 0 && bytes.IndexByte(y, '\\') < 0 {
		return false // equal only if the bytes are, and they are not
	}
	var m, n [64]byte
	return bytes.Equal(unescape(m[:0], x), unescape(n[:0], y))
}

// skipValid steps over validated values without looking for duplicates again.
func skipValid(b []byte, i int) int {
	switch b[i] {
	case '"':
		end, _ := scanString(b, i+1)
		return end
	case '{', '[':
		return skipContainer(b, i)
	default:
		for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && !isSpace(b[i]) {
			i++
		}
		return i
	}
}

func skipContainer(b []byte, i int) int {
	for depth := 0; ; {
		switch b[i] {
		case '"':
			i, _ = scanString(b, i+1)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
}

func equalArrays(a, b []byte) bool {
	i, j := skipSpace(a, 1), skipSpace(b, 1)
	for {
		if a[i] == ']' || b[j] == ']' {
			return a[i] == b[j]
		}
		m, n := skipValid(a, i), skipValid(b, j)
		if !equal(a[i:m], b[j:n]) {
			return false
		}
		i, j = nextValue(a, m), nextValue(b, n)
	}
}

// nextValue steps from behind a value to the next one, or to the closing bracket.
func nextValue(b []byte, i int) int {
	if i = skipSpace(b, i); b[i] == ',' {
		i = skipSpace(b, i+1)
	}
	return i
}

// pair is a member of an object: its name's token and its value.
type pair struct{ name, value []byte }

// members splits a valid object.
func members(dst []pair, b []byte) []pair {
	for i := skipSpace(b, 1); b[i] != '}'; {
		end, _ := scanString(b, i+1)
		at := skipSpace(b, end)
		at = skipSpace(b, at+1) // behind the colon
		to := skipValid(b, at)
		dst = append(dst, pair{b[i:end], b[at:to]})
		i = nextValue(b, to)
	}
	return dst
}

// equalObjects compares two objects as sets. Names are unique on both sides, so
// equal counts and every member of a found in b is enough.
func equalObjects(a, b []byte) bool {
	var m, n [16]pair
	x, y := members(m[:0], a), members(n[:0], b)
	if len(x) != len(y) {
		return false
	}
	var table map[uint64][]int
	var seed maphash.Seed
	for i := range x {
		if sameName(x[i].name, y[i].name) {
			if !equal(x[i].value, y[i].value) {
				return false
			}
			continue
		}
		if table == nil {
			seed = maphash.MakeSeed()
			table = indexNames(seed, y)
		}
		j := lookupName(seed, table, y, x[i].name)
		if j < 0 || !equal(x[i].value, y[j].value) {
			return false
		}
	}
	return true
}

func sameName(a, b []byte) bool { return bytes.Equal(a, b) || equalStrings(a, b) }

func indexNames(seed maphash.Seed, pairs []pair) map[uint64][]int {
	table := make(map[uint64][]int, len(pairs))
	for i, p := range pairs {
		h := hashToken(seed, p.name)
		table[h] = append(table[h], i)
	}
	return table
}

func lookupName(seed maphash.Seed, table map[uint64][]int, pairs []pair, name []byte) int {
	for _, i := range table[hashToken(seed, name)] {
		if sameName(pairs[i].name, name) {
			return i
		}
	}
	return -1
}

// hashToken hashes a name's token decoded.
func hashToken(seed maphash.Seed, token []byte) uint64 {
	content := token[1 : len(token)-1]
	if bytes.IndexByte(content, '\\') < 0 {
		return maphash.Bytes(seed, content)
	}
	var scratch [64]byte
	return maphash.Bytes(seed, unescape(scratch[:0], content))
}

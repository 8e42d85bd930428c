package rules

import (
	"encoding/binary"
	"math/bits"
)

// token is a text as a JSON string without escapes: its quotes included, in the
// shape in which it is compared fastest. Its closing quote makes it no beginning
// of another value.
type token struct {
	text       string // only where it is longer than head and tail
	size       int
	head, tail uint64 // its first and its last eight bytes
	mask       uint64 // which of head count
}

// newToken returns the token of a text; one that cannot be written without
// escapes gets a token that begins no value.
func newToken(text string) token {
	for k := range len(text) {
		if c := text[k]; c < ' ' || c == '"' || c == '\\' {
			return token{head: 1}
		}
	}
	n := len(text) + 2
	t := token{size: n, mask: ^uint64(0)}
	if n > 16 {
		t.text = `"` + text + `"`
	}
	at := func(k int) uint64 {
		if k == 0 || k == n-1 {
			return '"'
		}
		return uint64(text[k-1])
	}
	for k := range min(n, 8) {
		t.head |= at(k) << (8 * k)
	}
	if n < 8 {
		t.mask >>= 64 - 8*n
		return t
	}
	for k := range 8 {
		t.tail |= at(n-8+k) << (8 * k)
	}
	return t
}

// quick looks up the string that begins text, which goes on behind the string.
// sure is false when the string has to be decoded: no value longer than most
// bytes is looked for.
func quick(tokens []token, text []byte, most int) (entry int32, sure bool) {
	if len(text) < 8 {
		return -1, false
	}
	head := binary.LittleEndian.Uint64(text)
	for k := range tokens {
		t := &tokens[k]
		if head&t.mask != t.head {
			continue
		}
		n := t.size
		if n <= 8 {
			return int32(k), true
		}
		if len(text) < n || binary.LittleEndian.Uint64(text[n-8:]) != t.tail ||
			n > 16 && string(text[8:n-8]) != t.text[8:n-8] {
			continue
		}
		return int32(k), true
	}
	// An empty string's second quote is the first byte of what is shifted.
	if m := ends(head >> 8 << 8); m != 0 {
		return -1, byte(head>>(bits.TrailingZeros64(m)&^7)) == '"'
	}
	return -1, !escapes(text[8:], most)
}

// escapes reports whether there is a backslash in what is left of a string,
// unless it goes on for more than most bytes before one comes.
func escapes(text []byte, most int) bool {
	for i := 0; i <= most; i++ {
		if len(text)-i >= 8 {
			m := ends(binary.LittleEndian.Uint64(text[i:]))
			if m == 0 {
				i += 7
				continue
			}
			i += bits.TrailingZeros64(m) >> 3
		}
		switch text[i] {
		case '"':
			return false
		case '\\':
			return true
		}
	}
	return false
}

const (
	ones    = 0x0101010101010101
	highs   = 0x8080808080808080
	quotes  = ones * '"'
	slashes = ones * '\\'
)

// ends marks, with its high bit, the lowest byte of w that is a quote or a
// backslash. Higher marks may be false, because a borrow runs upwards only.
func ends(w uint64) uint64 {
	q, s := w^quotes, w^slashes
	return ((q-ones)&^q | (s-ones)&^s) & highs
}

package rules

import (
	"bytes"
	"encoding/binary"
)

// token is a text as a JSON string without escapes: its quotes included, in the
// shape in which it is compared fastest. A text that cannot be written so has a
// token that is equal to no value.
type token struct {
	text       string
	head, tail uint64 // its first and its last eight bytes
	mask       uint64 // which of head count
}

func newToken(text string) token {
	t := token{text: `"` + text + `"`, mask: ^uint64(0)}
	if n := len(t.text); n >= 8 {
		t.head = binary.LittleEndian.Uint64([]byte(t.text))
		t.tail = binary.LittleEndian.Uint64([]byte(t.text[n-8:]))
		return t
	}
	t.mask >>= 64 - 8*len(t.text)
	for k := range len(t.text) {
		t.head |= uint64(t.text[k]) << (8 * k)
	}
	return t
}

// quick looks a string's token up without decoding it; head is its first eight
// bytes. sure is false when it has to be decoded.
func (g *group) quick(value []byte, head uint64) (entry int32, sure bool) {
	if g.tokens == nil {
		return -1, false
	}
	for k := range g.tokens {
		t := &g.tokens[k]
		if len(value) != len(t.text) || head&t.mask != t.head {
			continue
		}
		if n := len(value); n > 8 && binary.LittleEndian.Uint64(value[n-8:]) != t.tail || n > 16 && string(value) != t.text {
			continue
		}
		// Equal bytes are an equal text only where nothing is escaped.
		return int32(k), !escapes(value, head)
	}
	return -1, !escapes(value, head)
}

const (
	ones    = 0x0101010101010101
	highs   = 0x8080808080808080
	slashes = ones * '\\'
)

// escapes reports whether a string's token holds a backslash.
func escapes(value []byte, head uint64) bool {
	if len(value) > 8 {
		return bytes.IndexByte(value, '\\') >= 0
	}
	x := (head ^ slashes) | ^(^uint64(0) >> (64 - 8*len(value)))
	return (x-ones)&^x&highs != 0
}

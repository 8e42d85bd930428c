package element

import (
	"math/bits"
	"unicode/utf8"
)

// What a scanning function returns in place of an offset.
const (
	bad   = -1 // the bytes are not JSON, or JSON that is refused everywhere
	more  = -2 // the bytes end inside the value
	shape = -3 // JSON, but not what is wanted here; parser.why tells
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special marks, with its high bit, the lowest byte of w that ends a run of
// plain ASCII in a string: a quote, a backslash, a control byte or one above
// ASCII. Higher marks may be false, because a borrow runs upwards only.
func special(w uint64) uint64 {
	quote := (w ^ ones*'"') - ones
	slash := (w ^ ones*'\\') - ones
	return (w | quote | slash | (w - ones*' ')) & highs
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

func isDigit(c byte) bool { return c-'0' <= 9 }

// skipSpace returns the offset of the first byte from i on that is no white space.
func skipSpace(b []byte, i int) int {
	if i < len(b) && b[i] > ' ' {
		return i
	}
	return skipSpaces(b, i)
}

func skipSpaces(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// scanString reads a string whose opening quote is at i-1 and returns the
// offset behind its closing quote, and whether it holds escapes. What is most
// frequent is read here, the rest by scanEscape and scanRunes.
func scanString(b []byte, i int) (end int, escaped bool) {
	for i < len(b) {
		if len(b)-i >= 8 {
			m := special(load64(b[i:]))
			if m == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(m) >> 3
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, escaped
		case c == '\\':
			escaped = true
			if i+1 < len(b) && b[i+1] != 'u' && isEscape(b[i+1]) {
				i += 2
				continue
			}
			i = scanEscape(b, i+1)
		case c >= 0xC2 && c <= 0xDF && i+1 < len(b) && b[i+1]&0xC0 == 0x80:
			i += 2 // most of what is not English
		case c >= utf8.RuneSelf:
			i = scanRunes(b, i)
		case c < ' ':
			return bad, escaped
		default:
			i++ // among the last bytes
		}
		if i < 0 {
			return i, escaped
		}
	}
	return more, escaped
}

// isEscape reports whether a backslash may stand before c.
func isEscape(c byte) bool {
	const letters = 1 | 1<<('f'-'b') | 1<<('n'-'b') | 1<<('r'-'b') | 1<<('t'-'b') | 1<<('u'-'b')
	return c == '"' || c == '\\' || c == '/' || c >= 'b' && c <= 'u' && letters>>(c-'b')&1 != 0
}

// skipString is scanString for strings that nobody looks into.
func skipString(b []byte, i int) int {
	for ; len(b)-i >= 8; i += 8 {
		if m := special(load64(b[i:])); m != 0 {
			if i += bits.TrailingZeros64(m) >> 3; b[i] == '"' {
				return i + 1
			}
			break
		}
	}
	end, _ := scanString(b, i)
	return end
}

// scanRunes reads the characters above ASCII from i on and returns the offset
// behind them. What is no UTF-8 is bad; bytes that end within a character that
// is good so far ask for more.
func scanRunes(b []byte, i int) int {
	for i < len(b) && b[i] >= utf8.RuneSelf {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			if !utf8.FullRune(b[i:]) {
				return more
			}
			return bad
		}
		i += n
	}
	return i
}

// scanEscape reads an escape whose backslash is at i-1. A lone half of a
// surrogate pair is bad: it stands for no character.
func scanEscape(b []byte, i int) int {
	if i >= len(b) {
		return more
	}
	if !isEscape(b[i]) {
		return bad
	}
	if b[i] != 'u' {
		return i + 1
	}
	v, i := scanHex(b, i+1)
	if i < 0 || v < 0xD800 || v > 0xDFFF {
		return i
	}
	if v >= 0xDC00 {
		return bad
	}
	if i+2 > len(b) {
		return more
	}
	if b[i] != '\\' || b[i+1] != 'u' {
		return bad
	}
	if v, i = scanHex(b, i+2); i >= 0 && (v < 0xDC00 || v > 0xDFFF) {
		return bad
	}
	return i
}

// scanHex reads four hexadecimal digits.
func scanHex(b []byte, i int) (v rune, end int) {
	for range 4 {
		if i >= len(b) {
			return 0, more
		}
		d := hexValue(b[i])
		if d < 0 {
			return 0, bad
		}
		v = v<<4 | d
		i++
	}
	return v, i
}

func hexValue(c byte) rune {
	switch {
	case c-'0' <= 9:
		return rune(c - '0')
	case c-'a' <= 5:
		return rune(c-'a') + 10
	case c-'A' <= 5:
		return rune(c-'A') + 10
	default:
		return -1
	}
}

// scanNumber reads a number that begins at i and returns the offset behind it,
// which is len(b) also where the next bytes could belong to it.
func scanNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	if i >= len(b) {
		return more
	}
	switch {
	case b[i] == '0':
		i++
	case isDigit(b[i]):
		i = skipDigits(b, i)
	default:
		return bad
	}
	if i < len(b) && b[i] == '.' {
		if i = needDigits(b, i+1); i < 0 {
			return i
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return needDigits(b, i)
	}
	return i
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}

func needDigits(b []byte, i int) int {
	if i >= len(b) {
		return more
	}
	if !isDigit(b[i]) {
		return bad
	}
	return skipDigits(b, i)
}

// scanLiteral reads one of true, false and null.
func scanLiteral(b []byte, i int, literal string) int {
	if len(b)-i >= len(literal) {
		if string(b[i:i+len(literal)]) == literal {
			return i + len(literal)
		}
		return bad
	}
	if string(b[i:]) == literal[:len(b)-i] {
		return more
	}
	return bad
}

package probe

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxObserved bounds, in characters, what an error repeats of a worker's words.
const maxObserved = 200

// Printable returns text that came from a worker so that it can be shown:
// control characters, invisible and direction-changing ones and broken UTF-8 are
// escaped as in Go source, and no more than limit characters of it are kept,
// followed by an ellipsis when something was cut.
func Printable(s string, limit int) string {
	var b strings.Builder
	n := 0
	for len(s) > 0 {
		if n == limit {
			b.WriteString("…")
			break
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size <= 1:
			b.WriteString(`\x`)
			b.WriteString(strconv.FormatUint(0x100+uint64(s[0]), 16)[1:])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
		n++
	}
	return b.String()
}

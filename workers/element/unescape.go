package element

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape appends to dst the decoded form of a string's content, which must
// have passed scanString.
func unescape(dst, content []byte) []byte {
	for {
		n := bytes.IndexByte(content, '\\')
		if n < 0 {
			return append(dst, content...)
		}
		dst = append(dst, content[:n]...)
		c := content[n+1]
		content = content[n+2:]
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := scanHex(content, 0)
			content = content[4:]
			if utf16.IsSurrogate(r) {
				low, _ := scanHex(content, 2)
				r = utf16.DecodeRune(r, low)
				content = content[6:]
			}
			dst = utf8.AppendRune(dst, r)
		default: // quote, backslash, slash
			dst = append(dst, c)
		}
	}
}

// AppendText appends the decoded content of a JSON string token, quotes
// included in token, to dst. The token must come from a text that this package
// has accepted.
func AppendText(dst, token []byte) []byte {
	return unescape(dst, token[1:len(token)-1])
}

// TextEqual reports whether a string token that this package has accepted
// stands for s.
func TextEqual(token []byte, s string) bool {
	content := token[1 : len(token)-1]
	if bytes.IndexByte(content, '\\') < 0 {
		return string(content) == s
	}
	var scratch [128]byte
	return string(unescape(scratch[:0], content)) == s
}

// SameText reports whether two string tokens that this package has accepted
// stand for the same text.
func SameText(a, b []byte) bool { return sameName(a, b) }

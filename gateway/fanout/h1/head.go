package h1

import (
	"bytes"
	"strconv"
	"strings"
)

// Limits of an answer's head and of its trailer.
const (
	// MaxHead bounds the status line and the header fields together, in bytes.
	MaxHead = 64 << 10
	// MaxFields bounds the number of header fields.
	MaxFields = 1000
	// maxInterim bounds how many 1xx answers may come before the final one.
	maxInterim = 5
)

// Field is one header field.
type Field struct{ Name, Value string }

// head is what a parsed answer head says.
type head struct {
	status  int
	minor   int // HTTP/1.minor
	length  int64
	chunked bool
	closing bool // the peer will not take another request
	encoded bool // a Content-Encoding other than identity
}

// parseHead reads a head: everything up to and including the empty line.
func parseHead(b []byte) (head, error) {
	h := head{length: -1}
	line, rest, ok := cutLine(b)
	if !ok {
		return h, &FramingError{"the status line does not end in CR LF"}
	}
	if err := h.parseStatus(line); err != nil {
		return h, err
	}
	h.closing = h.minor == 0
	n := 0
	for {
		line, rest, ok = cutLine(rest)
		if !ok {
			return h, &FramingError{"a header line does not end in CR LF"}
		}
		if len(line) == 0 {
			break
		}
		if n++; n > MaxFields {
			return h, &FramingError{"more than " + strconv.Itoa(MaxFields) + " header fields"}
		}
		name, value, err := parseField(line)
		if err != nil {
			return h, err
		}
		if err := h.frame(name, value); err != nil {
			return h, err
		}
	}
	return h, h.settle()
}

// settle decides what the fields together say about the body.
func (h *head) settle() error {
	if h.chunked && h.length >= 0 {
		return &FramingError{"both Content-Length and Transfer-Encoding"}
	}
	if h.chunked && h.minor == 0 {
		return &FramingError{"Transfer-Encoding in an HTTP/1.0 answer"}
	}
	if h.status < 200 || h.status == 204 || h.status == 304 {
		h.chunked, h.length = false, 0
	}
	return nil
}

func (h *head) parseStatus(line []byte) error {
	// HTTP/1.x SP nnn [SP reason]
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' {
		return &FramingError{"the status line is not one of HTTP/1.1"}
	}
	if line[7] != '0' && line[7] != '1' {
		return &FramingError{"the status line is not one of HTTP/1.1"}
	}
	h.minor = int(line[7] - '0')
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return &FramingError{"the status is not a number"}
		}
		h.status = h.status*10 + int(c-'0')
	}
	if h.status < 100 || h.status > 599 {
		return &FramingError{"the status is not one of HTTP"}
	}
	if len(line) > 12 && line[12] != ' ' || hasControl(line[12:]) {
		return &FramingError{"the reason phrase is malformed"}
	}
	return nil
}

// frame notes what one field says about framing.
func (h *head) frame(name, value []byte) error {
	switch {
	case equalFold(name, "content-length"):
		if h.length >= 0 {
			return &FramingError{"Content-Length twice"}
		}
		n, ok := parseLength(value)
		if !ok {
			return &FramingError{"Content-Length is not a number"}
		}
		h.length = n
	case equalFold(name, "transfer-encoding"):
		if h.chunked || !equalFold(value, "chunked") {
			return &FramingError{"a Transfer-Encoding other than chunked"}
		}
		h.chunked = true
	case equalFold(name, "content-encoding"):
		h.encoded = h.encoded || !equalFold(value, "identity")
	case equalFold(name, "connection"):
		for token := range bytes.SplitSeq(value, []byte(",")) {
			token = bytes.Trim(token, " \t")
			switch {
			case equalFold(token, "close"), equalFold(token, "upgrade"):
				h.closing = true
			case equalFold(token, "keep-alive"):
				// Only a promise; HTTP/1.0 connections are not kept all the same.
			}
		}
	}
	return nil
}

// parseField splits "name: value" and refuses what RFC 9112 section 5 refuses:
// folding, white space before the colon, control characters.
func parseField(line []byte) (name, value []byte, err error) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return nil, nil, &FramingError{"a header line without a name"}
	}
	name = line[:colon]
	for _, c := range name {
		if !isToken(c) {
			return nil, nil, &FramingError{"a header name holds a character that names may not have"}
		}
	}
	value = bytes.Trim(line[colon+1:], " \t")
	if hasControl(value) {
		return nil, nil, &FramingError{"a header value holds a control character"}
	}
	return name, value, nil
}

// cutLine splits off the first line, which must end in CR LF and hold no other
// CR (LF cannot occur: the first one ends the line).
func cutLine(b []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '\n')
	if i < 1 || b[i-1] != '\r' {
		return nil, b, false
	}
	line = b[:i-1]
	if bytes.IndexByte(line, '\r') >= 0 {
		return nil, b, false
	}
	return line, b[i+1:], true
}

// parseLength reads up to 18 decimal digits, so that it cannot overflow.
func parseLength(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// parseChunkSize reads the hexadecimal size at the start of a chunk line; a
// chunk extension may follow it.
func parseChunkSize(line []byte) (int64, bool) {
	var n int64
	i := 0
	for ; i < len(line); i++ {
		c := line[i]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return n, i > 0 && c == ';' && !hasControl(line[i:])
		}
		if i >= 15 {
			return 0, false
		}
		n = n<<4 | int64(c)
	}
	return n, i > 0
}

// equalFold compares with an ASCII name in lower case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func hasControl(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

func isToken(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// appendField writes one field of a request.
func appendField(dst []byte, name, value string) ([]byte, error) {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return dst, errBadField
		}
	}
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...), nil
}

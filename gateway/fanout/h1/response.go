package h1

import (
	"bytes"
	"io"
)

// maxChunkLine bounds a chunk's size line and a trailer line, in bytes.
const maxChunkLine = 256

type bodyState uint8

const (
	bodySized bodyState = iota
	bodyUntilClose
	chunkHead
	chunkData
	chunkEnd
	trailer
	bodyDone
	bodyFailed
)

// Response is an answer whose head has been read. It belongs to one goroutine
// and must be closed; nothing of it may be used after Close.
type Response struct {
	// Status is the status code, 200 to 599.
	Status int
	// Encoded is true when the answer has a Content-Encoding other than identity.
	Encoded bool

	cn      *conn
	closing bool // the peer will not take another request
	state   bodyState
	left    int64 // of the body or the present chunk
	lines   int   // trailer lines so far
	err     error
}

func (r *Response) begin(cn *conn, h head) {
	*r = Response{Status: h.status, Encoded: h.encoded, cn: cn, closing: h.closing, left: h.length}
	switch {
	case h.chunked:
		r.state = chunkHead
	case h.length == 0:
		r.state = bodyDone
	case h.length < 0:
		r.state = bodyUntilClose
	}
}

// Read reads the body. It returns io.EOF only when the body has ended as framed.
func (r *Response) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		switch r.state {
		case bodyDone:
			return 0, io.EOF
		case bodyFailed:
			return 0, r.err
		case bodySized, chunkData:
			return r.readCounted(p)
		case bodyUntilClose:
			return r.readOpen(p)
		default:
			if err := r.readFrame(); err != nil {
				return 0, r.fail(err)
			}
		}
	}
}

func (r *Response) fail(err error) error {
	r.state, r.err = bodyFailed, err
	return err
}

func (r *Response) readCounted(p []byte) (int, error) {
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.take(p)
	if err != nil {
		return 0, r.fail(err)
	}
	r.left -= int64(n)
	if r.left == 0 {
		if r.state == chunkData {
			r.state = chunkEnd
		} else {
			r.state = bodyDone
		}
	}
	return n, nil
}

// readOpen reads a body that the closing of the connection ends. A reset is an
// error; so is, over TLS, a close without notice.
func (r *Response) readOpen(p []byte) (int, error) {
	cn := r.cn
	if cn.r < cn.w {
		return r.take(p)
	}
	n, err := cn.nc.Read(p)
	if n > 0 {
		return n, nil
	}
	if err == io.EOF { //nolint:errorlint // an end that comes wrapped is no clean one
		r.state, r.closing = bodyDone, true
		return 0, io.EOF
	}
	return 0, r.fail(cn.ioError(err))
}

// take copies out of the buffer, or reads past it when p is larger.
func (r *Response) take(p []byte) (int, error) {
	cn := r.cn
	if cn.r == cn.w && len(p) < len(cn.buf) {
		cn.r, cn.w = 0, 0
		if err := cn.fill(); err != nil {
			return 0, err
		}
	}
	if cn.r < cn.w {
		n := copy(p, cn.buf[cn.r:cn.w])
		cn.r += n
		return n, nil
	}
	return cn.read(p)
}

// readFrame reads what stands between the data of chunks.
func (r *Response) readFrame() error {
	line, err := r.line()
	if err != nil {
		return err
	}
	switch r.state {
	case chunkHead:
		size, ok := parseChunkSize(line)
		if !ok {
			return &FramingError{"a chunk size that is not hexadecimal"}
		}
		r.left, r.state = size, chunkData
		if size == 0 {
			r.state = trailer
		}
	case chunkEnd:
		if len(line) != 0 {
			return &FramingError{"a chunk longer than its size"}
		}
		r.state = chunkHead
	case trailer:
		if len(line) == 0 {
			r.state = bodyDone
			return nil
		}
		if r.lines++; r.lines > MaxFields {
			return &FramingError{"a trailer of too many fields"}
		}
		_, _, err = parseField(line)
	}
	return err
}

// line reads up to CR LF and returns what stands before it.
func (r *Response) line() ([]byte, error) {
	cn := r.cn
	for {
		if i := bytes.IndexByte(cn.buf[cn.r:cn.w], '\n'); i >= 0 {
			line, _, ok := cutLine(cn.buf[cn.r : cn.r+i+1])
			cn.r += i + 1
			if !ok {
				return nil, &FramingError{"a line of the chunked coding does not end in CR LF"}
			}
			return line, nil
		}
		if cn.w-cn.r > maxChunkLine {
			return nil, &FramingError{"a line of the chunked coding is too long"}
		}
		if cn.w == len(cn.buf) {
			cn.makeRoom(len(cn.buf))
		}
		if err := cn.fill(); err != nil {
			return nil, err
		}
	}
}

// Close ends the exchange. The connection is kept only when the body was read
// to its end.
func (r *Response) Close() error {
	if r.cn == nil {
		return nil
	}
	cn := r.cn
	r.cn = nil
	cn.finish(r.state == bodyDone && !r.closing)
	return nil
}

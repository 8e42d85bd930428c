package verdict

import (
	"errors"
	"io"

	"github.com/muster-fleet/muster/workers/element"
)

// windowSize is how much of a reply is held at a time, unless one element is
// longer: enough for few reads, small enough to stay in the cache.
const windowSize = 128 << 10

// window shows a stream piece by piece: buf[pos:end] is what has been read and
// not yet been consumed.
type window struct {
	r        io.Reader
	buf      []byte
	pos, end int
	left     int64 // how many more bytes may come
	ended    bool  // the stream has ended as framed
}

func (w *window) reset(r io.Reader, limit int64) {
	if cap(w.buf) > 8*windowSize || w.buf == nil {
		w.buf = make([]byte, windowSize)
	}
	w.r, w.pos, w.end, w.left, w.ended = r, 0, 0, limit, false
}

// rest is what has been read and not consumed.
func (w *window) rest() []byte { return w.buf[w.pos:w.end] }

// fill reads once. The stream's end is not an error: it sets ended.
func (w *window) fill() error {
	if w.pos > 0 && (w.pos == w.end || w.end == len(w.buf)) {
		w.end = copy(w.buf, w.buf[w.pos:w.end])
		w.pos = 0
	}
	if w.end == len(w.buf) {
		grown := make([]byte, 2*len(w.buf))
		w.end = copy(grown, w.buf[w.pos:w.end])
		w.buf, w.pos = grown, 0
	}
	const patience = 100 // reads of nothing, as bufio allows them
	for range patience {
		n, err := w.r.Read(w.buf[w.end:])
		w.end += n
		if w.left -= int64(n); w.left < 0 {
			return &Violation{ReasonTooLarge, "the reply is longer than is allowed for this request"}
		}
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			w.ended = true
			return nil
		}
		if err != nil {
			return err
		}
		if n > 0 {
			return nil
		}
	}
	return io.ErrNoProgress
}

// need reads until n bytes are there or the stream has ended.
func (w *window) need(n int) error {
	for w.end-w.pos < n && !w.ended {
		if err := w.fill(); err != nil {
			return err
		}
	}
	return nil
}

// peek skips white space and returns the next byte, which stays; ok is false at
// the stream's end.
func (w *window) peek() (c byte, ok bool, err error) {
	for {
		for ; w.pos < w.end; w.pos++ {
			switch c := w.buf[w.pos]; c {
			case ' ', '\n', '\r', '\t':
			default:
				return c, true, nil
			}
		}
		if w.ended {
			return 0, false, nil
		}
		if err := w.fill(); err != nil {
			return 0, false, err
		}
	}
}

// expect consumes one byte, white space before it allowed.
func (w *window) expect(want byte) error {
	c, ok, err := w.peek()
	switch {
	case err != nil:
		return err
	case !ok:
		return tooShort()
	case c != want:
		return notJSON()
	}
	w.pos++
	return nil
}

// take consumes what scan reads at the window's beginning, fetching more bytes
// as long as scan asks for them. The result is valid until the next call.
func (w *window) take(scan func([]byte) (int, error)) ([]byte, error) {
	for {
		rest := w.rest()
		n, err := scan(rest)
		// A number that ends with the window may go on behind it.
		if err == nil && n == len(rest) && !w.ended {
			err = element.ErrMore
		}
		switch {
		case err == nil:
			w.pos += n
			return rest[:n], nil
		case !errors.Is(err, element.ErrMore):
			return nil, err
		case w.ended:
			return nil, tooShort()
		}
		// At least twice as much each time: rescanning stays linear.
		if err := w.need(2*len(rest) + 1); err != nil {
			return nil, err
		}
	}
}

func tooShort() *Violation {
	return &Violation{ReasonNotJSON, "the reply ends inside the JSON document"}
}

func notJSON() *Violation {
	return &Violation{ReasonNotJSON, "the reply is not valid JSON"}
}

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// head is what the tools here need of an HTTP/1.1 message's head.
type head struct {
	// first is the request or status line.
	first string
	// length is the Content-Length, -1 when there is none.
	length  int64
	chunked bool
	// close says that the peer will not use the connection again.
	close bool
}

var (
	errHead    = errors.New("the peer's HTTP head is broken")
	errTooLong = errors.New("the peer's HTTP head has a line that does not fit the buffer")
)

// readHead reads a head up to its empty line.
func readHead(r *bufio.Reader) (head, error) {
	h := head{length: -1}
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return h, errTooLong
		}
		if err != nil {
			return h, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if h.first == "" {
			h.first = string(line)
			continue
		}
		if len(line) == 0 {
			return h, nil
		}
		if err := h.field(line); err != nil {
			return h, err
		}
	}
}

func (h *head) field(line []byte) error {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return errHead
	}
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || n < 0 {
			return errHead
		}
		h.length = n
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		h.chunked = bytes.EqualFold(value, []byte("chunked"))
	case bytes.EqualFold(name, []byte("Connection")):
		h.close = bytes.EqualFold(value, []byte("close"))
	}
	return nil
}

// status returns the status of a response's head.
func (h *head) status() (int, error) {
	if len(h.first) < 12 {
		return 0, errHead
	}
	return strconv.Atoi(h.first[9:12])
}

// copyBody copies the body that follows h to w, which may be io.Discard, and
// returns its length. A message without a length has no body.
func (h *head) copyBody(r *bufio.Reader, w io.Writer) (int64, error) {
	if !h.chunked {
		if h.length <= 0 {
			return 0, nil
		}
		return copyExactly(r, w, h.length)
	}
	total := int64(0)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return total, err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 64)
		if err != nil {
			return total, fmt.Errorf("chunk size: %w", err)
		}
		n, err := copyExactly(r, w, size)
		total += n
		if err != nil {
			return total, err
		}
		// The empty line after a chunk, and after the last one, as nobody here
		// sends trailers.
		if _, err := r.ReadSlice('\n'); err != nil {
			return total, err
		}
		if size == 0 {
			return total, nil
		}
	}
}

func copyExactly(r *bufio.Reader, w io.Writer, n int64) (int64, error) {
	if w == io.Discard {
		// Discard goes over the buffer only; no copy of its own.
		left := n
		for left > 0 {
			d, err := r.Discard(int(min(left, 1<<30)))
			left -= int64(d)
			if err != nil {
				return n - left, err
			}
		}
		return n, nil
	}
	return io.CopyN(w, r, n)
}

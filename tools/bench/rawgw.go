package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
)

// serveRaw is the yardstick bytes-raw: it reads a request whole, writes it to
// every worker at once on kept connections of its own, reads all answers whole,
// and passes the first one on. It understands nothing, so it is the floor of any
// fan-out in Go that buffers.
func serveRaw(ctx context.Context, l net.Listener, workers []string) error {
	return serveTCP(ctx, l, func(conn net.Conn) {
		g := rawConn{client: conn, in: bufio.NewReaderSize(conn, 64<<10)}
		defer g.close()
		for _, addr := range workers {
			up, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			if err != nil {
				g.refuse(err)
				return
			}
			g.legs = append(g.legs, &rawLeg{
				conn: up, in: bufio.NewReaderSize(up, 64<<10),
				head: fmt.Appendf(nil, "POST /filter HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: ", addr),
			})
		}
		for g.one() == nil {
		}
	})
}

// rawConn is one client's connection with its own connections to the workers.
type rawConn struct {
	client net.Conn
	in     *bufio.Reader
	body   []byte
	legs   []*rawLeg
}

type rawLeg struct {
	conn   net.Conn
	in     *bufio.Reader
	head   []byte
	answer []byte
	err    error
}

// one serves one request; an error ends the connection.
func (g *rawConn) one() error {
	h, err := readHead(g.in)
	if err != nil {
		return err
	}
	if g.body, err = readWhole(g.in, &h, g.body); err != nil {
		return err
	}
	var wg sync.WaitGroup
	last := len(g.legs) - 1
	for _, leg := range g.legs[:last] {
		wg.Go(func() { leg.call(g.body) })
	}
	g.legs[last].call(g.body) // on this goroutine: one hand-over less
	wg.Wait()
	for _, leg := range g.legs {
		if leg.err != nil {
			g.refuse(leg.err)
			return leg.err
		}
	}
	first := g.legs[0].answer
	out := net.Buffers{fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(first)), first}
	_, err = out.WriteTo(g.client)
	return err
}

func (l *rawLeg) call(body []byte) {
	out := net.Buffers{fmt.Appendf(slices.Clip(l.head), "%d\r\n\r\n", len(body)), body}
	if _, l.err = out.WriteTo(l.conn); l.err != nil {
		return
	}
	h, err := readHead(l.in)
	if err != nil {
		l.err = err
		return
	}
	l.answer, l.err = readWhole(l.in, &h, l.answer)
}

// readWhole reads a body of known length into buf, which it grows.
func readWhole(r *bufio.Reader, h *head, buf []byte) ([]byte, error) {
	if h.length < 0 {
		return buf, errors.New("bytes-raw takes bodies with a Content-Length only")
	}
	if int64(cap(buf)) < h.length {
		buf = make([]byte, h.length)
	}
	buf = buf[:h.length]
	_, err := io.ReadFull(r, buf)
	return buf, err
}

func (g *rawConn) refuse(err error) {
	// The connection ends after this; a failed write changes nothing.
	_, _ = fmt.Fprintf(g.client, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(err.Error()), err)
}

func (g *rawConn) close() {
	for _, leg := range g.legs {
		_ = leg.conn.Close() // nothing is left to be said
	}
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// fakeUUID is the uuid of fake worker k.
func fakeUUID(k int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", k+1) }

// serveWorker is fake REST worker k on l: it reads a request's head, throws the
// body away, and writes an answer that was computed at start, for the batch size
// that the body's length suggests. It parses nothing, so that it is never what
// is measured. It serves until ctx ends.
func serveWorker(ctx context.Context, l net.Listener, k int, sizes []int, reformat bool) error {
	info := fmt.Sprintf(`{"class":"result","type":"ExternalGraphSecurity","uuid":%q,"version":"1.0.0"}`, fakeUUID(k))
	w := fakeWorker{info: response([]byte(info))}
	for _, n := range sizes {
		w.answers = append(w.answers, sizedAnswer{int64(n) * nodeSize, response(answerBody(n, k, reformat))})
	}
	return serveTCP(ctx, l, w.serve)
}

type fakeWorker struct {
	info    []byte
	answers []sizedAnswer
}

// sizedAnswer is the whole response to a request body of about some length.
type sizedAnswer struct {
	requestBytes int64
	response     []byte
}

// pick returns the answer to a body of n bytes: the one of the nearest size, as
// a gateway may write the same batch with another envelope.
func (w *fakeWorker) pick(n int64) []byte {
	best, distance := []byte(nil), int64(1)<<62
	for _, a := range w.answers {
		if d := max(a.requestBytes-n, n-a.requestBytes); d < distance {
			best, distance = a.response, d
		}
	}
	return best
}

func response(body []byte) []byte {
	h := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	return append([]byte(h), body...)
}

func (w *fakeWorker) serve(conn net.Conn) {
	r := bufio.NewReaderSize(conn, 256<<10)
	for {
		h, err := readHead(r)
		if err != nil {
			return // the peer is done
		}
		n, err := h.copyBody(r, io.Discard)
		if err != nil {
			return
		}
		out := w.info
		if !strings.HasPrefix(h.first, "GET ") {
			out = w.pick(n)
		}
		if _, err := conn.Write(out); err != nil || h.close {
			return
		}
	}
}

// serveTCP gives each connection of l a goroutine of its own until ctx ends, and
// returns when all of them have.
func serveTCP(ctx context.Context, l net.Listener, serve func(net.Conn)) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		conns = map[net.Conn]bool{}
	)
	stop := context.AfterFunc(ctx, func() {
		_ = l.Close() // makes Accept return
		mu.Lock()
		defer mu.Unlock()
		for c := range conns {
			_ = c.Close() // makes its goroutine return
		}
	})
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			wg.Wait()
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		mu.Lock()
		conns[conn] = true
		late := ctx.Err() != nil
		mu.Unlock()
		if late {
			_ = conn.Close() // accepted while ending
		}
		wg.Go(func() {
			serve(conn)
			_ = conn.Close() // may be closed already
			mu.Lock()
			delete(conns, conn)
			mu.Unlock()
		})
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// newTransport is a client's side that keeps its connections; the default one
// keeps two a host, which costs six times the CPU under load.
func newTransport() *http.Transport {
	return &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 128, DisableCompression: true}
}

// serveHTTP serves handler on l until ctx ends.
func serveHTTP(ctx context.Context, l net.Listener, handler http.Handler) error {
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() }) // makes Serve return
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bytesHTTP is the yardstick bytes-http: bytes-raw with the standard library's
// server and client, and pooled buffers. It is the floor with net/http.
type bytesHTTP struct {
	workers   []string
	transport *http.Transport
	pool      sync.Pool
}

func newBytesHTTP(workers []string) *bytesHTTP {
	return &bytesHTTP{workers: workers, transport: newTransport(), pool: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
}

func (g *bytesHTTP) buffer() *bytes.Buffer {
	b, _ := g.pool.Get().(*bytes.Buffer)
	b.Reset()
	return b
}

// ServeHTTP asks all workers and passes the first one's answer on.
func (g *bytesHTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := g.buffer()
	defer g.pool.Put(request)
	if err := fill(request, r.Body, r.ContentLength); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answers := make([]*bytes.Buffer, len(g.workers))
	defer func() {
		for _, a := range answers {
			g.pool.Put(a)
		}
	}()
	errs := make([]error, len(g.workers))
	var wg sync.WaitGroup
	for i := range g.workers {
		answers[i] = g.buffer()
		wg.Go(func() { errs[i] = g.call(r.Context(), g.workers[i], request.Bytes(), answers[i]) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(answers[0].Len()))
	// A failed write means that the client went away.
	_, _ = w.Write(answers[0].Bytes())
}

func (g *bytesHTTP) call(ctx context.Context, addr string, body []byte, answer *bytes.Buffer) error {
	resp, err := post(ctx, g.transport, addr, body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or given up
	return fill(answer, resp.Body, resp.ContentLength)
}

func post(ctx context.Context, transport *http.Transport, addr string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/filter", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("worker %s answered %s", addr, resp.Status), resp.Body.Close())
	}
	return resp, nil
}

// fill reads r whole; length may be -1.
func fill(b *bytes.Buffer, r io.Reader, length int64) error {
	if length > 0 {
		b.Grow(int(length) + bytes.MinRead)
	}
	_, err := b.ReadFrom(r)
	return err
}

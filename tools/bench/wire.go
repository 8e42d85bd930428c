package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// countingProxy passes bytes between a gateway and one worker, and counts them.
type countingProxy struct {
	worker string
	// sent is what the gateway sent, answered what the worker did.
	sent, answered atomic.Int64
}

// serve passes connections of l on until ctx ends.
func (p *countingProxy) serve(ctx context.Context, l net.Listener) error {
	return serveTCP(ctx, l, func(client net.Conn) {
		worker, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.worker)
		if err != nil {
			return // the gateway sees its connection end
		}
		stop := context.AfterFunc(ctx, func() { _ = worker.Close() }) // ends both copies
		defer stop()
		var wg sync.WaitGroup
		wg.Go(func() { pass(client, worker, &p.answered) })
		pass(worker, client, &p.sent)
		wg.Wait()
	})
}

// pass copies from one to the other until either ends, and ends both then.
func pass(to, from net.Conn, count *atomic.Int64) {
	// How a connection ended does not matter: the bytes were counted.
	_, _ = io.Copy(io.MultiWriter(to, counter{count}), from)
	_ = to.Close()
	_ = from.Close()
}

// counter counts what is written to it.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

const (
	wireName = "bytes that a gRPC worker answers, N=10000, against a REST worker's echo"
	// wireRequests is over how many requests the bytes are counted.
	wireRequests = 40
)

func wireProbe() probe {
	return probe{
		name: "wire", run: measureWire,
		bars: []bar{figured(wireName, "wire", bar{asked: 1.0 / 1500, exact: true})},
	}
}

// measureWire counts what goes over the connections to a worker, whatever a
// request's share of heads, frames, and window updates is.
func measureWire(ctx context.Context, b *bench) (figure, error) {
	f := figure{
		Title: "Bytes on the wire", Values: map[string]value{},
		Rows:  [][]string{{"worker", "N", "to the worker, a request", "from the worker, a request"}},
		Notes: []string{fmt.Sprintf("Counted by a proxy between the gateway and its one worker, over %d requests; payload of TCP, everything included.", wireRequests)},
	}
	const n = 10_000
	answered := map[string]float64{}
	for _, mode := range []string{modeREST, modeGRPC} {
		sent, back, err := countWire(ctx, b, mode, n)
		if err != nil {
			return figure{}, err
		}
		answered[mode] = back
		f.Rows = append(f.Rows, []string{mode, strconv.Itoa(n), fmt.Sprintf("%.0f", sent), fmt.Sprintf("%.0f", back)})
	}
	f.Values[wireName] = counted(answered[modeGRPC] / answered[modeREST])
	return f, nil
}

func countWire(ctx context.Context, b *bench, mode string, n int) (sent, answered float64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	var (
		proxy countingProxy
		done  = make(chan error, 1)
	)
	through := func(worker string) (string, error) {
		listeners, err := listen(ctx, 1)
		if err != nil {
			return "", err
		}
		proxy.worker = worker
		go func() { done <- proxy.serve(ctx, listeners[0]) }()
		return listeners[0].Addr().String(), nil
	}
	// Probes would be counted too.
	a, err := startAlone(ctx, b, mode, 1, []int{n}, []string{"MUSTER_WORKERS_PROBEINTERVAL=1h"}, through)
	if err != nil {
		cancel()
		return 0, 0, err
	}
	sent, answered, err = proxy.count(ctx, a, n)
	err = a.stop(err)
	cancel()
	if ended := <-done; err == nil {
		err = ended
	}
	return sent, answered, err
}

func (p *countingProxy) count(ctx context.Context, a *alone, n int) (sent, answered float64, err error) {
	s, c := a.subject(), cell{n: n, c: 1}
	body := requestBody(n)
	t, err := s.target(ctx)
	if err != nil {
		return 0, 0, err
	}
	// Windows have grown and connections are there after the first requests.
	if err := warm(ctx, s, t, body, c, effort{warm: 500 * time.Millisecond}); err != nil {
		return 0, 0, err
	}
	sent0, answered0 := p.sent.Load(), p.answered.Load()
	for range wireRequests {
		if _, err := once(ctx, t, body); err != nil {
			return 0, 0, err
		}
	}
	return float64(p.sent.Load()-sent0) / wireRequests, float64(p.answered.Load()-answered0) / wireRequests, nil
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// target is what a load goes to.
type target struct {
	addr string
	path string
	// token is sent as bearer token when it is not empty.
	token string
}

// request prebuilds the bytes of a POST of body.
func (t target) request(body []byte) []byte {
	auth := ""
	if t.token != "" {
		auth = "Authorization: Bearer " + t.token + "\r\n"
	}
	h := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		t.path, t.addr, auth, len(body))
	return append([]byte(h), body...)
}

// sample is the outcome of one repetition of a load.
type sample struct {
	Requests int           `json:"requests"`
	Elapsed  time.Duration `json:"elapsedNs"`
	P50      time.Duration `json:"p50Ns"`
	P99      time.Duration `json:"p99Ns"`
	Max      time.Duration `json:"maxNs"`
	// CPU is what the subject's processes used per request.
	CPU time.Duration `json:"cpuNs"`
	// AnswerBytes is the length of the answers, which are all alike.
	AnswerBytes int64 `json:"answerBytes"`
}

// load asks t with body on c kept connections, each asking again as soon as it
// is answered, for at least d and at least once per connection. It fails on the
// first answer that is not 200.
func load(ctx context.Context, t target, body []byte, c int, d time.Duration) (sample, error) {
	request := t.request(body)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		times []time.Duration
		bytes int64
	)
	begin := time.Now()
	for range c {
		wg.Go(func() {
			took, n, err := client(ctx, t.addr, request, begin.Add(d))
			mu.Lock()
			defer mu.Unlock()
			times = append(times, took...)
			bytes = max(bytes, n)
			if err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begin)
	if err := context.Cause(ctx); err != nil {
		return sample{}, fmt.Errorf("load on %s: %w", t.addr, err)
	}
	slices.Sort(times)
	return sample{
		Requests: len(times), Elapsed: elapsed, AnswerBytes: bytes,
		P50: quantile(times, 0.50), P99: quantile(times, 0.99), Max: times[len(times)-1],
	}, nil
}

// quantile returns the smallest of sorted that at least q of them do not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	at := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}

// client is one closed loop on one connection.
func client(ctx context.Context, addr string, request []byte, until time.Time) ([]time.Duration, int64, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends the reads below
	defer stop()
	defer func() { _ = conn.Close() }() // nothing is left to be said
	r := bufio.NewReaderSize(conn, 256<<10)
	var took []time.Duration
	for {
		begin := time.Now()
		length, err := ask(conn, r, request, io.Discard)
		if err != nil {
			return took, length, err
		}
		now := time.Now()
		took = append(took, now.Sub(begin))
		if now.After(until) || ctx.Err() != nil {
			return took, length, nil
		}
	}
}

// ask sends one request and copies the answer's body to w.
func ask(conn net.Conn, r *bufio.Reader, request []byte, w io.Writer) (int64, error) {
	if _, err := conn.Write(request); err != nil {
		return 0, err
	}
	h, err := readHead(r)
	if err != nil {
		return 0, err
	}
	status, err := h.status()
	if err != nil {
		return 0, err
	}
	if status != 200 {
		return 0, refusal(&h, r, status)
	}
	return h.copyBody(r, w)
}

// refusal makes an error of an answer that is not 200, with the head of its body.
func refusal(h *head, r *bufio.Reader, status int) error {
	text := make([]byte, min(max(h.length, 0), 300))
	n, err := io.ReadFull(r, text)
	if err != nil {
		return fmt.Errorf("status %d", status)
	}
	return fmt.Errorf("status %d: %s", status, text[:n])
}

// once asks t one time and returns the answer's body.
func once(ctx context.Context, t target, body []byte) ([]byte, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // nothing is left to be said
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	var answer sliceWriter
	_, err = ask(conn, bufio.NewReaderSize(conn, 64<<10), t.request(body), &answer)
	return answer, err
}

// sliceWriter appends to itself.
type sliceWriter []byte

func (s *sliceWriter) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
)

// serving runs serve on a free port until the test ends.
func serving(t *testing.T, serve func(context.Context, net.Listener) error) string {
	t.Helper()
	listeners, err := listen(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, listeners[0]) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listeners[0].Addr().String()
}

func worker(t *testing.T, k int, sizes ...int) string {
	return serving(t, func(ctx context.Context, l net.Listener) error { return serveWorker(ctx, l, k, sizes, false) })
}

func TestFakeWorkerPicksBySize(t *testing.T) {
	addr := worker(t, 3, 2, 100, 1_000)
	for _, n := range []int{2, 100, 1_000} {
		got, err := once(t.Context(), target{addr: addr, path: "/filter"}, requestBody(n))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, answerBody(n, 3, false)) {
			t.Errorf("%d nodes: another answer", n)
		}
	}
}

func TestYardsticks(t *testing.T) {
	const n = 500
	workers := []string{worker(t, 0, n), worker(t, 1, n), worker(t, 2, n)}
	for _, c := range []struct {
		name  string
		serve func(context.Context, net.Listener) error
		check func([]byte) bool
	}{
		{raw, func(ctx context.Context, l net.Listener) error { return serveRaw(ctx, l, workers) },
			func(b []byte) bool { return bytes.Equal(b, answerBody(n, 0, false)) }},
		{viaHTTP, func(ctx context.Context, l net.Listener) error { return serveHTTP(ctx, l, newBytesHTTP(workers)) },
			func(b []byte) bool { return bytes.Equal(b, answerBody(n, 0, false)) }},
		{plain, func(ctx context.Context, l net.Listener) error {
			return serveHTTP(ctx, l, &plainGo{workers: workers, transport: newTransport()})
		}, func(b []byte) bool { return bytes.Count(b, []byte("elementId")) == count(3, n) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := target{addr: serving(t, c.serve), path: "/filter"}
			for range 3 { // the connections are kept
				got, err := once(t.Context(), to, requestBody(n))
				if err != nil {
					t.Fatal(err)
				}
				if !c.check(got) {
					t.Fatalf("wrong answer of %d bytes", len(got))
				}
			}
			s, err := load(t.Context(), to, requestBody(n), 4, 50*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			if s.Requests < 4 || s.P50 <= 0 || s.P50 > s.P99 || s.P99 > s.Max {
				t.Errorf("the sample makes no sense: %+v", s)
			}
		})
	}
}

func count(w, n int) (shown int) {
	for i := range n {
		if visible(w, i) {
			shown++
		}
	}
	return shown
}

func TestLoadStopsAtABadAnswer(t *testing.T) {
	addr := serving(t, func(ctx context.Context, l net.Listener) error {
		return serveTCP(ctx, l, func(c net.Conn) {
			// The load fails on it, whatever the write says.
			_, _ = c.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"))
		})
	})
	_, err := load(t.Context(), target{addr: addr, path: "/"}, nil, 2, time.Minute)
	if err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "busy") {
		t.Errorf("got %v", err)
	}
}

func TestRawFailsWithTheWorker(t *testing.T) {
	addr := serving(t, func(ctx context.Context, l net.Listener) error {
		return serveRaw(ctx, l, []string{"127.0.0.1:1"})
	})
	if _, err := once(t.Context(), target{addr: addr, path: "/"}, requestBody(2)); err == nil {
		t.Error("no worker, and yet an answer")
	}
}

func TestGRPCWorker(t *testing.T) {
	addr := serving(t, func(ctx context.Context, l net.Listener) error {
		return serveGRPCWorker(ctx, l, 1, []int{3, 20})
	})
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	client := workerv1.NewGraphSecurityClient(conn)
	info, err := client.Describe(t.Context(), &workerv1.DescribeRequest{})
	if err != nil || info.GetUuid() != fakeUUID(1) || info.GetCapabilities().GetProtocol() != 1 {
		t.Fatalf("describe: %v, %v", info, err)
	}
	for n, ok := range map[int]bool{3: true, 20: true, 4: false} {
		stream, err := client.Filter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		chunk := &workerv1.ElementChunk{Ends: make([]uint32, n), Starts: make([]uint32, n)}
		if err := stream.Send(&workerv1.FilterRequest{Message: &workerv1.FilterRequest_Chunk{Chunk: chunk}}); err != nil {
			t.Fatal(err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if (err == nil) != ok {
			t.Fatalf("%d elements: %v", n, err)
		}
		for i := range n {
			if ok && (got.GetChunk().GetVisible()[i/8]>>(i%8)&1 == 1) == hides(1, i) {
				t.Errorf("%d elements: verdict %d is wrong", n, i)
			}
		}
	}
}

func TestRows(t *testing.T) {
	const n = 2_500 // three chunks
	var workers []string
	for k := range 3 {
		workers = append(workers, serving(t, func(ctx context.Context, l net.Listener) error { return serveRowsWorker(ctx, l, k) }))
	}
	for _, ready := range []bool{false, true} {
		addr := serving(t, func(ctx context.Context, l net.Listener) error {
			g, err := newRowsGateway(workers, ready)
			if err != nil {
				return err
			}
			return errors.Join(serveHTTP(ctx, l, g), g.close())
		})
		for range 2 { // the second time, the rows are there
			got, err := once(t.Context(), target{addr: addr, path: "/filter"}, requestBody(n))
			if want := fmt.Sprintf(`{"shown":%d}`, count(3, n)); err != nil || string(got) != want {
				t.Errorf("ready %v: got %s, %v; want %s", ready, got, err, want)
			}
		}
	}
}

func TestRowsWithoutWorkers(t *testing.T) {
	addr := serving(t, func(ctx context.Context, l net.Listener) error {
		g, err := newRowsGateway(nil, true)
		if err != nil {
			return err
		}
		return errors.Join(serveHTTP(ctx, l, g), g.close())
	})
	if got, err := once(t.Context(), target{addr: addr, path: "/filter"}, requestBody(7)); err != nil || string(got) != `{"shown":7}` {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := once(t.Context(), target{addr: addr, path: "/filter"}, []byte(`{"data":7}`)); err == nil {
		t.Error("7 is no list")
	}
}

func TestRowsEncodeAsAnnounced(t *testing.T) {
	var nodes []row
	if err := json.Unmarshal([]byte("["+node(0)+","+node(1)+"]"), &nodes); err != nil {
		t.Fatal(err)
	}
	for _, r := range nodes {
		if got := len(r.append(nil)); got != r.size() || got < nodeSize/2 {
			t.Errorf("%d bytes, announced %d", got, r.size())
		}
	}
	if _, err := (rowsCodec{}).Marshal("x"); err == nil {
		t.Error("a string is no chunk")
	}
}

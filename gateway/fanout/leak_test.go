package fanout_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/registry"
)

// faults is how many faults the leak test makes; MUSTER_TEST_FAULTS changes it.
func faults(t *testing.T) int {
	t.Helper()
	text := os.Getenv("MUSTER_TEST_FAULTS")
	if text == "" {
		return 600
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("MUSTER_TEST_FAULTS: %v", err)
	}
	return n
}

// badReplies are thrown at random; each is followed by a close.
var badReplies = []string{
	"",
	"garbage\r\n\r\n",
	"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}",
	"HTTP/1.1 401 No\r\nContent-Length: 37\r\n\r\n" + `{"error":"a","description":"b"}      `,
	"HTTP/1.1 302 Go\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"result\":{\"nodes\":[",
	"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
	"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 4\r\n\r\nnull",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
	"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 1001),
	"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + `{"result":{"nodes":[{"elementId":"n0"}]}}         `,
	"hang",
	"reset",
}

func chaosREST(t *testing.T) string {
	var n atomic.Uint64
	return "http://" + faulttest.Raw(t, func(c net.Conn) {
		reply := badReplies[n.Add(1)%uint64(len(badReplies))]
		if _, err := faulttest.Take(c); err != nil {
			return
		}
		switch reply {
		case "hang":
			hang(c)
		case "reset":
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")
			_ = c.(*net.TCPConn).SetLinger(0)
		default:
			_, _ = io.WriteString(c, reply)
		}
	})
}

func chaosGRPC(t *testing.T) string {
	return (&faulttest.Decider{Judge: func(s faulttest.Stream) error {
		switch rand.IntN(6) {
		case 0:
			return status.Error(codes.Internal, "no")
		case 1:
			<-s.Context().Done()
			return nil
		case 2:
			return nil
		case 3:
			return s.Send(&workerv1.FilterResponse{Chunk: &workerv1.VerdictChunk{Base: 5}})
		case 4:
			for s.Send(&workerv1.FilterResponse{Chunk: &workerv1.VerdictChunk{Count: 8, Visible: []byte{255}}}) == nil {
			}
			return nil
		default:
			return status.Error(codes.Unauthenticated, "no")
		}
	}}).Serve(t)
}

// TestNothingLeaks makes many faults and then looks for what stayed: goroutines
// (goleak, at the end of the package's tests), file descriptors, memory.
func TestNothingLeaks(t *testing.T) {
	f, _ := faulttest.Fleet(t, fanout.Config{Breaker: fanout.BreakerConfig{MinCalls: 1 << 30}}, nil)
	honest, _ := faulttest.REST(t, odd, false)
	good, rest, grpc := faulttest.Worker(1, honest), faulttest.Worker(2, chaosREST(t)), faulttest.Worker(3, chaosGRPC(t))
	good.Settings.Timeout = 20 * time.Second
	rest.Settings.Timeout, grpc.Settings.Timeout = 30*time.Millisecond, 30*time.Millisecond
	hiding := *rest
	hiding.Settings.OnFailure = registry.HideUnjudged
	req := faulttest.Nodes(t, 10)
	run := func(n int) {
		var wg sync.WaitGroup
		var next atomic.Int64
		for range 4 {
			wg.Go(func() {
				for i := next.Add(1); i <= int64(n); i = next.Add(1) {
					set := [][]*registry.Worker{{good, rest}, {good, grpc}, {good, &hiding}}[i%3]
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
					out, err := f.Ask(ctx, call(req, set...))
					cancel()
					if i%3 == 2 {
						if err != nil || out[1].Err == nil || out[1].Nodes.Any() {
							t.Errorf("hiding: %+v %v", out, err)
						}
					} else if err == nil || out != nil {
						t.Errorf("shown: %+v", out)
					}
				}
			})
		}
		wg.Wait()
	}
	total := faults(t)
	run(total / 4)
	fds, heap := measure(t)
	run(total - total/4)
	eventually(t, func() bool {
		now, _ := measure(t)
		return now <= fds+8
	})
	if _, after := measure(t); after > heap+8<<20 {
		t.Errorf("the heap grew from %d to %d KiB over %d faults", heap>>10, after>>10, total)
	}
}

// measure returns open file descriptors and live heap bytes.
func measure(t *testing.T) (fds int, heap uint64) {
	t.Helper()
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		fds = len(entries)
	}
	runtime.GC()
	runtime.GC() // pools let go only the second time
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return fds, m.HeapAlloc
}

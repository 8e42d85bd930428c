package fanout_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
)

// benchNode has 11 properties and 285 bytes or so, some not ASCII.
func benchNode(i int) string {
	return fmt.Sprintf(`{"elementId":"4:7f3c1d52-5a0e-4d9c-9f57-3b1e8f6a0c11:%d","labels":["Person"],"properties":{"name":"Jürgen %d","a":%d,"b":12.50,"c":true,"d":null,"e":"x\u00e9y","f":"a note of some length in here","g":[1,2,3],"h":"2024-01-01","i":"lives in Graz","j":"drives a bus"}}`, i, i, i)
}

func benchBody(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"parameters":{"type":"nodes"},"data":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(benchNode(i))
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// benchREST answers every request with the same bytes, made beforehand: every
// tenth element hidden. It parses nothing but the length.
func benchREST(b *testing.B, n int) string {
	var kept []string
	for i := range n {
		if i%10 != 3 {
			kept = append(kept, benchNode(i))
		}
	}
	body := `{"result":{"nodes":[` + strings.Join(kept, ",") + `]}}`
	reply := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
	return "http://" + faulttest.Raw(b, func(c net.Conn) {
		r := bufio.NewReaderSize(c, 64<<10)
		for {
			length := 0
			for {
				line, err := r.ReadSlice('\n')
				if err != nil {
					return
				}
				if len(line) == 2 {
					break
				}
				if v, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
					length, _ = strconv.Atoi(strings.TrimSpace(v))
				}
			}
			if _, err := r.Discard(length); err != nil {
				return
			}
			if _, err := c.Write(reply); err != nil {
				return
			}
		}
	}) + "/filter"
}

// BenchmarkAsk is a request that has been read already, asked of W workers over
// loopback: over REST, over gRPC streams, and over gRPC from workers that serve
// Decide (which batches of more than one chunk do not use). ms-cpu/op is the time
// of both cores, workers included.
func BenchmarkAsk(b *testing.B) {
	for _, transport := range []string{"rest", "stream", "decide"} {
		for _, n := range []int{2, 100, 1000, 3500, 10_000} {
			for _, w := range []int{1, 8} {
				b.Run(fmt.Sprintf("%s/N=%d/W=%d", transport, n, w), func(b *testing.B) { benchAsk(b, transport, n, w) })
			}
		}
	}
}

func benchAsk(b *testing.B, transport string, n, count int) {
	f, _ := faulttest.Fleet(b, fanout.Config{}, nil)
	var workers []*registry.Worker
	for i := range count {
		var url string
		switch transport {
		case "rest":
			url = benchREST(b, n)
		case "stream":
			url, _ = countingGRPC(b)
		default:
			url = (&faulttest.Decider{Judge: judgeAll}).Serve(b)
		}
		w := faulttest.Worker(i, url)
		w.Settings.Timeout = 30 * time.Second
		workers = append(workers, w)
	}
	body := benchBody(n)
	req, err := element.ParseRequest(body, element.Options{})
	if err != nil {
		b.Fatal(err)
	}
	c := call(req, workers...)
	c.Body = &lease{}
	if _, err := f.Ask(b.Context(), c); err != nil { // connects, and learns what the workers can
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body) * count))
	b.ReportAllocs()
	start := cpu()
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		if _, err := f.Ask(ctx, c); err != nil {
			b.Fatal(err)
		}
		cancel()
	}
	b.ReportMetric(float64(cpu()-start)/1e6/float64(b.N), "ms-cpu/op")
}

// BenchmarkFloor sends the same bytes to the same workers with net/http and
// reads what comes back, understanding nothing: what a fan-out with the standard
// library costs before it does anything.
func BenchmarkFloor(b *testing.B) {
	for _, n := range []int{2, 1000, 10_000} {
		for _, count := range []int{1, 8} {
			b.Run(fmt.Sprintf("N=%d/W=%d", n, count), func(b *testing.B) {
				body := benchBody(n)
				tr := &http.Transport{MaxIdleConnsPerHost: 8, DisableCompression: true}
				defer tr.CloseIdleConnections()
				urls := make([]string, count)
				for i := range urls {
					urls[i] = benchREST(b, n)
				}
				b.ReportAllocs()
				start := cpu()
				for b.Loop() {
					ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
					var wg sync.WaitGroup
					for _, u := range urls {
						wg.Go(func() {
							if err := floorCall(ctx, tr, u, body); err != nil {
								b.Error(err)
							}
						})
					}
					wg.Wait()
					cancel()
				}
				b.ReportMetric(float64(cpu()-start)/1e6/float64(b.N), "ms-cpu/op")
			})
		}
	}
}

func floorCall(ctx context.Context, tr *http.Transport, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

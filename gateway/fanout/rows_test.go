package fanout_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/proto/fault"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/registry"
)

// bad is a way in which a worker can fail, and the row that follows.
type bad struct {
	name   string
	url    func(t *testing.T) string
	status int
	code   string
	reason string
}

// answering serves one fixed answer to every request, then closes.
func answering(reply string) func(t *testing.T) string {
	return byHand(func(c net.Conn) {
		if _, err := faulttest.Take(c); err == nil {
			_, _ = io.WriteString(c, reply)
		}
	})
}

func byHand(serve func(c net.Conn)) func(t *testing.T) string {
	return func(t *testing.T) string { return "http://" + faulttest.Raw(t, serve) + "/filter" }
}

func ok(body string) func(t *testing.T) string {
	return answering(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body))
}

func refusing(status, body string) func(t *testing.T) string {
	return answering(fmt.Sprintf("HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body))
}

func result(elements ...string) string {
	return `{"result":{"nodes":[` + strings.Join(elements, ",") + `]}}`
}

// changed is node n0 with one piece of its text replaced.
func changed(old, by string) string { return strings.Replace(faulttest.Node("n0"), old, by, 1) }

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", b.Len(), b.String())
}

func hang(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

var restRows = []bad{
	{"foreign id", ok(result(faulttest.Node("n0"), faulttest.Node("stranger"))), 502, "worker_violation", "foreign_id"},
	{"id twice", ok(result(faulttest.Node("n0"), faulttest.Node("n0"))), 502, "worker_violation", "repeated_id"},
	{"other labels", ok(result(changed("Person", "Admin"))), 502, "worker_violation", "changed_labels"},
	{"added property", ok(result(changed(`"big":`, `"more":1,"big":`))), 502, "worker_violation", "added_property"},
	{"changed value", ok(result(changed(`"s-n0"`, `"s-n1"`))), 502, "worker_violation", "changed_value"},
	{"wrong key", ok(`{"result":{"relationships":[]}}`), 502, "worker_violation", "wrong_key"},
	{"not JSON", ok(`<html>`), 502, "worker_violation", "not_json"},
	{"empty body", ok(``), 502, "worker_violation", "not_json"},
	{"trailing bytes", ok(result() + "x"), 502, "worker_violation", "trailing_bytes"},
	{"no result", ok(`{"nodes":[]}`), 502, "worker_violation", "wrong_shape"},
	{"204", answering("HTTP/1.1 204 No Content\r\n\r\n"), 502, "worker_violation", "not_json"},
	{"gzip bomb", answering(gzipped(strings.Repeat(" ", 16<<20))), 502, "worker_violation", "encoded"},
	{"too many bytes", ok(`{"result":{"nodes":[` + strings.Repeat(" ", 2<<20) + `]}}`), 502, "worker_violation", "too_large"},
	{"500", answering("HTTP/1.1 500 Oops\r\nContent-Length: 36\r\n\r\n" + `{"error":"boom","description":"dead"}`), 502, "worker_error", "status"},
	{"503", answering("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), 502, "worker_error", "status"},
	{"429", answering("HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n"), 502, "worker_error", "status"},
	{"redirect to metadata", answering("HTTP/1.1 307 Go\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n"), 502, "worker_error", "status"},
	{"401 without a body", answering("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"), 502, "worker_error", "status"},
	{"401", refusing("401 No", `{"error":"invalid_token","description":"it expired"}`), 401, "invalid_token", "unauthorized"},
	{"403", refusing("403 No", `{"error":"not_yours","description":"go away"}`), 403, "not_yours", "forbidden"},
	{"garbage", answering("220 smtp\r\n\r\n"), 502, "worker_error", "framing"},
	{"1,001 headers", answering("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 1001) + "Content-Length: 2\r\n\r\n{}"), 502, "worker_error", "framing"},
	{"short body", answering("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + result(faulttest.Node("n0"))), 502, "worker_error", "connection_lost"},
	{"complete JSON, short chunks", answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1c\r\n" + `{"result":{"nodes":[]}}     ` + "\r\n"), 502, "worker_error", "connection_lost"},
	{"reset within the body", byHand(func(c net.Conn) {
		if _, err := faulttest.Take(c); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{\"result\"")
			_ = c.(*net.TCPConn).SetLinger(0)
		}
	}), 502, "worker_error", "connection_lost"},
	{"closes at once", byHand(func(net.Conn) {}), 503, "worker_unreachable", "connection_lost"},
	{"closes after the request", byHand(func(c net.Conn) { _, _ = faulttest.Take(c) }), 503, "worker_unreachable", "connection_lost"},
	{"half-closes", byHand(func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite(); hang(c) }), 503, "worker_unreachable", "connection_lost"},
	{"nobody listens", func(t *testing.T) string { return "http://" + closedPort(t) + "/filter" }, 503, "worker_unreachable", "connect"},
	{"hangs", byHand(hang), 504, "worker_timeout", "timeout"},
	{"hangs within the body", byHand(func(c net.Conn) {
		if _, err := faulttest.Take(c); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{\"result\"")
		}
		hang(c)
	}), 504, "worker_timeout", "timeout"},
	{"drips", byHand(func(c net.Conn) {
		if _, err := faulttest.Take(c); err != nil {
			return
		}
		for {
			if _, err := io.WriteString(c, "HTTP/1.1 100 C"); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}), 504, "worker_timeout", "timeout"},
	{"refused address", func(*testing.T) string { return "http://169.254.169.254/filter" }, 503, "worker_address_refused", "address_refused"},
	{"refused name form", func(*testing.T) string { return "http://[::ffff:169.254.169.254]/filter" }, 503, "worker_address_refused", "address_refused"},
}

func closedPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// handler serves a stream; a Decider serves Decide with it as well.
type handler func(faulttest.Stream) error

func (h handler) serve(t *testing.T) string { return faulttest.GRPCWith(t, h) }

// afterAll reads all there is and then answers.
func afterAll(answer func(s faulttest.Stream, n uint64) error) handler {
	return func(s faulttest.Stream) error {
		var n uint64
		for {
			m, err := s.Recv()
			if errors.Is(err, io.EOF) {
				return answer(s, n)
			}
			if err != nil {
				return err
			}
			n += uint64(len(m.GetChunk().GetStarts()))
		}
	}
}

func chunkOf(c *workerv1.VerdictChunk) handler {
	return afterAll(func(s faulttest.Stream, _ uint64) error { return s.Send(&workerv1.FilterResponse{Chunk: c}) })
}

func ending(err error) handler {
	return afterAll(func(faulttest.Stream, uint64) error { return err })
}

// grpcAnswers are the rows of workers that answer wrongly over gRPC. They are
// asked about 3 nodes, as those over REST are.
var grpcAnswers = []struct {
	name    string
	handler handler
	status  int
	code    string
	reason  string
}{
	{"short", chunkOf(&workerv1.VerdictChunk{Count: 2, Visible: []byte{3}}), 502, "worker_violation", "short_reply"},
	{"nothing", ending(nil), 502, "worker_violation", "short_reply"},
	{"no chunk in the message", chunkOf(nil), 502, "worker_violation", "short_reply"},
	{"long", chunkOf(&workerv1.VerdictChunk{Count: 4, Visible: []byte{15}}), 502, "worker_violation", "long_reply"},
	{"foreign base", chunkOf(&workerv1.VerdictChunk{Base: 1, Count: 2, Visible: []byte{3}}), 502, "worker_violation", "bad_chunk"},
	{"wrong number of bits", chunkOf(&workerv1.VerdictChunk{Count: 3, Visible: []byte{7, 0}}), 502, "worker_violation", "bad_chunk"},
	{"bits behind the end", chunkOf(&workerv1.VerdictChunk{Count: 3, Visible: []byte{15}}), 502, "worker_violation", "bad_chunk"},
	{"foreign strip", chunkOf(&workerv1.VerdictChunk{Count: 3, Visible: []byte{7}, Strips: []*workerv1.Strip{{Ordinal: 3}}}), 502, "worker_violation", "bad_chunk"},
	{"mask not allowed", chunkOf(&workerv1.VerdictChunk{Count: 3, Visible: []byte{7}, Masks: []*workerv1.Mask{{Property: "secret", Value: []byte("1")}}}), 502, "worker_violation", "changed_value"},
	{"too many bytes", afterAll(func(s faulttest.Stream, _ uint64) error {
		return s.Send(&workerv1.FilterResponse{Chunk: &workerv1.VerdictChunk{Count: 3, Visible: []byte{7},
			Reasons: []*workerv1.Reason{{Code: strings.Repeat("x", 2<<20)}}}})
	}), 502, "worker_violation", "too_large"},
	{"internal", ending(status.Error(codes.Internal, "boom")), 502, "worker_error", "status"},
	{"says unavailable", ending(status.Error(codes.Unavailable, "policy source is down")), 502, "worker_error", "status"},
	{"unauthenticated", ending(fault.New(fault.Unauthenticated, "invalid_token", "it expired")), 401, "invalid_token", "unauthorized"},
	{"denied", ending(status.Error(codes.PermissionDenied, "go away")), 403, "forbidden", "forbidden"},
	{"verdicts, then an error", afterAll(func(s faulttest.Stream, n uint64) error {
		_ = s.Send(&workerv1.FilterResponse{Chunk: &workerv1.VerdictChunk{Count: n, Visible: []byte{7}}})
		return status.Error(codes.DataLoss, "oops")
	}), 502, "worker_error", "status"},
	{"hangs and ends well", afterAll(func(s faulttest.Stream, _ uint64) error { <-s.Context().Done(); return nil }), 504, "worker_timeout", "timeout"},
	{"hangs", afterAll(func(s faulttest.Stream, _ uint64) error {
		<-s.Context().Done()
		return status.FromContextError(s.Context().Err()).Err()
	}), 504, "worker_timeout", "timeout"},
}

// grpcRows are those of grpcAnswers over streams, and what goes wrong before.
var grpcRows = append(overStreams(), []bad{
	{"hangs before the handshake", func(t *testing.T) string { return "grpc://" + faulttest.Raw(t, hang) }, 504, "worker_timeout", "timeout"},
	{"closes at once", func(t *testing.T) string { return "grpc://" + faulttest.Raw(t, func(net.Conn) {}) }, 503, "worker_unreachable", "connection_lost"},
	{"garbage", func(t *testing.T) string {
		return "grpc://" + faulttest.Raw(t, func(c net.Conn) { _, _ = io.WriteString(c, strings.Repeat("garbage ", 99)); hang(c) })
	}, 502, "worker_error", "framing"},
	{"speaks HTTP/1.1", func(t *testing.T) string {
		return "grpc://" + faulttest.Raw(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); hang(c) })
	}, 502, "worker_error", "framing"},
	{"nobody listens", func(t *testing.T) string { return "grpc://" + closedPort(t) }, 503, "worker_unreachable", "connect"},
	{"refused address", func(*testing.T) string { return "grpc://169.254.169.254:80" }, 503, "worker_address_refused", "address_refused"},
	{"unknown service", func(t *testing.T) string { return emptyGRPC(t) }, 502, "worker_error", "status"},
}...)

func overStreams() (rows []bad) {
	for _, a := range grpcAnswers {
		rows = append(rows, bad{a.name, a.handler.serve, a.status, a.code, a.reason})
	}
	return rows
}

func emptyGRPC(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	return "grpc://" + ln.Addr().String()
}

// rowTimeout is a worker's timeout where the row is about it. Elsewhere a busy
// machine gets more time, and the test of the deadline counts from rowTimeout all
// the same: a worker that has failed is not waited for.
const rowTimeout = 400 * time.Millisecond

func (b *bad) worker(t *testing.T) *registry.Worker {
	w := faulttest.Worker(1, b.url(t))
	if b.code == "worker_timeout" {
		w.Settings.Timeout = rowTimeout
	}
	return w
}

// TestEveryRow checks each line of the table: the error, who is blamed, that
// nothing is shown, that the answer comes in time, and what metrics and standing
// are told; then the same with onFailure hide.
func TestEveryRow(t *testing.T) {
	for _, b := range append(restRows, grpcRows...) {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			log := &lines{}
			seen := &faulttest.Observer{}
			f, reg := faulttest.Fleet(t, fanout.Config{}, func(d *fanout.Deps) {
				d.Logger, d.Observer = slog.New(slog.NewTextHandler(log, nil)), seen
			})
			w := b.worker(t)
			req := faulttest.Nodes(t, 3)
			out, err := f.Ask(within(t, 40*time.Second), call(req, w))
			e := faultOf(t, err)
			if out != nil || e.Kind.HTTPStatus() != b.status || e.Code != b.code {
				t.Errorf("%v, %d %v", out, e.Kind.HTTPStatus(), e)
			}
			if e.Worker == nil || e.Worker.UUID != string(w.ID) || e.Worker.Name != w.Name || !strings.Contains(e.Detail, w.Name) {
				t.Errorf("the worker is not named: %+v", e)
			}
			if n := counter(t, reg, "muster_worker_failures_total", b.reason); n != 1 {
				t.Errorf("failures with reason %s: %v", b.reason, n)
			}
			if text := log.String(); !strings.Contains(text, "reason="+b.reason) || strings.Contains(text, "s-n") || strings.Contains(text, "alice-token") {
				t.Errorf("log: %s", text)
			}
			if strings.Contains(e.Error(), "s-n") || strings.Contains(e.Error(), "alice-token") {
				t.Errorf("the error tells too much: %v", e)
			}
			checkObserved(t, seen.All(), b.code)

			inTime(t, rowTimeout, func() { _, _ = f.Ask(within(t, 40*time.Second), call(req, w)) })
			w.Settings.OnFailure = registry.HideUnjudged
			out, err = f.Ask(within(t, 40*time.Second), call(req, w))
			if err != nil || len(out) != 1 || out[0].Err == nil || out[0].Err.Code != b.code || out[0].Nodes.CountVisible() != 0 || out[0].Nodes.Len() != 3 {
				t.Errorf("with hide: %+v, %v", out, err)
			}
		})
	}
}

// inTime checks that an answer comes within its deadline and 250 ms; once more
// if it did not, for the machine may have had other things to do.
func inTime(t *testing.T, deadline time.Duration, ask func()) {
	t.Helper()
	for range 2 {
		start := time.Now()
		ask()
		took := time.Since(start)
		if took <= deadline+250*time.Millisecond {
			return
		}
		t.Logf("took %v", took)
	}
	t.Errorf("the answer came later than %v and 250 ms, twice", deadline)
}

func checkObserved(t *testing.T, all []faulttest.Observed, code string) {
	t.Helper()
	want := fanout.Failed
	switch code {
	case "worker_violation":
		want = fanout.Violated
	case "invalid_token", "not_yours", "forbidden":
		want = fanout.Succeeded
	}
	if len(all) != 1 || all[0].Result != want {
		t.Errorf("observed %+v", all)
	}
}

// lines is a log that may be written from several goroutines.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

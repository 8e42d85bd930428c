package fanout_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
)

// What a worker says after its deadline is nobody's answer, least of all the
// next request's.
func TestLateAnswersAreNobodys(t *testing.T) {
	release := make(chan struct{})
	late := "http://" + faulttest.Raw(t, func(c net.Conn) {
		for {
			body, err := faulttest.Take(c)
			if err != nil {
				return
			}
			reply := `{"result":{"nodes":[]}}`
			if strings.Contains(string(body), `"n5"`) {
				<-release
				reply = result(faulttest.Node("n0"), faulttest.Node("n1"))
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(len(reply))+"\r\n\r\n"+reply)
		}
	})
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	w := faulttest.Worker(1, late)
	w.Settings.Timeout = 100 * time.Millisecond
	_, err := f.Ask(within(t, 40*time.Second), call(faulttest.Nodes(t, 6), w))
	if e := faultOf(t, err); e.Code != "worker_timeout" {
		t.Fatal(e)
	}
	close(release)
	w.Settings.Timeout = 30 * time.Second
	for range 5 {
		out, err := f.Ask(within(t, 40*time.Second), call(faulttest.Nodes(t, 2), w))
		if err != nil || out[0].Nodes.Any() {
			t.Fatalf("%+v %v", out, err)
		}
	}
}

// A worker that comes up late is found by the next request.
func TestSlowStart(t *testing.T) {
	for _, scheme := range []string{"http", "grpc"} {
		addr := closedPort(t)
		f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
		w := faulttest.Worker(1, scheme+"://"+addr)
		req := faulttest.Nodes(t, 4)
		for range 3 {
			_, err := f.Ask(within(t, 40*time.Second), call(req, w))
			if e := faultOf(t, err); e.Code != "worker_unreachable" {
				t.Fatalf("%s: %v", scheme, e)
			}
		}
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Skip("somebody else took the port: ", err)
		}
		if scheme == "http" {
			srv := &httptest.Server{Listener: ln, Config: &http.Server{Handler: faulttest.Handler(odd, false, &faulttest.Calls{})}}
			srv.Start()
			t.Cleanup(srv.Close)
		} else {
			serveOn(t, ln)
		}
		out, err := f.Ask(within(t, 40*time.Second), call(req, w))
		if err != nil || out[0].Nodes.CountVisible() != 2 {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}

// oddWorker judges like odd.
type oddWorker struct {
	workerv1.UnimplementedGraphSecurityServer
}

func (oddWorker) Filter(s faulttest.Stream) error {
	for {
		m, err := s.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if c := m.GetChunk(); c != nil {
			if err := s.Send(&workerv1.FilterResponse{Chunk: faulttest.Judge(c, "nodes", odd, nil)}); err != nil {
				return err
			}
		}
	}
}

func serveOn(t *testing.T, ln net.Listener) {
	srv := grpc.NewServer()
	workerv1.RegisterGraphSecurityServer(srv, oddWorker{})
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	t.Cleanup(func() { srv.Stop(); <-done })
}

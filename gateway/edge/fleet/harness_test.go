package fleet_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/muster-fleet/muster/gateway/address"
	"github.com/muster-fleet/muster/gateway/edge/fleet"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/gateway/edge/rest/resttest"
	"github.com/muster-fleet/muster/gateway/probe"
	"github.com/muster-fleet/muster/proto/fault"
	registryv1 "github.com/muster-fleet/muster/proto/gen/muster/registry/v1"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/store/duckdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const gatewayID = "99999999-9999-4999-8999-999999999999"

// gateway is the API over real sockets, with a real registry in a DuckDB file.
type gateway struct {
	t      *testing.T
	url    string
	grpc   registryv1.RegistryClient
	svc    *registry.Service
	prober *probe.Prober
	ending chan struct{}
}

// newGateway starts one; with running the prober probes every 100 ms.
func newGateway(t *testing.T, running bool) *gateway {
	t.Helper()
	return newGatewayWith(t, running, func(svc *registry.Service) func() *registry.Snapshot {
		return resttest.Granted(svc.Snapshot, people, nil)
	})
}

// newGatewayWith starts one that knows who may what from these snapshots.
func newGatewayWith(t *testing.T, running bool, snapshots func(*registry.Service) func() *registry.Snapshot) *gateway {
	t.Helper()
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	store, err := duckdb.Open(ctx, filepath.Join(t.TempDir(), "muster.db"), duckdb.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	inspector := probe.NewInspector(probe.InspectorConfig{Timeout: 2 * time.Second, Dialer: &address.Dialer{
		Policy: &address.Policy{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
	}})
	svc, err := registry.Open(ctx, store, registry.Options{Logger: log, Inspector: inspector, GatewayID: gatewayID})
	if err != nil {
		t.Fatal(err)
	}
	prober, err := probe.New(probe.Config{Interval: probe.MinInterval}, probe.Deps{
		Registry: svc, Inspector: inspector, Logger: log, Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{t: t, svc: svc, prober: prober, ending: make(chan struct{})}
	gate := resttest.NewGate(t, snapshots(svc), people)
	deps := fleet.Deps{
		Registry: svc, Prober: prober, Logger: log, BodyDeadline: time.Second, Ending: g.ending,
		Gate: gate.Guard,
	}
	mux := http.NewServeMux()
	mux.Handle("/", fleet.Handler(deps))
	frame := rest.API{Logger: log, Gate: gate.Guard}
	mux.Handle(rest.OpenAPIPath, frame.Description("1.2.3", fleet.Describe))
	srv := httptest.NewServer(mux)
	g.url = srv.URL
	stopGRPC := g.serveGRPC(deps, gate)
	stopProber := func() {}
	if running {
		run, cancel := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan struct{})
		go func() { defer close(done); prober.Run(run) }()
		stopProber = func() { cancel(); <-done }
	}
	t.Cleanup(func() {
		stopProber()
		stopGRPC()
		srv.Close()
		if err := svc.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return g
}

func (g *gateway) serveGRPC(deps fleet.Deps, gate *resttest.Gate) (stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	s := grpc.NewServer(grpc.UnaryInterceptor(gate.Unary(metadataToken, uuidOf)), grpc.StreamInterceptor(gate.Stream(metadataToken)))
	registryv1.RegisterRegistryServer(s, fleet.NewGRPC(deps))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // ends with Stop
	}()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		g.t.Fatal(err)
	}
	g.grpc = registryv1.NewRegistryClient(conn)
	return func() {
		_ = conn.Close()
		s.Stop()
		<-done
	}
}

func metadataToken(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	return strings.Join(md.Get("authorization"), "")
}

// uuidOf is the one field that requests name a worker by.
func uuidOf(req any, _ string) string {
	if named, ok := req.(interface{ GetUuid() string }); ok {
		return named.GetUuid()
	}
	return ""
}

var people = resttest.People{
	"admin": {Issuer: "i", Subject: "1", Username: "admin", RealmRoles: []string{"muster-admin"}},
	"alice": {Issuer: "i", Subject: "2", Username: "alice"},
	"bob":   {Issuer: "i", Subject: "3", Username: "bob", Groups: []string{"/watchers"}},
}

// reply is an answer of the API.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// do calls the API as admin; headers come in pairs.
func (g *gateway) do(method, path, body string, headers ...string) reply {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer admin")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "-" {
			req.Header.Del(headers[i])
		} else {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, answer}
}

func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	out := map[string]any{}
	if err := json.Unmarshal(r.body, &out); err != nil {
		t.Fatalf("%d is not JSON: %q", r.status, r.body)
	}
	return out
}

// must checks the status and decodes the record.
func (r reply) must(t *testing.T, status int) fleet.Changed {
	t.Helper()
	if r.status != status {
		t.Fatalf("got %d %s, want %d", r.status, r.body, status)
	}
	var c fleet.Changed
	if err := json.Unmarshal(r.body, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// problem checks that the answer is a problem with this status and code, whose
// errors are these codes and pointers, written "code /pointer".
func (r reply) problem(t *testing.T, status int, code string, errs ...string) fault.Problem {
	t.Helper()
	var p fault.Problem
	if err := json.Unmarshal(r.body, &p); err != nil {
		t.Fatalf("%d is no problem: %q", r.status, r.body)
	}
	if r.status != status || p.Status != status || p.Code != code || p.Title == "" || p.Detail == "" ||
		r.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("got %d %s, want %d %s", r.status, r.body, status, code)
	}
	var got []string
	for _, v := range p.Errors {
		got = append(got, strings.TrimSpace(v.Code+" "+v.Pointer))
		if v.Detail == "" {
			t.Errorf("no detail with %s %s", v.Code, v.Pointer)
		}
	}
	if len(errs) > 0 && !slices.Equal(got, errs) {
		t.Errorf("errors are %q, want %q\n%s", got, errs, r.body)
	}
	return p
}

// restWorker answers GET / with what the test sets.
type restWorker struct {
	uuid, url string
	asked     atomic.Int64

	mu   sync.Mutex
	info map[string]any
}

var workersMade atomic.Int64

func newWorker(t *testing.T) *restWorker {
	t.Helper()
	w := &restWorker{uuid: fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012d", workersMade.Add(1))}
	w.info = map[string]any{"class": "result", "type": "ExternalGraphSecurity", "uuid": w.uuid, "version": "1.0.0"}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		w.mu.Lock()
		defer w.mu.Unlock()
		if r.URL.Path != "/" || w.info == nil {
			http.Error(rw, "no", http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(rw).Encode(w.info)
	}))
	t.Cleanup(srv.Close)
	w.url = srv.URL + "/filter"
	return w
}

func (w *restWorker) set(member string, value any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.info[member] = value
}

func (w *restWorker) body(extra ...string) string {
	return fmt.Sprintf(`{"url":%q,"uuid":%q%s}`, w.url, w.uuid, strings.Join(append([]string{""}, extra...), ","))
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

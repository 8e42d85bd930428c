package edge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge"
	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/gateway/pipeline"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// people are the tokens that the tests' verifier takes.
type people map[string]*token.Principal

// everybody is alice, who may filter, and admin, who may everything.
var everybody = people{
	"alice": {Issuer: "https://issuer.test", Subject: "id-of-alice", Username: "alice", Audience: []string{"muster"}},
	"admin": {
		Issuer: "https://issuer.test", Subject: "id-of-admin", Username: "admin",
		RealmRoles: []string{"muster-admin"}, Audience: []string{"muster", "muster-admin"},
	},
}

// Verify takes a name for a token.
func (p people) Verify(_ context.Context, raw string) (*token.Principal, error) {
	if who := p[raw]; who != nil {
		return who, nil
	}
	return nil, fault.New(fault.Unauthenticated, token.CodeInvalid, "the token is bad")
}

// journal is a log that may be read while it is written.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// asker stands before a fleet and may do something else than to ask it.
type asker struct {
	*fanout.Fleet
	mu   sync.Mutex
	with func(ctx context.Context, call *fanout.Call) error
}

// Ask does what it was told before it asks.
func (a *asker) Ask(ctx context.Context, call *fanout.Call) ([]fanout.Outcome, error) {
	a.mu.Lock()
	with := a.with
	a.mu.Unlock()
	if with != nil {
		if err := with(ctx, call); err != nil {
			return nil, err
		}
	}
	return a.Fleet.Ask(ctx, call)
}

func (a *asker) do(with func(ctx context.Context, call *fanout.Call) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.with = with
}

// rig is what stands behind both listeners.
type rig struct {
	cfg  edge.FilterConfig
	d    edge.FilterDeps
	reg  *prometheus.Registry
	fake *asker
	log  *journal
}

// setUp makes the parts over a real fleet with these workers.
func setUp(t *testing.T, bytes int64, workers ...*registry.Worker) *rig {
	t.Helper()
	fleet, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	r := &rig{
		cfg:  edge.FilterConfig{MaxBody: 1 << 20, DefaultTimeout: 20 * time.Second, MaxTimeout: 30 * time.Second},
		reg:  prometheus.NewRegistry(),
		fake: &asker{Fleet: fleet}, log: &journal{},
	}
	snapshot := withAdmin(faulttest.Snapshot(workers...))
	now := func() *registry.Snapshot { return snapshot }
	p, err := pipeline.New(pipeline.Config{}, pipeline.Deps{Snapshots: now, Fleet: r.fake})
	if err != nil {
		t.Fatal(err)
	}
	admission := edge.NewAdmission(edge.AdmissionConfig{Requests: 64, Bytes: bytes, PrincipalShare: 1})
	r.d = edge.FilterDeps{
		Gate: gateOf(t, everybody, "muster-admin", now), Pipeline: p, Snapshot: now,
		Admission: admission, Drain: edge.NewDrain(), Metrics: edge.NewMetrics(r.reg, admission),
		Tracer: noop.NewTracerProvider().Tracer("test"),
		Logger: slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return r
}

// withAdmin is a snapshot with the system groups.
func withAdmin(s *registry.Snapshot) *registry.Snapshot {
	return s.WithAccess(s.Access.With(&access.Delta{Groups: []access.Group{
		{ID: access.ID{1}, Name: access.Admin, System: true}, {ID: access.ID{2}, Name: access.Everyone, System: true},
	}}))
}

// gateOf is a gate over the standard tables, at which the tokens are names.
func gateOf(t *testing.T, of people, managementAudience string, snapshots func() *registry.Snapshot, more ...authz.Endpoint) *edge.Gate {
	t.Helper()
	types, err := authz.NewTypes(authz.Standard()...)
	if err != nil {
		t.Fatal(err)
	}
	table, err := authz.NewTable(types, append(authz.Endpoints(), more...)...)
	if err != nil {
		t.Fatal(err)
	}
	access, err := authz.NewAccess(authz.Config{}, types, snapshots)
	if err != nil {
		t.Fatal(err)
	}
	return edge.NewGate(authn.New(of, authn.Options{ManagementAudience: managementAudience}), access, table)
}

// http serves the API listener and returns its address.
func (r *rig) http(t *testing.T, routes ...edge.Route) string {
	t.Helper()
	s, err := edge.ListenHTTP(t.Context(), "127.0.0.1:0", nil, edge.API("1.2.3", r.cfg, r.d, routes...), r.d.Logger)
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-s.Failed(); err != nil {
			t.Error(err)
		}
		r.settled(t)
	})
	return s.Addr().String()
}

// settled fails when something of a request is still counted after all are over.
func (r *rig) settled(t *testing.T) {
	t.Helper()
	if n, b := r.d.Admission.InFlight(); n != 0 || b != 0 {
		t.Errorf("%d requests and %d bytes are still counted as in flight", n, b)
	}
	ended, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cancel()
	if n := r.d.Drain.Shut(ended, 0, 0); n != 0 {
		t.Errorf("%d requests never ended", n)
	}
}

// count returns a counter's value, by its labels in order of their names.
func (r *rig) count(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if slices.Equal(values, labels) {
				return m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}

// answered is an answer that was read whole.
type answered struct {
	status int
	header http.Header
	body   string
}

// send makes a request and reads its answer.
func send(t *testing.T, req *http.Request) answered {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{resp.StatusCode, resp.Header, string(body)}
}

// post makes a filter request of alice's, changed as the pairs of header fields
// say; a field without a value is left out.
func post(t *testing.T, addr, query, body string, fields ...string) answered {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/api/graph-security/filter"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer alice")
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(fields); i += 2 {
		req.Header.Del(fields[i])
		if fields[i+1] != "" {
			req.Header.Add(fields[i], fields[i+1])
		}
	}
	return send(t, req)
}

// contract reads an error body of the worker contract.
func (a answered) contract(t *testing.T) (code, description string, worker map[string]string) {
	t.Helper()
	var out struct {
		Error, Description string
		Worker             map[string]string
	}
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil || out.Error == "" || out.Description == "" {
		t.Fatalf("%d %q is no error body of the contract: %v", a.status, a.body, err)
	}
	return out.Error, out.Description, out.Worker
}

// twoNodes is a request's body, of n0 and n1.
func twoNodes() string {
	return `{"parameters":{"type":"nodes"},"data":[` + faulttest.Node("n0") + `,` + faulttest.Node("n1") + `]}`
}

var errSecret = errors.New("s3cr3t of the inside")

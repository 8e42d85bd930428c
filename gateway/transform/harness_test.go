package transform_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/address"
	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/authn/keycloak"
	"github.com/muster-fleet/muster/gateway/probe"
	"github.com/muster-fleet/muster/gateway/transform"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/registry/run"
	"github.com/muster-fleet/muster/registry/store/duckdb"
	"github.com/muster-fleet/muster/registry/store/postgres"
	"github.com/muster-fleet/muster/registry/store/postgres/pgtest"
	"github.com/muster-fleet/muster/workers/token"
)

func TestMain(m *testing.M) {
	code := pgtest.Main(m)
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

const loaderUUID = "0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c77"

var admin = registry.Actor{Subject: "sub-1", Issuer: "https://issuer", Username: "admin"}

// house is an issuer, a store and what engines over it need.
type house struct {
	t        *testing.T
	issuer   *devissuer.Issuer
	realm    *keycloak.Directory
	verifier *token.Verifier
	dialer   *address.Dialer
	open     func(ctx context.Context) (registry.Store, error)
	secrets  string
	log      *slog.Logger
	tls      func() *tls.Config // nil: the system's authorities
}

// newHouse makes a house over DuckDB, or over PostgreSQL when it is shared.
func newHouse(t *testing.T, shared bool) *house {
	t.Helper()
	h := &house{t: t, secrets: t.TempDir(), log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))}
	var err error
	if h.issuer, err = devissuer.New(t.Context(), devissuer.Config{Addr: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.issuer.Close() })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	h.realm, err = keycloak.NewDirectory(keycloak.DirectoryConfig{
		Issuer: h.issuer.URL(), ClientID: devissuer.ClientGateway, ClientSecret: devissuer.ClientGateway, HTTPClient: client, PageSize: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.verifier, err = token.NewVerifier(context.WithoutCancel(t.Context()), token.Config{
		Issuers: []token.Issuer{{Issuer: h.issuer.URL(), Audience: "muster", MapRoles: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.verifier.Close)
	h.dialer = &address.Dialer{Policy: &address.Policy{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}
	if err := os.WriteFile(filepath.Join(h.secrets, "loader"), []byte(devissuer.ClientLoader+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "muster.db")
	dsn := ""
	if shared {
		dsn = pgtest.Database(t)
	}
	h.open = func(ctx context.Context) (registry.Store, error) {
		if shared {
			return postgres.Open(ctx, dsn, postgres.Options{Logger: h.log})
		}
		return duckdb.Open(ctx, path, duckdb.Options{Logger: h.log})
	}
	return h
}

// secret writes a client's secret below the directory.
func (h *house) secret(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.secrets, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replica is one gateway's registry and engine.
type replica struct {
	*registry.Service
	stop func() // stops the engine and waits for it, then closes the store
	// lose closes the store under the engine, which goes on: a network that is cut.
	lose func()
}

// start runs an engine over the house's store until the test ends or stop.
func (h *house) start(c transform.Config) *replica {
	h.t.Helper()
	store, err := h.open(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	s, err := registry.Open(h.t.Context(), store, registry.Options{
		Logger: h.log, Inspector: probe.NewInspector(probe.InspectorConfig{Dialer: h.dialer, TLS: h.tls}), PollInterval: 200 * time.Millisecond,
	})
	if err != nil {
		h.t.Fatal(errors.Join(err, store.Close(h.t.Context())))
	}
	if c.SecretsDir == "" {
		c.SecretsDir = h.secrets
	}
	if c.Poll == 0 {
		c.Poll = 50 * time.Millisecond
	}
	e, err := transform.New(c, transform.Deps{
		Registry: s, Realm: h.realm, Verifier: h.verifier, Dialer: h.dialer, TLS: h.tls, Logger: h.log,
		MayWrite: func(p *token.Principal) error {
			if p.HasRealmRole(devissuer.RoleRules) {
				return nil
			}
			return fault.New(fault.Denied, "denied", "no grant")
		},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(h.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Run(ctx)
	}()
	var stopped, lost sync.Once
	lose := func() {
		lost.Do(func() {
			if err := s.Close(context.WithoutCancel(h.t.Context())); err != nil {
				h.t.Error(err)
			}
		})
	}
	r := &replica{Service: s, lose: lose, stop: func() {
		stopped.Do(func() {
			cancel()
			<-done
			lose()
		})
	}}
	h.t.Cleanup(r.stop)
	return r
}

// worker is a rule transformation's worker over HTTP.
type worker struct {
	*httptest.Server
	mu     sync.Mutex
	do     http.HandlerFunc
	bodies []string
	calls  []*http.Request
	under  int // calls under way
	most   int
}

func newWorker(t *testing.T, do http.HandlerFunc) *worker {
	t.Helper()
	w := &worker{do: do}
	w.Server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.Close)
	return w
}

func (w *worker) serve(rw http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		fmt.Fprintf(rw, `{"class":"result","type":"RuleTransformation","uuid":%q,"version":"1"}`, loaderUUID)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.mu.Lock()
	w.bodies, w.calls = append(w.bodies, string(body)), append(w.calls, r)
	w.under++
	w.most = max(w.most, w.under)
	do := w.do
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.under--
		w.mu.Unlock()
	}()
	do(rw, r)
}

func (w *worker) count() (calls, under, most int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.calls), w.under, w.most
}

// hang answers nothing until its caller goes away.
func hang(gone chan<- struct{}) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		if gone != nil {
			gone <- struct{}{}
		}
	}
}

func answer(status int, body string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, body)
	}
}

// setUp registers the worker and stores a step.
func (r *replica) setUp(t *testing.T, url string, change func(*registry.StepInput)) {
	t.Helper()
	if _, err := r.Register(t.Context(), admin, registry.RegisterInput{URL: url, UUID: loaderUUID, Name: "loader"}, false); err != nil {
		t.Fatal(err)
	}
	r.put(t, "nightly", change)
}

func (r *replica) put(t *testing.T, name string, change func(*registry.StepInput)) {
	t.Helper()
	in := registry.StepInput{Name: name, Worker: loaderUUID, Client: run.Client{ID: devissuer.ClientLoader, SecretFile: "loader"}}
	if change != nil {
		change(&in)
	}
	if _, _, err := r.PutStep(t.Context(), admin, in, ""); err != nil {
		t.Fatal(err)
	}
}

func (r *replica) begin(t *testing.T, step string) run.Run {
	t.Helper()
	got, err := r.StartRun(t.Context(), admin, registry.StartInput{Step: step})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// until waits until a run is as ok wants it.
func (r *replica) until(t *testing.T, of run.Run, what string, ok func(run.Run) bool) run.Run {
	t.Helper()
	late := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := r.Run(t.Context(), of.Step, of.ID)
		if err != nil {
			t.Fatal(err)
		}
		if ok(got) {
			return got
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within 30 s: %s; %+v\n%s", what, got, r.text(t, of))
		}
	}
}

func (r *replica) ended(t *testing.T, of run.Run) run.Run {
	t.Helper()
	return r.until(t, of, "the run has ended", func(r run.Run) bool { return r.State.Ended() })
}

func (r *replica) text(t *testing.T, of run.Run) string {
	t.Helper()
	lines, err := r.RunLog(t.Context(), of.ID, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Text + "\n")
	}
	return b.String()
}

var model = &rule.Model{
	Entities: []rule.Entity{
		{ID: 414, Title: "Benchmark", Properties: []rule.Property{{ID: 5303, Title: "Benchmark_ID"}, {ID: 5301, Title: "Description <&>"}}},
		{ID: 500, Title: "Empty"},
	},
	Relationships: []rule.Relationship{
		{ID: 415, From: "Benchmark", To: "Benchmark", Name: "PARENTS", Alias: "PARENTS"},
		{ID: 416, From: "Benchmark", To: "Empty", Name: "x", Alias: "X"},
	},
}

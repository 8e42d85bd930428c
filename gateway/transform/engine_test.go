package transform_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/transform"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
	"github.com/muster-fleet/muster/registry/store/postgres"
	"github.com/muster-fleet/muster/registry/store/postgres/pgtest"
)

func TestTheBodyIsTheContractsWithWhatTheStepAsksFor(t *testing.T) {
	h := newHouse(t, false)
	r := h.start(transform.Config{})
	w := newWorker(t, answer(http.StatusOK, ""))
	r.setUp(t, w.URL+"/transform?x=1", nil)
	if _, err := r.ReplaceModel(t.Context(), admin, model, false); err != nil {
		t.Fatal(err)
	}
	everything := run.Choice[string]{All: true}
	// Which clients the development issuer has is tested beside it.
	all, err := h.realm.ServiceAccounts(t.Context())
	if err != nil || !slices.Contains(all, "service-account-rule-loader") {
		t.Fatal(all, err)
	}
	accounts, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*registry.StepInput)
		want   string
	}{
		"nothing": {nil, `{}`},
		"everything": {func(in *registry.StepInput) {
			in.Users, in.Groups, in.Clients = everything, everything, everything
			in.Entities, in.Relationships = run.Choice[int64]{All: true}, run.Choice[int64]{All: true}
		}, `{"users":["admin","alice","bob"],"clients":` + string(accounts) + `,` +
			`"groups":["/engineering","/platform","/support"],"entities":[{"id":414,"title":"Benchmark","properties":[{"id":5303,"title":"Benchmark_ID"},` +
			`{"id":5301,"title":"Description <&>"}]},{"id":500,"title":"Empty","properties":[]}],"relationships":[{"id":415,"entityNameFrom":"Benchmark",` +
			`"entityNameTo":"Benchmark","name":"PARENTS","alias":"PARENTS"},{"id":416,"entityNameFrom":"Benchmark","entityNameTo":"Empty","name":"x","alias":"X"}]}`},
		"lists": {func(in *registry.StepInput) {
			in.Users, in.Groups = run.Choice[string]{List: []string{"Bob", "nobody"}}, run.Choice[string]{List: []string{"support", "/none"}}
			in.Clients, in.Entities = run.Choice[string]{List: []string{"graph-service"}}, run.Choice[int64]{List: []int64{500, 7}}
			in.Relationships = run.Choice[int64]{List: []int64{}}
		}, `{"users":["bob"],"clients":["service-account-graph-service"],"groups":["/support"],"entities":[{"id":500,"title":"Empty","properties":[]}],"relationships":[]}`},
	} {
		r.put(t, "nightly", c.change)
		of := r.begin(t, "nightly")
		if got := r.ended(t, of); got.State != run.Succeeded {
			t.Fatalf("%s: %+v", name, got)
		}
		if got := w.bodies[len(w.bodies)-1]; got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
		if name == "lists" && (!strings.Contains(r.text(t, of), "nobody") || !strings.Contains(r.text(t, of), "left out: 7")) {
			t.Errorf("the log does not tell what was left out:\n%s", r.text(t, of))
		}
	}
	call := w.calls[len(w.calls)-1]
	if call.URL.RequestURI() != "/transform?x=1" || call.Header.Get("Content-Type") != "application/json" || call.Method != http.MethodPost {
		t.Errorf("%s %s %v", call.Method, call.URL, call.Header)
	}
	p, err := h.verifier.Verify(t.Context(), strings.TrimPrefix(call.Header.Get("Authorization"), "Bearer "))
	if err != nil || p.Username != "service-account-rule-loader" {
		t.Errorf("the worker's token speaks for %+v, %v", p, err)
	}
	if a, b := w.calls[0].Header.Get("Authorization"), call.Header.Get("Authorization"); a == b {
		t.Error("two runs have the same token")
	}
}

// TestWhatWorkersAnswer: 200 and nothing else is success; what the worker says is
// kept.
func TestWhatWorkersAnswer(t *testing.T) {
	h := newHouse(t, false)
	r := h.start(transform.Config{})
	w := newWorker(t, nil)
	elsewhere := newWorker(t, answer(http.StatusOK, "stolen"))
	r.setUp(t, w.URL, nil)
	for name, c := range map[string]struct {
		do      http.HandlerFunc
		state   run.State
		status  int
		code    string
		message string
	}{
		"200 empty":       {answer(200, ""), run.Succeeded, 200, "", ""},
		"200 message":     {answer(200, `{"message":"42 rows\u001b[31m"}`), run.Succeeded, 200, "", `42 rows\x1b[31m`},
		"200 text":        {answer(200, "fine\n"), run.Succeeded, 200, "", "fine"},
		"201":             {answer(201, `{"description":"made","error":"e"}`), run.Failed, 201, "worker_status", "e: made"},
		"204":             {answer(204, ""), run.Failed, 204, "worker_status", "the worker answered 204 without the contract's error body"},
		"401":             {answer(401, `{"description":"Signature has expired","error":"invalid_token"}`), run.Failed, 401, "worker_status", "invalid_token: Signature has expired"},
		"500 html":        {answer(500, "<h1>oops</h1>"), run.Failed, 500, "worker_status", `the worker answered 500 without the contract's error body; it begins "<h1>oops</h1>"`},
		"long":            {answer(500, `{"description":"`+strings.Repeat("x", 5000)+`","error":"e"}`), run.Failed, 500, "worker_status", "e: " + strings.Repeat("x", 1997) + "…"},
		"duplicate names": {answer(500, `{"error":"a","error":"b","description":"d"}`), run.Failed, 500, "worker_status", `the worker answered 500 without the contract's error body; it begins "{\"error\":\"a\",\"error\":\"b\",\"description\":\"d\"}"`},
		"redirect": {func(rw http.ResponseWriter, req *http.Request) {
			http.Redirect(rw, req, elsewhere.URL, http.StatusTemporaryRedirect)
		}, run.Failed, 307, "worker_status", "redirects are not followed"},
		"cut off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, run.Failed, 0, "worker_unreachable", "did not answer"},
		"half an answer": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(rw, "half")
			_ = http.NewResponseController(rw).Flush()
			panic(http.ErrAbortHandler)
		}, run.Failed, 0, "worker_broke", "broke off"},
	} {
		w.mu.Lock()
		w.do = c.do
		w.mu.Unlock()
		got := r.ended(t, r.begin(t, "nightly"))
		a := got.Last()
		if got.State != c.state || a.Status != c.status || a.Code != c.code || !strings.Contains(a.Message, c.message) || c.message == "" && a.Message != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if n, _, _ := elsewhere.count(); n != 0 {
		t.Error("a redirect was followed, with the token")
	}
}

func TestWorkersThatMustNotBeCalled(t *testing.T) {
	h := newHouse(t, false)
	r := h.start(transform.Config{})
	w := newWorker(t, answer(http.StatusOK, ""))
	r.setUp(t, w.URL, nil)
	fails := func(code string) {
		t.Helper()
		if got := r.ended(t, r.begin(t, "nightly")); got.State != run.Failed || got.Last().Code != code {
			t.Errorf("%+v, want %s", got, code)
		}
	}
	off, on := false, true
	patch := func(p registry.Patch) {
		t.Helper()
		if _, err := r.Update(t.Context(), admin, loaderUUID, p, ""); err != nil {
			t.Fatal(err)
		}
	}
	patch(registry.Patch{Active: &off})
	fails("worker_paused")
	patch(registry.Patch{Active: &on})
	if err := r.Quarantine(t.Context(), loaderUUID, "it lied"); err != nil {
		t.Fatal(err)
	}
	fails("worker_quarantined")
	if err := r.Pardon(t.Context(), admin, loaderUUID); err != nil {
		t.Fatal(err)
	}
	h.dialer.Policy.Allowed = nil // what was allowed at registration is judged at every dial
	fails("address_refused")
	if n, _, _ := w.count(); n != 0 {
		t.Errorf("%d calls", n)
	}
	if _, err := r.Deregister(t.Context(), admin, loaderUUID); err != nil {
		t.Fatal(err)
	}
	fails("worker_missing")
}

func TestSecretsStayBelowTheirDirectory(t *testing.T) {
	h := newHouse(t, false)
	outside := filepath.Join(t.TempDir(), "outside")
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(h.secrets, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{outside: devissuer.ClientLoader, filepath.Join(h.secrets, "empty"): "\n", filepath.Join(h.secrets, "wrong"): "hunter2"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link(outside, "leads-out")
	link("loader", "stays-in") // as Kubernetes mounts secrets
	r := h.start(transform.Config{})
	w := newWorker(t, answer(http.StatusOK, ""))
	r.setUp(t, w.URL, nil)
	for file, code := range map[string]string{
		"loader": "", "stays-in": "", "leads-out": "secret_unreadable", "empty": "secret_unreadable", "missing": "secret_unreadable", "wrong": "identity_unavailable",
	} {
		r.put(t, "nightly", func(in *registry.StepInput) { in.Client.SecretFile = file })
		of := r.begin(t, "nightly")
		got := r.ended(t, of)
		if got.Last().Code != code || strings.Contains(fmt.Sprintf("%+v%s", got, r.text(t, of)), "hunter2") {
			t.Errorf("%s: %+v, want %q", file, got, code)
		}
	}
}

func TestAClientWhoseTokensTheGatewayWouldNotTake(t *testing.T) {
	h := newHouse(t, false)
	if err := os.WriteFile(filepath.Join(h.secrets, "graph"), []byte(devissuer.ClientGraph), 0o600); err != nil {
		t.Fatal(err)
	}
	r := h.start(transform.Config{})
	w := newWorker(t, answer(http.StatusOK, ""))
	r.setUp(t, w.URL, func(in *registry.StepInput) { in.Users.All = true })
	if err := h.issuer.GoDown(); err != nil {
		t.Fatal(err)
	}
	if got := r.ended(t, r.begin(t, "nightly")); got.State != run.Failed || got.Last().Code != "identity_unavailable" {
		t.Errorf("without Keycloak: %+v", got)
	}
	if err := h.issuer.ComeBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.ended(t, r.begin(t, "nightly")); got.State != run.Succeeded {
		t.Errorf("after Keycloak came back: %+v", got)
	}
}

func TestTimeoutAndCancelCloseTheConnection(t *testing.T) {
	h := newHouse(t, false)
	r := h.start(transform.Config{})
	gone := make(chan struct{}, 4)
	w := newWorker(t, hang(gone))
	short := "1s"
	r.setUp(t, w.URL, func(in *registry.StepInput) { in.Timeout = &short })
	got := r.ended(t, r.begin(t, "nightly"))
	if got.State != run.Failed || got.Last().Code != "timeout" || !strings.Contains(got.Message(), "1s") {
		t.Errorf("%+v", got)
	}
	<-gone
	r.put(t, "nightly", nil)
	of := r.begin(t, "nightly")
	r.until(t, of, "the worker is called", func(run.Run) bool { _, under, _ := w.count(); return under == 1 })
	if _, err := r.CancelRun(t.Context(), admin, "nightly", of.ID); err != nil {
		t.Fatal(err)
	}
	<-gone
	if got := r.ended(t, of); got.State != run.Cancelled || got.Last().Code != "cancelled" {
		t.Errorf("%+v", got)
	}
}

func TestFailedAttemptsAreRetried(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the first retry")
	}
	h := newHouse(t, false)
	r := h.start(transform.Config{})
	w := newWorker(t, answer(http.StatusServiceUnavailable, `{"description":"later","error":"busy"}`))
	once := 1
	r.setUp(t, w.URL, func(in *registry.StepInput) { in.Retries = &once })
	of := r.begin(t, "nightly")
	waiting := r.until(t, of, "it waits for its retry", func(r run.Run) bool { return r.State == run.Queued && len(r.Attempts) == 1 })
	if waiting.NotBefore.Sub(waiting.Attempts[0].EndedAt) != run.Backoff(1) {
		t.Errorf("%+v", waiting)
	}
	w.mu.Lock()
	w.do = answer(http.StatusOK, "now")
	w.mu.Unlock()
	got := r.ended(t, of)
	if got.State != run.Succeeded || len(got.Attempts) != 2 || got.Attempts[1].StartedAt.Before(waiting.NotBefore) {
		t.Errorf("%+v", got)
	}
}

func TestTheGatewayEndsInOrder(t *testing.T) {
	for _, shared := range []bool{false, true} {
		h := newHouse(t, shared)
		r := h.start(transform.Config{Concurrent: 2})
		gone := make(chan struct{}, 4)
		w := newWorker(t, hang(gone))
		once := 1
		r.setUp(t, w.URL, func(in *registry.StepInput) { in.Retries = &once })
		for _, name := range []string{"b", "c"} {
			r.put(t, name, nil)
		}
		runs := []run.Run{r.begin(t, "nightly"), r.begin(t, "b"), r.begin(t, "c")}
		r.until(t, runs[0], "two are under way", func(run.Run) bool { _, under, _ := w.count(); return under == 2 })
		r.stop()
		<-gone
		<-gone
		if _, _, most := w.count(); most != 2 {
			t.Errorf("%d at once, want 2", most)
		}
		w.mu.Lock()
		w.do = answer(http.StatusOK, "")
		w.mu.Unlock()
		began := time.Now()
		next := h.start(transform.Config{Lease: time.Hour})
		if got := next.ended(t, runs[0]); got.State != run.Succeeded || got.Attempts[0].State != run.Interrupted {
			t.Errorf("one with a retry left: %+v", got)
		}
		if got := next.ended(t, runs[1]); got.State != run.Interrupted {
			t.Errorf("one without: %+v", got)
		}
		if got := next.ended(t, runs[2]); got.State != run.Succeeded || len(got.Attempts) != 1 {
			t.Errorf("one that had not begun: %+v", got)
		}
		t.Logf("shared %v: taken up after %s", shared, time.Since(began))
	}
}

// TestAnEndIsStoredWhenTheStoreIsBack: an attempt that ends while the store takes
// no writes is not forgotten, whatever ended it.
func TestAnEndIsStoredWhenTheStoreIsBack(t *testing.T) {
	server := pgtest.Start(t)
	h := newHouse(t, false)
	dsn := server.Database(t)
	h.open = func(ctx context.Context) (registry.Store, error) {
		return postgres.Open(ctx, dsn, postgres.Options{Logger: h.log})
	}
	r := h.start(transform.Config{Lease: time.Hour})
	release := make(chan struct{})
	w := newWorker(t, func(http.ResponseWriter, *http.Request) { <-release })
	r.setUp(t, w.URL, nil)
	of := r.begin(t, "nightly")
	r.until(t, of, "the worker is called", func(run.Run) bool { _, under, _ := w.count(); return under == 1 })
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	close(release)
	<-time.After(500 * time.Millisecond) // the end is tried, and fails
	if err := server.Up(); err != nil {
		t.Fatal(err)
	}
	if got := r.ended(t, of); got.State != run.Succeeded {
		t.Errorf("%+v", got)
	}
}

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/workers/worker"
)

const (
	transformerUUID = "0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c77"
	transformations = "/api/rule-transformations"
	// tokenLife is that of the tokens of this test's realm: long enough for a slow
	// machine to use one, short enough to see it end.
	tokenLife = 20 * time.Second
	// airflowPatience bounds every wait: Airflow takes its time, on a busy machine
	// the more so.
	airflowPatience = 2 * time.Minute
)

// fleet is a realm, a gateway, a worker, and what stands between them and Airflow.
type fleet struct {
	issuer    *devissuer.Issuer
	addr, dir string
	gateway   *exec.Cmd
	log       *syncBuffer
	worker    *transformer
	admin     string
	// front and realm are what Airflow calls: the gateway and the token endpoint,
	// with somebody between who counts, and loses an answer when told to.
	front, realm *httptest.Server

	starts, polls, refused, unauthorized atomic.Int64
	lose                                 atomic.Bool

	mu     sync.Mutex
	tokens []string
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	issuer, err := devissuer.New(t.Context(), devissuer.Config{
		Addr: "127.0.0.1:0", Lifetime: tokenLife, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	f := &fleet{issuer: issuer, addr: freeAddr(t), dir: t.TempDir(), log: &syncBuffer{}}
	if err := os.WriteFile(filepath.Join(f.dir, "secret"), []byte(devissuer.ClientLoader), 0o600); err != nil {
		t.Fatal(err)
	}
	// The test's own calls are made long after the start.
	f.admin, err = issuer.Issue("admin", map[string]any{"exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	f.serve(t)
	t.Cleanup(func() { f.kill(t) })
	f.group(t, "rule-writers", "graph_rules", "write")
	f.group(t, "schedulers", "rule_step", "*")
	f.worker = startTransformer(t, f)
	f.front = f.between(t, "http://"+f.addr, f.seen)
	f.realm = f.between(t, "http://"+issuer.Addr(), f.granted)
	f.call(t, http.MethodPost, "/api/workers", fmt.Sprintf(`{"url":"%s/api/transform","uuid":%q,"name":"loader"}`, f.worker.url, transformerUUID), nil)
	return f
}

// serve starts the gateway, at the same address and over the same store each time.
func (f *fleet) serve(t *testing.T) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "muster"), "serve")
	cmd.Dir = f.dir
	cmd.Env = []string{
		"HOME=" + f.dir, "PATH=" + os.Getenv("PATH"), "MUSTER_STORE=duckdb:" + filepath.Join(f.dir, "muster.db"),
		"MUSTER_HTTP_ADDR=" + f.addr, "MUSTER_GRPC_ADDR=127.0.0.1:0", "MUSTER_OPS_ADDR=127.0.0.1:0",
		"MUSTER_AUTH_ISSUER=" + f.issuer.URL(), "MUSTER_AUTH_AUDIENCE=" + devissuer.Audience,
		"MUSTER_AUTH_MANAGEMENTAUDIENCE=" + devissuer.ManagementAudience,
		"MUSTER_AUTH_CLIENTID=" + devissuer.ClientGateway, "MUSTER_AUTH_CLIENTSECRET=" + devissuer.ClientGateway,
		"MUSTER_TRANSFORMATIONS_SECRETSDIR=" + f.dir, "MUSTER_WORKERS_ALLOWEDCIDRS=127.0.0.0/8",
		fmt.Sprintf(`MUSTER_ACCESS_ROLEMAPPING={"role:%s":"Admin","role:%s":"rule-writers","role:%s":"schedulers"}`,
			devissuer.RoleAdmin, devissuer.RoleRules, devissuer.RoleScheduler),
	}
	cmd.Stderr = f.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.gateway = cmd
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"listening"`) {
			return
		}
	}
	t.Fatalf("the gateway does not listen:\n%s", f.log)
}

// group makes a group with a grant.
func (f *fleet) group(t *testing.T, name, typ, resource string) {
	t.Helper()
	var made struct{ ID string }
	f.call(t, http.MethodPost, "/api/admin/groups", fmt.Sprintf(`{"name":%q}`, name), &made)
	f.call(t, http.MethodPost, "/api/admin/grants", fmt.Sprintf(`{"group_id":%q,"resource_type":%q,"resource_id":%q}`, made.ID, typ, resource), nil)
}

// kill ends the gateway without a word.
func (f *fleet) kill(t *testing.T) {
	t.Helper()
	if err := f.gateway.Process.Kill(); err != nil {
		t.Errorf("the gateway had ended by itself: %v\n%s", err, f.log)
	}
	_ = f.gateway.Wait() // it was killed
}

// between is a proxy that does not hide that what is behind it is not there.
func (f *fleet) between(t *testing.T, to string, look func(*http.Response) error) *httptest.Server {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: look,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			f.refused.Add(1)
			panic(http.ErrAbortHandler)
		},
	}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	return s
}

// seen looks at an answer of the gateway, and loses it when told to.
func (f *fleet) seen(r *http.Response) error {
	switch {
	case r.StatusCode == http.StatusUnauthorized:
		f.unauthorized.Add(1)
	case r.Request.Method == http.MethodPost && strings.HasSuffix(r.Request.URL.Path, "/runs"):
		f.starts.Add(1)
		if f.lose.CompareAndSwap(true, false) {
			return fmt.Errorf("lost on purpose")
		}
	case r.Request.Method == http.MethodGet && r.Request.URL.Query().Has("wait"):
		f.polls.Add(1)
	}
	return nil
}

// granted keeps the tokens that Airflow got.
func (f *fleet) granted(r *http.Response) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens = append(f.tokens, got.AccessToken)
	return nil
}

func (f *fleet) grants() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.tokens...)
}

// until waits for something that other processes do; nothing tells when.
func (f *fleet) until(ctx context.Context, is func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, airflowPatience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain: %w", ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

func (f *fleet) call(t *testing.T, method, path, body string, into any) {
	t.Helper()
	text := send(t, method, "http://"+f.addr+path, body, f.admin)
	if into == nil {
		return
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
}

// send makes one call, which has to be answered well.
func send(t *testing.T, method, url, body, bearer string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("%s %s: %d %s", method, url, resp.StatusCode, text)
	}
	return text
}

// step stores a rule transformation and returns its name.
func (f *fleet) step(t *testing.T, name string, retries int) string {
	t.Helper()
	f.call(t, http.MethodPut, transformations+"/"+name, fmt.Sprintf(
		`{"worker":%q,"client":{"id":%q,"secretFile":"secret"},"users":"all","timeout":"5m","retries":%d}`,
		transformerUUID, devissuer.ClientLoader, retries), nil)
	return name
}

type runRecord struct {
	ID, State, Message, StartedBy string
	Attempts                      []struct{ State, Code string }
}

// runs are a step's, the newest first.
func (f *fleet) runs(t *testing.T, step string) []runRecord {
	t.Helper()
	var page struct{ Items []runRecord }
	f.call(t, http.MethodGet, transformations+"/"+step+"/runs", "", &page)
	return page.Items
}

// cancelled waits until a step's only run is cancelled.
func (f *fleet) cancelled(t *testing.T, step string) {
	t.Helper()
	var runs []runRecord
	if err := f.until(t.Context(), func() bool {
		runs = f.runs(t, step)
		return len(runs) == 1 && runs[0].State == "cancelled"
	}); err != nil {
		t.Errorf("%s: %v: runs %+v", step, err, runs)
	}
}

// transformer is a worker of the SDK that does what it is told.
type transformer struct {
	url string
	mu  sync.Mutex
	do  worker.TransformFunc
}

func startTransformer(t *testing.T, f *fleet) *transformer {
	t.Helper()
	tr := &transformer{}
	w, err := worker.New(t.Context(), worker.Config{
		UUID: transformerUUID, Version: "1.0.0", Gateway: "http://" + f.addr, MaxConcurrent: 4,
		Auth:      worker.Auth{Issuer: f.issuer.URL(), Audience: devissuer.Audience},
		Logger:    slog.New(slog.DiscardHandler),
		Transform: func(ctx context.Context, r *worker.Transformation) error { return tr.what()(ctx, r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	s := httptest.NewServer(w.Handler())
	t.Cleanup(s.Close)
	tr.url = s.URL
	return tr
}

func (w *transformer) will(do worker.TransformFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.do = do
}

func (w *transformer) what() worker.TransformFunc {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.do
}

// syncBuffer is what processes write to while a test reads it.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

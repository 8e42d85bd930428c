package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/app"
	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/config"
	"github.com/muster-fleet/muster/registry/store/postgres/pgtest"
)

// envServe makes the test binary a gateway that serves until it is killed.
const envServe = "MUSTER_TEST_SERVE"

// serving is what such a gateway is told.
type serving struct{ Store, Issuer, Secrets string }

func TestServeChild(t *testing.T) {
	text := os.Getenv(envServe)
	if text == "" {
		return // it is only there for TestKilledInARun
	}
	var s serving
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.HTTP.Addr, cfg.GRPC.Addr, cfg.Ops.Addr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.Store = config.StoreURL(s.Store)
	cfg.Auth = config.Auth{
		Issuer: s.Issuer, Audience: devissuer.Audience, MaxKeyAge: time.Hour,
		ClientID: devissuer.ClientGateway, ClientSecret: devissuer.ClientGateway,
	}
	cfg.Access.RoleMapping = map[string]string{"role:" + devissuer.RoleAdmin: "Admin", "role:" + devissuer.RoleRules: "rule-writers"}
	cfg.Transformations.SecretsDir = s.Secrets
	cfg.Workers.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	if err := app.Serve(context.Background(), cfg, "test", app.Streams{Out: os.Stdout, Err: os.Stderr}); err != nil {
		t.Fatal(err)
	}
}

// spawn starts a gateway as a process of its own and returns how to call it.
func spawn(t *testing.T, s serving, issuer *devissuer.Issuer) (*dev, *exec.Cmd) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run", "^TestServeChild$")
	child.Env = append(os.Environ(), envServe+"="+string(text))
	d := &dev{log: &lockedBuffer{}, issuer: issuer.Addr()}
	child.Stderr = d.log
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
		if t.Failed() {
			t.Logf("the gateway said:\n%s", d.log)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var l struct {
			Listening struct{ HTTP, GRPC, Ops string }
		}
		if json.Unmarshal(lines.Bytes(), &l) == nil && l.Listening.HTTP != "" {
			d.http, d.grpc, d.ops = l.Listening.HTTP, l.Listening.GRPC, l.Listening.Ops
			return d, child
		}
	}
	t.Fatalf("no listening line\n%s", d.log)
	return nil, nil
}

// TestKilledInARun kills a gateway while a worker is at work, and starts it again:
// the run is taken up, at once where the store is the gateway's alone, after the
// lease where it is shared, and the token of the dead attempt stays dead.
func TestKilledInARun(t *testing.T) {
	issuer, err := devissuer.New(t.Context(), devissuer.Config{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	secrets := t.TempDir()
	if err := os.WriteFile(filepath.Join(secrets, "loader"), []byte(devissuer.ClientLoader), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, store := range map[string]func(t *testing.T) string{
		"duckdb":   func(t *testing.T) string { return "duckdb:" + filepath.Join(t.TempDir(), "muster.db") },
		"postgres": func(t *testing.T) string { return pgtest.Start(t).Database(t) },
	} {
		t.Run(name, func(t *testing.T) {
			killInARun(t, issuer, serving{Store: store(t), Issuer: issuer.URL(), Secrets: secrets})
		})
	}
}

func killInARun(t *testing.T, issuer *devissuer.Issuer, s serving) {
	d, child := spawn(t, s, issuer)
	admin := d.token(t, "admin")
	d.grant(t, "rule-writers", "graph_rules", "write")
	w := newTransformer(t)
	called, auths := make(chan struct{}, 4), make(chan string, 4)
	w.will(func(_ http.ResponseWriter, r *http.Request) {
		auths <- r.Header.Get("Authorization")
		called <- struct{}{}
		<-r.Context().Done()
	})
	d.mustCall(t, http.StatusCreated, http.MethodPost, "/api/workers", admin, fmt.Sprintf(`{"url":"%s/t","uuid":%q}`, w.URL, loaderUUID))
	for name, retries := range map[string]int{"again": 1, "once": 0} {
		d.mustCall(t, http.StatusCreated, http.MethodPut, stepsPath+"/"+name, admin, fmt.Sprintf(
			`{"worker":%q,"client":{"id":"rule-loader","secretFile":"loader"},"users":"all","retries":%d}`, loaderUUID, retries))
	}
	ids := map[string]string{}
	for _, name := range []string{"again", "once"} {
		_, body := d.mustCall(t, http.StatusAccepted, http.MethodPost, stepsPath+"/"+name+"/runs", admin, "", "Idempotency-Key", "key-"+name)
		var run struct{ ID string }
		if err := json.Unmarshal([]byte(body), &run); err != nil {
			t.Fatal(err)
		}
		ids[name] = run.ID
		<-called
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	w.will(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "taken up") })
	began := time.Now()
	d, _ = spawn(t, s, issuer)
	wait := func(name, state string) string {
		t.Helper()
		_, body := d.mustCall(t, http.StatusOK, http.MethodGet, stepsPath+"/"+name+"/runs/"+ids[name]+"?wait=2m", admin, "")
		if !strings.Contains(body, `"state":"`+state+`"`) || !strings.Contains(body, `"code":"interrupted"`) {
			t.Errorf("%s: %s", name, body)
		}
		return body
	}
	if body := wait("again", "succeeded"); !strings.Contains(body, `"number":2`) || !strings.Contains(body, "taken up") {
		t.Errorf("%s", body)
	}
	wait("once", "interrupted")
	t.Logf("taken up after %s", time.Since(began))
	// A double post of before the kill is still the same run.
	_, body := d.mustCall(t, http.StatusAccepted, http.MethodPost, stepsPath+"/again/runs", admin, "", "Idempotency-Key", "key-again")
	if !strings.Contains(body, ids["again"]) {
		t.Errorf("the key gives another run: %s", body)
	}
	resp, said := d.call(t, http.MethodPost, "/api/graph-access-rule/accessRules", strings.TrimPrefix(<-auths, "Bearer "),
		`{"rules":[{"name":"late","users":["alice"],"entities":[{"id":1,"properties":[]}]}]}`)
	if resp.StatusCode != http.StatusConflict || !strings.Contains(said, "run_ended") {
		t.Errorf("a post with the dead attempt's token: %d %s", resp.StatusCode, said)
	}
}

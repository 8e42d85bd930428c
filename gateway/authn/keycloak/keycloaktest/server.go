// Package keycloaktest starts a real Keycloak with the shipped realm for tests. Of
// the realm's clients that have a secret, and of its people alice, bob and admin,
// the secret and the password are the name; muster-cli takes the password grant.
// Tests that need it are skipped while MUSTER_TEST_KEYCLOAK_HOME is not set;
// tools/setup/keycloak.sh prints what it should be.
package keycloaktest

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	homeVariable = "MUSTER_TEST_KEYCLOAK_HOME"
	realmFile    = "deploy/keycloak/muster-realm.json"
	adminName    = "root"
	startLimit   = 4 * time.Minute
)

// buildOptions are fixed when Keycloak is augmented, which takes as long as all
// the rest, so that the result is kept.
var buildOptions = []string{"build", "--db=dev-mem", "--health-enabled=true"}

// overlay is what the realm of tests has beside what is shipped.
//
//go:embed overlay.json
var overlay []byte

// Server is a real Keycloak with the shipped realm and the test's people. It is
// for the goroutine of its test, but for Call.
type Server struct {
	// Base is http://127.0.0.1:port.
	Base   string
	client *http.Client
	pid    int
	exited chan struct{}
	output *tail
}

// Start starts Keycloak on a free loopback port, with its database in
// memory and a small heap. It ends with the test, however that ends.
func Start(t *testing.T) *Server {
	t.Helper()
	home := os.Getenv(homeVariable)
	if home == "" {
		t.Skipf("%s is not set; tools/setup/keycloak.sh prints what it should be", homeVariable)
	}
	built := augmented(t, home)
	own := t.TempDir()
	for _, part := range []string{"lib", "providers", "themes", "conf"} {
		if err := os.Symlink(filepath.Join(built, part), filepath.Join(own, part)); err != nil {
			t.Fatal(err)
		}
	}
	writeRealm(t, filepath.Join(own, "data", "import"))
	ports := freePorts(t)
	s := &Server{
		Base: "http://127.0.0.1:" + ports[0], client: &http.Client{Timeout: 30 * time.Second},
		exited: make(chan struct{}), output: &tail{},
	}
	s.run(t, own, ports)
	t.Cleanup(s.client.CloseIdleConnections)
	s.awaitReady(t)
	return s
}

func (s *Server) run(t *testing.T, home string, ports []string) {
	t.Helper()
	java := "java"
	if h := os.Getenv("JAVA_HOME"); h != "" {
		java = filepath.Join(h, "bin", "java")
	}
	// The shell ends Java when its own input ends, also when this process was killed.
	const script = `"$@" </dev/null & pid=$!; trap 'kill -KILL $pid 2>/dev/null' EXIT; echo pid $pid; cat >/dev/null`
	args := []string{
		"-c", script, "sh", java, "-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED",
		"-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
		"-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
		"-Dkc.home.dir=" + home, "-Djboss.server.config.dir=" + filepath.Join(home, "conf"),
		"-cp", filepath.Join(home, "lib", "quarkus-run.jar"), "io.quarkus.bootstrap.runner.QuarkusEntryPoint",
		"start", "--optimized", "--import-realm", "--cache=local", "--http-enabled=true", "--http-host=127.0.0.1",
		"--http-port=" + ports[0], "--http-management-port=" + ports[1], "--hostname=" + s.Base,
	}
	cmd := exec.Command("sh", args...)
	cmd.Env = append(os.Environ(), "KC_BOOTSTRAP_ADMIN_USERNAME="+adminName, "KC_BOOTSTRAP_ADMIN_PASSWORD="+adminName)
	cmd.Stdout, cmd.Stderr = s.output, s.output
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.exited)
		// How it ended is told by its output.
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		if err := stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
		<-s.exited
		if t.Failed() {
			t.Logf("Keycloak said:\n%s", s.output)
		}
	})
}

func (s *Server) awaitReady(t *testing.T) {
	t.Helper()
	deadline := time.After(startLimit)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if resp, err := s.client.Get(s.Issuer() + "/.well-known/openid-configuration"); err == nil {
			if err := resp.Body.Close(); err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		select {
		case <-tick.C:
		case <-s.exited:
			t.Fatalf("Keycloak ended while it started:\n%s", s.output)
		case <-deadline:
			t.Fatalf("Keycloak was not ready after %s:\n%s", startLimit, s.output)
		}
	}
	pid, _, _ := strings.Cut(strings.TrimPrefix(s.output.first(), "pid "), "\n")
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatalf("no process id in %q", s.output.first())
	}
	s.pid = n
}

// Signal sends Keycloak a signal, such as SIGSTOP.
func (s *Server) Signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(s.pid, sig); err != nil {
		t.Fatal(err)
	}
}

// Issuer is the realm's.
func (s *Server) Issuer() string { return s.Base + "/realms/muster" }

// Endpoint is what the OpenID Connect endpoints lie below.
func (s *Server) Endpoint() string { return s.Issuer() + "/protocol/openid-connect" }

// augmented returns a copy of the distribution that was built for the tests; the
// first time that takes a minute.
func augmented(t *testing.T, home string) string {
	t.Helper()
	version, err := os.ReadFile(filepath.Join(home, "version.txt"))
	if err != nil {
		t.Fatalf("%s is not an unpacked Keycloak: %v", homeVariable, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(append(version, strings.Join(buildOptions, " ")...))
	dir := filepath.Join(cache, "muster", fmt.Sprintf("keycloak-built-%x", sum[:6]))
	if _, err := os.Stat(filepath.Join(dir, "version.txt")); err == nil {
		return dir
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "keycloak-building-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.RemoveAll(tmp); err != nil {
			t.Error(err)
		}
	}()
	work := filepath.Join(tmp, "keycloak")
	if err := os.CopyFS(work, os.DirFS(home)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(work, "bin", "kc.sh"), buildOptions...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kc.sh build: %v\n%s", err, out)
	}
	// Another test process may have been faster.
	if err := os.Rename(work, dir); err != nil && !errors.Is(err, os.ErrExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		t.Fatal(err)
	}
	return dir
}

// RealmFile is the path of the shipped realm.
func RealmFile(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if file := filepath.Join(dir, realmFile); exists(file) {
			return file
		}
	}
	t.Fatalf("there is no %s above the test's directory; run it inside the repository", realmFile)
	return ""
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// writeRealm writes the shipped realm with the overlay's people and secrets.
func writeRealm(t *testing.T, dir string) {
	t.Helper()
	shipped, err := os.ReadFile(RealmFile(t))
	if err != nil {
		t.Fatal(err)
	}
	realm, more := object(t, shipped), object(t, overlay)
	changes, _ := more["clients"].([]any)
	delete(more, "clients")
	clients, _ := realm["clients"].([]any)
	for _, change := range changes {
		found := false
		for _, c := range clients {
			into, from := c.(map[string]any), change.(map[string]any)
			if into["clientId"] == from["clientId"] {
				maps.Copy(into, from)
				found = true
			}
		}
		if !found {
			t.Fatalf("the shipped realm has no client for the overlay's %v", change)
		}
	}
	people, _ := more["users"].([]any)
	accounts, _ := realm["users"].([]any)
	more["users"] = append(accounts, people...)
	maps.Copy(realm, more)
	b, err := json.Marshal(realm)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "muster-realm.json"), b, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func object(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func freePorts(t *testing.T) []string {
	t.Helper()
	var ports []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}()
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	return ports
}

// Call sends a request, whose body is a form, JSON of anything, or nothing, and
// returns status and body of the answer.
func (s *Server) Call(t *testing.T, method, address, bearer string, body any) (int, []byte) {
	t.Helper()
	var reader io.Reader
	contentType := ""
	switch b := body.(type) {
	case nil:
	case url.Values:
		reader, contentType = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	default:
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		reader, contentType = bytes.NewReader(text), "application/json"
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, address, reader)
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, out
}

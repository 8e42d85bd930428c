package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/workers/worker"
)

// environment is a good one; each test changes it.
func environment(change map[string]string) func(string) string {
	env := map[string]string{"WORKER_UUID": testUUID, "ISSUER": "http://i", "AUDIENCE": "muster"}
	maps.Copy(env, change)
	return func(name string) string { return env[name] }
}

// Every mistake names its variable and what it takes, and all come at once.
func TestEnvironmentMistakes(t *testing.T) {
	for name, values := range map[string][]string{
		"PORT": {"-1", "65536", "http", "80 ", "8080/tcp", "0x10", "OFF"}, "GRPC_PORT": {"-1", "70000"}, "OPS_PORT": {"a"},
		"MAX_BODY": {"0", "-5", "1e6", "10MiB", "9223372036854775808"}, "MAX_CONCURRENT": {"0", "many", "1.5"},
	} {
		for _, v := range values {
			_, err := worker.FromEnv(environment(map[string]string{name: v}))
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s is %q; give a", name, v)) {
				t.Errorf("%s=%s: %v", name, v, err)
			}
		}
	}
	_, err := worker.FromEnv(func(string) string { return "" })
	for _, name := range []string{"WORKER_UUID", "ISSUER", "AUDIENCE"} {
		if err == nil || !strings.Contains(err.Error(), name+" is not set") {
			t.Errorf("lacks %s: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "MUSTER") {
		t.Errorf("what is wanted only to enrol: %v", err)
	}
}

func TestEnvironmentListeners(t *testing.T) {
	for _, c := range []struct {
		env             map[string]string
		rest, grpc, ops string
	}{
		{nil, "", "", ""}, // Config's own defaults
		{map[string]string{"HOST": "127.0.0.1"}, "127.0.0.1:8080", "127.0.0.1:8081", ""},
		{map[string]string{"HOST": "::1", "PORT": "0", "OPS_PORT": "9090"}, "[::1]:0", "[::1]:8081", "[::1]:9090"},
		{map[string]string{"PORT": "off", "GRPC_PORT": "65535"}, worker.Off, ":65535", ""},
		{map[string]string{"HOST": "127.0.0.1", "PORT": "off", "OPS_PORT": "off"}, worker.Off, "127.0.0.1:8081", worker.Off},
	} {
		cfg, err := worker.FromEnv(environment(c.env))
		if err != nil || cfg.Addr != c.rest || cfg.GRPCAddr != c.grpc || cfg.OpsAddr != c.ops {
			t.Errorf("%v: %q %q %q %v", c.env, cfg.Addr, cfg.GRPCAddr, cfg.OpsAddr, err)
		}
	}
}

// Any port that is a port is taken as it is, and no other text is.
func TestEnvironmentPorts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(-70000, 140000).Draw(t, "port")
		cfg, err := worker.FromEnv(environment(map[string]string{"PORT": fmt.Sprint(n)}))
		if good := n >= 0 && n <= 65535; good != (err == nil) || good && cfg.Addr != fmt.Sprintf(":%d", n) {
			t.Errorf("%d: %q %v", n, cfg.Addr, err)
		}
	})
}

// TLS needs both files, and says which one cannot be used.
func TestEnvironmentTLS(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ cert, key, want string }{
		{"a", "", "go together"}, {"", "a", "go together"}, {"/does/not/exist", "/does/not/exist", "/does/not/exist"}, {empty, empty, "PEM"},
	} {
		_, err := worker.FromEnv(environment(map[string]string{"TLS_CERT_FILE": c.cert, "TLS_KEY_FILE": c.key}))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A shell that exports MUSTER_URL for the commands makes workers enrol. Who did
// not mean that learns it from the refusal, or from the worker's first line.
func TestExportedGatewayIsExplained(t *testing.T) {
	_, err := worker.FromEnv(environment(map[string]string{"MUSTER_URL": "http://127.0.0.1:8080"}))
	for _, want := range []string{"WORKER_URL is not set", "MUSTER_TOKEN_FILE is not set", "the worker would enrol", "env -u MUSTER_URL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q: %v", want, err)
		}
	}
	for _, enrol := range []bool{false, true} {
		env := map[string]string{"PORT": "0", "GRPC_PORT": "off", "HOST": "127.0.0.1"}
		want := `"enrolsAt":"nowhere"`
		if enrol {
			env["MUSTER_URL"], env["WORKER_URL"], env["MUSTER_TOKEN_FILE"] = "http://127.0.0.1:1", "http://w/x", "/does/not/exist"
			want = `"enrolsAt":"http://127.0.0.1:1"`
		}
		cfg, err := worker.FromEnv(environment(env))
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		ctx, stop := context.WithCancel(t.Context())
		cfg.Version, cfg.DrainGrace, cfg.Verifier = "1", -1, nobody{}
		cfg.Judge = func(context.Context, *worker.Principal, worker.Element) worker.Verdict { return worker.Keep() }
		cfg.Logger = slog.New(slog.NewJSONHandler(&log, nil))
		cfg.Listening = func(worker.Addresses) { stop() }
		if err := worker.Serve(ctx, cfg); err != nil {
			t.Error(err)
		}
		first, _, _ := strings.Cut(log.String(), "\n")
		if !strings.Contains(first, want) {
			t.Errorf("the first line is %s; it lacks %s", first, want)
		}
	}
}

// nobody is a verifier without an issuer.
type nobody struct{}

func (nobody) Verify(context.Context, string) (*worker.Principal, error) {
	return nil, errors.New("nobody")
}

// What is logged and called must be a plain address, and a token that is none is
// said to be missing where it is missing.
func TestEnrolMistakes(t *testing.T) {
	base := worker.Config{
		UUID: testUUID, Version: "1", Verifier: nobody{},
		Judge: func(context.Context, *worker.Principal, worker.Element) worker.Verdict { return worker.Keep() },
	}
	for _, gateway := range []string{"", "gateway", "ftp://g", "http://", "http://user:secret@g", "http://g/?a=b", "http://g/#x"} {
		base.Enrol = &worker.Enrol{Gateway: gateway, URL: "here"}
		_, err := worker.New(t.Context(), base)
		for _, want := range []string{"Enrol.Gateway must be", "Enrol.URL must be", "Enrol.Token is missing"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: lacks %q: %v", gateway, want, err)
			}
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error quotes a password: %v", err)
		}
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"empty": "", "blank": " \n\t"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := worker.TokenFile(file)(t.Context()); err == nil || !strings.Contains(err.Error(), file+" is empty") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := worker.TokenFile(filepath.Join(dir, "none"))(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

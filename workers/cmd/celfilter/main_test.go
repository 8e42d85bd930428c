package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/workers/workertest"
)

func policyFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func nothing(string) string { return "" }

func TestCheck(t *testing.T) {
	var out bytes.Buffer
	good := policyFile(t, "rules: []\n")
	if err := run(t.Context(), []string{"-check", "-policy", good}, nothing, &out); err != nil || !strings.Contains(out.String(), "is good") {
		t.Errorf("%v %s", err, out.String())
	}
	bad := policyFile(t, "rules:\n  - name: a\n    when: element.x\n    decide: keep\n")
	for _, args := range [][]string{{"-check", "-policy", bad}, {"-policy", bad}} {
		if err := run(t.Context(), args, nothing, io.Discard); err == nil || !strings.Contains(err.Error(), bad+":3:18: undefined field 'x'") {
			t.Errorf("%v: %v", args, err)
		}
	}
	if err := run(t.Context(), nil, nothing, io.Discard); err == nil || !strings.Contains(err.Error(), "POLICY_FILE") {
		t.Errorf("%v", err)
	}
	if err := run(t.Context(), []string{"-policy", good}, nothing, io.Discard); err == nil || !strings.Contains(err.Error(), "WORKER_UUID") {
		t.Errorf("%v", err)
	}
}

// The command serves by its policy and ends when it is told to.
func TestServes(t *testing.T) {
	is, err := workertest.NewIssuer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer is.Close()
	env := map[string]string{
		"POLICY_FILE": policyFile(t, "default: keep\nrules: []\n"), "WORKER_UUID": "0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11",
		"ISSUER": is.URL(), "AUDIENCE": workertest.Audience, "HOST": "127.0.0.1", "PORT": "0", "GRPC_PORT": "0",
	}
	r, w := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		err := run(ctx, nil, func(k string) string { return env[k] }, w)
		_ = w.Close()
		done <- err
	}()
	var line struct{ Listening struct{ HTTP, GRPC string } }
	if err := json.NewDecoder(r).Decode(&line); err != nil || line.Listening.HTTP == "" || line.Listening.GRPC == "" {
		t.Fatalf("%v %+v", err, line)
	}
	report, err := workertest.Run(t.Context(), workertest.Options{
		URL: "http://" + line.Listening.HTTP + "/api/filter", Tokens: is, Level: workertest.Core,
	})
	if err != nil || report.Level() != workertest.Core {
		t.Errorf("%v %+v", err, report)
	}
	stop()
	http.DefaultClient.CloseIdleConnections()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("did not end")
	}
}

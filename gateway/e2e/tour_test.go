package e2e_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// block is a fenced part of a document: commands, and what they print.
type block struct {
	line  int
	shell string
	want  string
}

// blocks reads the "sh" fences of a document, each with the "text" fence after it.
func blocks(t *testing.T, file string) []block {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	fence, from := "", 0
	var body strings.Builder
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case fence == "" && strings.HasPrefix(line, "```"):
			fence, from = strings.TrimPrefix(line, "```")+" ", i+1
			body.Reset()
		case fence != "" && line == "```":
			switch {
			case fence == "sh ":
				all = append(all, block{line: from, shell: body.String()})
			case fence == "text " && len(all) > 0:
				all[len(all)-1].want = body.String()
			}
			fence = ""
		case fence != "":
			body.WriteString(line + "\n")
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no commands", file)
	}
	return all
}

// freeAddr returns an address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// The tour that newcomers are given does what it says, command for command. Only
// its ports are others, so that it runs beside anything.
func TestTour(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	addr := map[string]string{}
	for _, port := range []string{"8080", "8081", "9090", "8180", "9000"} {
		addr[port] = freeAddr(t)
	}
	_, workerPort, _ := net.SplitHostPort(addr["9000"])
	elsewhere := strings.NewReplacer(
		"127.0.0.1:8080", addr["8080"], "127.0.0.1:8081", addr["8081"], "127.0.0.1:9090", addr["9090"],
		"127.0.0.1:8180", addr["8180"], "127.0.0.1:9000", addr["9000"], "PORT=9000", "PORT="+workerPort,
		"muster dev token", "muster dev token --issuer "+addr["8180"],
		"muster dev --data-dir", "muster dev --issuer "+addr["8180"]+" --data-dir",
		"make build\n", "mkdir bin && mv muster.sh bin/muster && cp "+bin+"/echoworker bin/\n",
	)
	all := blocks(t, filepath.Join(root, "docs", "tutorial", "README-tour.md"))
	var script strings.Builder
	// Job control, as in a terminal: %1 and %2 are the gateway and the worker.
	script.WriteString("set -eu; set -m; trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n")
	for i, b := range all {
		fmt.Fprintf(&script, "echo '=== %d'\n%s", i, elsewhere.Replace(b.shell))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script.String())
	// Beyond the deadline the whole group goes, with what it left behind.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience / 3
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir}
	// The real program, with other defaults: variables for all would reach the
	// worker as well, which takes MUSTER_URL for a gateway to enrol at.
	muster := fmt.Sprintf("#!/bin/sh\nMUSTER_HTTP_ADDR=%s MUSTER_GRPC_ADDR=%s MUSTER_OPS_ADDR=%s MUSTER_URL=http://%s MUSTER_DRAIN_GRACE=0s exec %s/muster \"$@\"\n",
		addr["8080"], addr["8081"], addr["9090"], addr["8080"], bin)
	if err := os.WriteFile(filepath.Join(cmd.Dir, "muster.sh"), []byte(muster), 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		logs, _ := os.ReadFile(filepath.Join(cmd.Dir, "tour.log"))
		t.Fatalf("%v\n%s\n%s", err, out, logs)
	}
	parts := strings.Split(string(out), "=== ")
	if len(parts) != len(all)+1 {
		t.Fatalf("%d parts, want %d:\n%s", len(parts)-1, len(all), out)
	}
	for i, b := range all {
		_, got, _ := strings.Cut(parts[i+1], "\n")
		if !says(got, elsewhere.Replace(b.want)) {
			t.Errorf("README-tour.md:%d printed\n%s\nwant\n%s", b.line, got, elsewhere.Replace(b.want))
		}
	}
}

var spaces = regexp.MustCompile(`[ \t]+`)

// says compares line by line; "…" stands for anything, and any space for any
// number of them, as columns are as wide as what differs.
func says(got, want string) bool {
	got, want = tidy(got), tidy(want)
	pattern := strings.ReplaceAll(regexp.QuoteMeta(want), "…", `[^\n]*`)
	return regexp.MustCompile(`^` + pattern + `$`).MatchString(got)
}

func tidy(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		// The shell's own words about its jobs are no part of what is promised.
		if line = strings.TrimSpace(spaces.ReplaceAllString(line, " ")); line != "" && !strings.HasPrefix(line, "[") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

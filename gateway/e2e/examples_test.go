package e2e_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muster-fleet/muster/workers/element"
)

func examples(t *testing.T, parts ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{"..", "..", "examples"}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// demo runs the demonstration with a deadline; what is left of it after that is
// a failure of its own.
func demo(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, examples(t, "demo", "run.sh"), args...)
	cmd.WaitDelay = patience
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("%v, %v\n%s", err, ctx.Err(), text)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func TestDemoOnce(t *testing.T) {
	out, code := demo(t, "--once", "--bin", bin)
	if code != 0 {
		t.Fatalf("code %d\n%s", code, out)
	}
	for _, want := range []string{
		`sections +5e0c7a52.* healthy `, `details +5e0c7a52.* healthy .* grpc://`,
		`permissions +5e0c7a52.* RuleTransformation `, `stripped +key2`,
		// Before there are rules, after they were made, and after one was withdrawn.
		`(?m)^admin +0 +0 +1971 +0 +6524 `,
		`message +.*"rules":15,"created":15,"deleted":0`, `message +.*"rules":14,"created":14,"deleted":15`,
		`(?m)^alice +1742 +148 +81 +4566 +1958 `,
		`(?m)^admin +1971 +0 +0 +6524 +0 +[0-9.]+m?s$`,
		`(?m)^alice +1799 +148 +24 +6442 +82 +[0-9.]+m?s$`,
		`(?m)^bob +57 +632 +1282 +927 +5597 +[0-9.]+m?s$`,
		`demo: done`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
}

func TestDemoMisuse(t *testing.T) {
	if out, code := demo(t, "--bogus"); code != 2 || !strings.Contains(out, "usage:") {
		t.Errorf("code %d\n%s", code, out)
	}
	if out, code := demo(t, "--bin", t.TempDir()); code != 1 || !strings.Contains(out, "make build") {
		t.Errorf("code %d\n%s", code, out)
	}
	// Whether it is this test or somebody else who has the port, it is taken.
	if l, err := net.Listen("tcp", "127.0.0.1:8180"); err == nil {
		defer func() { _ = l.Close() }()
	}
	if out, code := demo(t, "--bin", bin, "--data", t.TempDir()); code != 1 ||
		!strings.Contains(out, "address already in use") || !strings.Contains(out, "--free-ports") {
		t.Errorf("code %d\n%s", code, out)
	}
}

// The demonstration ends well when told to, and leaves no process behind.
func TestDemoCleansUp(t *testing.T) {
	data := t.TempDir()
	cmd := exec.CommandContext(t.Context(), examples(t, "demo", "run.sh"), "--free-ports", "--bin", bin, "--data", data)
	cmd.WaitDelay = patience
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := func() string {
		text, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	deadline := time.Now().Add(4 * patience)
	for !strings.Contains(said(), "muster conform sections") {
		if time.Now().After(deadline) {
			_ = cmd.Process.Signal(syscall.SIGTERM) // the failure is told below
			t.Fatalf("it did not get there:\n%s", said())
		}
		time.Sleep(100 * time.Millisecond) // another process is waited for
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, said())
	}
	left, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range left {
		line, err := os.ReadFile(name)
		if err == nil && bytes.Contains(line, []byte(data)) {
			t.Errorf("a process is left: %q", bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
}

const packages = `Package: aa
Version: 1.0-1
Installed-Size: 12
Maintainer: Somebody <somebody@own-domain.test>
Architecture: amd64
Depends: bb (>= 1.0) | cc, libmissing
Conflicts: aa, cc
Description: First
 with more text
Section: libs
Priority: required
Essential: yes
Tag: role::shared-lib,
 x::y
Size: 9007199254740993

Package: bb
Version: 2
Maintainer: Team <a@lists.test>
Recommends: cc
Section: devel
Size: 1

Package: cc
Version: 3
Maintainer: Team <b@lists.test>
Pre-Depends: aa
Section: libs
Size: 2

`

func debgraph(t *testing.T, stdin string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "python3", append([]string{examples(t, "debgraph", "debgraph.py")}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %+v", args, err)
	}
	return out
}

// people makes one domain shared by enough maintainers to be kept.
func people() string {
	text := packages
	for _, who := range []string{"c", "d", "e"} {
		text += "Package: z" + who + "\nMaintainer: Team <" + who + "@lists.test>\nSection: misc\n\n"
	}
	return text
}

func TestDebgraph(t *testing.T) {
	first := debgraph(t, people(), "--packages", "-", "--nodes", "all")
	if !bytes.Equal(first, debgraph(t, people(), "--packages", "-", "--nodes", "all")) {
		t.Error("the same input gives other bytes")
	}
	if bytes.Contains(first, []byte("@")) || bytes.Contains(first, []byte("own-domain")) || bytes.Contains(first, []byte("Somebody")) {
		t.Errorf("somebody's name or address is kept:\n%s", first)
	}
	for _, want := range []string{
		`"size":9007199254740993`, `"essential":true`, `"tags":["role::shared-lib","x::y"]`, `"maintainerDomain":"private"`,
		`"domain":"lists.test"`, `"properties":{"version":">= 1.0","alternatives":2}`, `"summary":"First"`,
	} {
		if !bytes.Contains(first, []byte(want)) {
			t.Errorf("%s is not in\n%s", want, first)
		}
	}
	valid(t, first, 6+3+2)
	if n := debgraph(t, people(), "--packages", "-", "--nodes", "2", "--type", "nodes"); bytes.Count(n, []byte(`"Package"`)) != 2 {
		t.Errorf("2 packages were asked for:\n%s", n)
	}
	for _, bad := range []string{"", "hello\n", "Version: 1\n"} {
		cmd := exec.CommandContext(t.Context(), "python3", examples(t, "debgraph", "debgraph.py"), "--packages", "-")
		cmd.Stdin = strings.NewReader(bad)
		if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("debgraph: ")) || bytes.Contains(out, []byte("Traceback")) {
			t.Errorf("%q: %v\n%s", bad, err, out)
		}
	}
}

// valid reads a body as the gateway does and holds every end to a node.
func valid(t *testing.T, body []byte, nodes int) {
	t.Helper()
	req, err := element.ParseRequest(body, element.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer req.Release()
	if req.Type != element.TypeGraph || req.Nodes.Len() != nodes || req.Relationships.Len() == 0 {
		t.Errorf("%d nodes, %d relationships; want %d nodes", req.Nodes.Len(), req.Relationships.Len(), nodes)
	}
	end := regexp.MustCompile(`"(?:start|end)NodeElementId":"([^"]*)"`)
	for i := range req.Relationships.Len() {
		for _, m := range end.FindAllSubmatch(req.Relationships.Raw(i), -1) {
			if _, ok := req.Nodes.Find(m[1]); !ok {
				t.Errorf("relationship %d has an end that is no node", i)
			}
		}
	}
}

func TestTheCommittedGraphIsSound(t *testing.T) {
	f, err := os.Open(examples(t, "debgraph", "graph.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(body, []byte("@")) {
		t.Error("the committed graph holds an address")
	}
	valid(t, body, 1971)
}

func TestPoliciesCompile(t *testing.T) {
	for _, name := range []string{"sections.yaml", "details.yaml"} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "celfilter"), "-check", "-policy", examples(t, "debgraph", name))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

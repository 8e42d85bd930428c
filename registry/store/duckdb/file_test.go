package duckdb_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/muster-fleet/muster/proto/fault"
)

// The environment that makes the test binary a child of one of these tests.
const (
	envHold = "MUSTER_TEST_HOLD_PATH"
	envOpen = "MUSTER_TEST_OPEN_PATH"
)

func childOf(t *testing.T, test, variable, path string) *exec.Cmd {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run", "^"+test+"$", "-test.v")
	child.Env = append(os.Environ(), variable+"="+path)
	return child
}

func TestHoldChild(t *testing.T) {
	path := os.Getenv(envHold)
	if path == "" {
		return // it is only there for TestHeldByAnotherProcess
	}
	s, err := openAt(t.Context(), path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Fatal(err)
	}
	_ = s // the process ends without closing it
}

func TestHeldByAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "muster.db")
	child := childOf(t, "TestHoldChild", envHold, path)
	in, err1 := child.StdinPipe()
	out, err2 := child.StdoutPipe()
	if err := errors.Join(err1, err2, child.Start()); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan() && !strings.Contains(lines.Text(), "ready"); {
	}
	_, err := openAt(t.Context(), path, quiet())
	if !fault.Is(err, "store_locked") || !strings.Contains(err.Error(), fmt.Sprintf("process %d ", child.Process.Pid)) {
		t.Errorf("%v, not naming process %d", err, child.Process.Pid)
	}
	if err := errors.Join(child.Process.Kill(), in.Close()); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err == nil {
		t.Fatal("it was not killed")
	}
	// The dead one's lock file is still there and locks nothing.
	s, err := openAt(t.Context(), path, quiet())
	if err != nil {
		t.Fatalf("a stale lock: %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path+".lock", []byte("{garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = openAt(t.Context(), path, quiet()); err != nil {
		t.Fatalf("a garbled lock: %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFilesThatAreNoStore(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		make func(path string) error
		says string
	}{
		"garbage":      {func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("garbage ", 5000)), 0o600) }, "no DuckDB file"},
		"short":        {func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) }, "no DuckDB file"},
		"torn":         {func(path string) error { return os.WriteFile(path, []byte("12345678DUCK torn"), 0o600) }, "DuckDB"},
		"directory":    {func(path string) error { return os.Mkdir(path, 0o700) }, "cannot be opened"},
		"missing/file": {func(string) error { return nil }, "does not exist"},
		"garbage/file": {func(string) error { return nil }, "not a directory"},
	} {
		if name == "garbage/file" {
			if err := os.WriteFile(filepath.Join(dir, "garbage"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, name)
		if err := c.make(path); err != nil {
			t.Fatal(err)
		}
		s, err := openAt(t.Context(), path, quiet())
		if !fault.Is(err, "store_unavailable") || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
		if s != nil {
			t.Error(s.Close(t.Context()))
		}
		if name == "garbage" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What a start leaves that was killed before it wrote anything.
	path := filepath.Join(dir, "empty")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openAt(t.Context(), path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := openAt(t.Context(), "", quiet()); !fault.Is(err, "store_unavailable") {
		t.Error(err)
	}
}

func TestOpenChild(t *testing.T) {
	path := os.Getenv(envOpen)
	if path == "" {
		return // it is only there for TestPermissions
	}
	s, err := openAt(t.Context(), path, quiet())
	if err == nil {
		err = s.Close(t.Context())
	}
	fmt.Println("outcome:", err)
}

// TestPermissions opens as a user who may not: root may everything.
func TestPermissions(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("run as another user than root: the modes apply to this process itself")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "muster-permissions-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	binary := filepath.Join(dir, "test") // go test's own directory is closed to others
	data, err := os.ReadFile(os.Args[0])
	if err := errors.Join(err, os.Chmod(dir, 0o755), os.WriteFile(binary, data, 0o755)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ dirMode, fileMode os.FileMode }{
		"directory": {0o555, 0}, "file": {0o777, 0o400},
	} {
		sub := filepath.Join(dir, name)
		path := filepath.Join(sub, "muster.db")
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		if c.fileMode != 0 {
			s, err := openAt(t.Context(), path, quiet())
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(s.Close(t.Context()), os.Chmod(path, c.fileMode), os.Remove(path+".lock")); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(sub, c.dirMode); err != nil {
			t.Fatal(err)
		}
		child := exec.Command(binary, "-test.run", "^TestOpenChild$", "-test.v")
		child.Env, child.Dir = append(os.Environ(), envOpen+"="+path), "/"
		if os.Getuid() == 0 {
			child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		out, err := child.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "outcome: store_unavailable") || !strings.Contains(string(out), path) && !strings.Contains(string(out), sub) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

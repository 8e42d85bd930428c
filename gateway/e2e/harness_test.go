package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/muster-fleet/muster/workers/workertest"
)

// patience bounds what a scenario waits for; nothing takes that long unless it
// is broken.
const patience = 30 * time.Second

// bin is the directory with the programs, built once per run.
var bin string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "muster-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin = dir
	for _, pkg := range []string{"gateway/cmd/muster", "workers/cmd/echoworker", "workers/cmd/celfilter", "workers/cmd/ruleloader"} {
		build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./"+strings.SplitN(pkg, "/", 2)[1])
		build.Dir = filepath.Join("..", "..", strings.SplitN(pkg, "/", 2)[0])
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", pkg, err, out)
			return 1
		}
	}
	return m.Run()
}

func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/scripts", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("ROOT", root)
			env.Values[processes{}] = map[string]*process{}
			env.Values[issuers{}] = new(*workertest.Issuer)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": start, "finish": finish, "exits": exits, "retry": retry,
			"issuer": issuer, "token": token, "jsonlines": jsonLines,
		},
	})
}

type (
	processes struct{}
	issuers   struct{}
)

// process is a program that serves in the background.
type process struct {
	cmd  *exec.Cmd
	done chan error
}

func running(ts *testscript.TestScript) map[string]*process {
	all, _ := ts.Value(processes{}).(map[string]*process)
	return all
}

// start NAME [VAR=VALUE...] PROGRAM ARGS... runs one of the programs in the
// background, with these variables alone, and waits for its listening line, whose
// addresses become the variables NAME_http, NAME_grpc and so on. Its output goes
// to NAME.out and NAME.err.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME [VAR=VALUE...] PROGRAM ARGS...")
	}
	name, args := args[0], args[1:]
	env := []string{"HOME=" + ts.Getenv("WORK"), "PATH=" + ts.Getenv("PATH")}
	for len(args) > 0 && strings.Contains(args[0], "=") {
		env, args = append(env, args[0]), args[1:]
	}
	path, err := exec.LookPath(filepath.Join(bin, args[0]))
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir, cmd.Env = ts.Getenv("WORK"), env
	errFile, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	cmd.Stderr = errFile
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	p := &process{cmd: cmd, done: make(chan error, 1)}
	running(ts)[name] = p
	ts.Defer(func() {
		// A process that has ended already cannot be killed, and need not be.
		_ = cmd.Process.Kill()
		<-p.done
		_ = errFile.Close()
	})
	line := make(chan []byte, 1)
	go func() { p.done <- p.follow(out, ts.MkAbs(name+".out"), line) }()
	select {
	case first := <-line:
		var said struct{ Listening map[string]string }
		if err := json.Unmarshal(first, &said); err != nil {
			ts.Fatalf("%s said %q, not where it listens; standard error:\n%s", name, first, ts.ReadFile(name+".err"))
		}
		for key, addr := range said.Listening {
			ts.Setenv(name+"_"+key, addr)
		}
	case <-time.After(patience):
		ts.Fatalf("%s did not say where it listens; standard error:\n%s", name, ts.ReadFile(name+".err"))
	}
}

// follow copies standard output to a file, hands over its first line, and
// returns how the process ended.
func (p *process) follow(out io.Reader, file string, line chan<- []byte) error {
	f, err := os.Create(file)
	if err != nil {
		close(line)
		return errors.Join(err, p.cmd.Wait())
	}
	r := bufio.NewReader(io.TeeReader(out, f))
	first, err := r.ReadBytes('\n')
	line <- first
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, f.Close(), p.cmd.Wait())
}

// finish NAME SIGNAL [CODE] sends a signal and waits for the end, which has to have
// this exit code (0; none for KILL).
func finish(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: finish NAME TERM|INT|KILL [CODE]")
	}
	p := running(ts)[args[0]]
	if p == nil {
		ts.Fatalf("%s was not started", args[0])
	}
	sig := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}[args[1]]
	ts.Check(p.cmd.Process.Signal(sig))
	var err error
	select {
	case err = <-p.done:
		p.done <- err // for the deferred wait
	case <-time.After(patience):
		ts.Fatalf("%s did not end; standard error:\n%s", args[0], ts.ReadFile(args[0]+".err"))
	}
	if sig == syscall.SIGKILL {
		return
	}
	want := 0
	if len(args) > 2 {
		want, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("%s ended with %d, want %d; standard error:\n%s", args[0], got, want, ts.ReadFile(args[0]+".err"))
	}
}

// exits CODE PROGRAM ARGS... runs a program, which has to end with this exit code;
// stdout and stderr can be looked at afterwards.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("%q ended with %d, want %d", args[1:], got, want)
	}
}

// retry TEXT PROGRAM ARGS... runs a program until its standard output matches.
func retry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: retry TEXT PROGRAM ARGS...")
	}
	deadline := time.Now().Add(patience)
	for {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout")
		if err == nil && strings.Contains(out, args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q never said %q; at last (%v):\n%s%s", args[1:], args[0], err, out, ts.ReadFile("stderr"))
		}
		time.Sleep(50 * time.Millisecond) // another process is waited for; nothing tells when it is ready
	}
}

// issuer starts a token issuer and sets ISSUER to its address.
func issuer(ts *testscript.TestScript, neg bool, _ []string) {
	if neg {
		ts.Fatalf("usage: issuer")
	}
	is, err := workertest.NewIssuer(context.Background())
	ts.Check(err)
	ts.Defer(func() { ts.Check(is.Close()) })
	ts.Setenv("ISSUER", is.URL())
	*issuerOf(ts) = is
}

func issuerOf(ts *testscript.TestScript) **workertest.Issuer {
	is, _ := ts.Value(issuers{}).(**workertest.Issuer)
	return is
}

// token FILE USER [admin] [expired] writes a token of the script's issuer.
func token(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: token FILE USER [admin] [expired]")
	}
	is := *issuerOf(ts)
	claims := map[string]any{"preferred_username": args[1], "sub": "id-of-" + args[1], "groups": []string{}}
	for _, more := range args[2:] {
		switch more {
		case "admin":
			claims["realm_access"] = map[string]any{"roles": []string{"muster-admin"}}
		case "expired":
			claims["exp"] = time.Now().Add(-time.Second).Unix()
		default:
			ts.Fatalf("token: %s is not known", more)
		}
	}
	text, err := is.Sign(claims)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text+"\n"), 0o600))
}

// jsonlines FILE... demands that every line of the files is a JSON object.
func jsonLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: jsonlines FILE...")
	}
	for _, name := range args {
		lines := 0
		for line := range strings.Lines(ts.ReadFile(name)) {
			lines++
			var object map[string]any
			if err := json.Unmarshal([]byte(line), &object); err != nil {
				ts.Fatalf("%s:%d is no JSON object: %s", name, lines, line)
			}
		}
		if lines == 0 {
			ts.Fatalf("%s is empty", name)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newRunner(t *testing.T) (*runner, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	return &runner{root: t.TempDir(), out: &out, results: newResults(), allowed: map[string]string{}}, &out
}

// events writes lines as go test -json does, for package p of the gateway.
func events(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		action, rest, _ := strings.Cut(l, " ")
		test, output, _ := strings.Cut(rest, " ")
		fmt.Fprintf(&b, `{"Action":%q,"Package":"github.com/muster-fleet/muster/gateway/p","Test":%q,"Output":%q,"Elapsed":1.5}`+"\n", action, test, output)
	}
	return b.String()
}

func TestBooking(t *testing.T) {
	r, out := newRunner(t)
	stream := events(
		"run TestA", "output TestA === RUN   TestA\n", "pass TestA",
		"output TestB     b_test.go:12: needs MUSTER_TEST_KEYCLOAK_HOME\n", "output TestB --- SKIP: TestB (0.00s)\n", "skip TestB",
		"output TestC     c_test.go:3: got 1, want 2\n", "fail TestC",
		"output TestD/x     d_test.go:1: no reason of note\n", "skip TestD/x", "pass TestD",
		"output TestS     cmd.go:380: runs the whole suite\n", "output TestS     testscript.go:609: WORK=/x\n", "skip TestS",
		"skip TestE", "fail ",
	) + "some plain text\n"
	if err := r.book(strings.NewReader(stream)); err != nil {
		t.Fatal(err)
	}
	for test, want := range map[string]result{
		"TestA":   {passed, "", 1.5},
		"TestB":   {skipped, "needs MUSTER_TEST_KEYCLOAK_HOME", 1.5},
		"TestC":   {failed, "", 1.5},
		"TestD":   {passed, "", 1.5},
		"TestD/x": {skipped, "no reason of note", 1.5},
		"TestE":   {skipped, "no reason given", 1.5},
		"TestS":   {skipped, "runs the whole suite", 1.5},
	} {
		if got := r.results.get(testID{"gateway/p", test}); got != want {
			t.Errorf("%s: got %+v, want %+v", test, got, want)
		}
	}
	if n := len(r.results.with(failed)); n != 1 {
		t.Errorf("%d failures; the package fails with its test, not beside it", n)
	}
	for _, want := range []string{"got 1, want 2", "some plain text", "FAIL gateway/p"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}

func TestPackageThatFailsByItself(t *testing.T) {
	r, out := newRunner(t)
	stream := `{"ImportPath":"github.com/muster-fleet/muster/gateway/p","Action":"build-output","Output":"p.go:1: undefined: x\n"}
{"Action":"fail","Package":"github.com/muster-fleet/muster/gateway/p","Elapsed":0,"FailedBuild":"github.com/muster-fleet/muster/gateway/p"}
`
	if err := r.book(strings.NewReader(stream)); err != nil {
		t.Fatal(err)
	}
	if got := r.results.get(testID{"gateway/p", ""}); got.outcome != failed {
		t.Errorf("a package that does not build counts as %v", got)
	}
	if !strings.Contains(out.String(), "undefined: x") {
		t.Errorf("the compiler's words are lost:\n%s", out)
	}
}

// Binaries that would have the same name are built apart.
func TestApartByName(t *testing.T) {
	var all []testedPackage
	for _, p := range []string{"a/audit", "a/rule", "b/audit", "c/audit", "c/rule"} {
		all = append(all, testedPackage{path: p})
	}
	got := fmt.Sprint(apartByName(all))
	if want := "[[{a/audit } {a/rule }] [{b/audit } {c/rule }] [{c/audit }]]"; got != want {
		t.Errorf("%s; want %s", got, want)
	}
}

// A binary's tests are booked as those of a run of go test are, with how its
// package ended.
func TestBinary(t *testing.T) {
	r, out := newRunner(t)
	files := map[string]string{
		"go.mod":  "module github.com/muster-fleet/muster/some\n",
		"go.work": "go 1.24\nuse .\n",
		"a/a_test.go": "package a\nimport (\"os\"; \"testing\")\n" +
			"func TestGood(t *testing.T) { if _, err := os.Stat(\"a_test.go\"); err != nil || !testing.Short() { t.Fatal(err) } }\n" +
			"func TestBad(t *testing.T) { t.Fatal(\"as it is\") }\n",
		"b/b_test.go": "package b\nimport (\"os\"; \"testing\")\nfunc TestMain(m *testing.M) { m.Run(); os.Exit(3) }\n",
		"c/c.go":      "package c\n",
	}
	for name, text := range files {
		file := filepath.Join(r.root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	packages, err := r.testedPackages(t.Context(), []string{"some/other"})
	if err != nil || len(packages) != 2 {
		t.Fatalf("%v %v\n%s", packages, err, out)
	}
	for _, p := range packages {
		binary := filepath.Join(t.TempDir(), "x.test")
		if err := r.command(t.Context(), r.root, nil, "go", "test", "-vet=off", "-c", "-o", binary, p.path); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if err := r.runBinary(t.Context(), p, binary); err == nil {
			t.Errorf("%s: no error", p.path)
		}
	}
	for id, want := range map[testID]outcome{{"some/a", "TestGood"}: passed, {"some/a", "TestBad"}: failed, {"some/b", ""}: failed} {
		if got := r.results.get(id); got.outcome != want {
			t.Errorf("%s: %+v\n%s", id, got, out)
		}
	}
}

func TestResultsMerge(t *testing.T) {
	id := testID{"p", "TestA"}
	for _, c := range []struct {
		in   []outcome
		want outcome
	}{
		{[]outcome{skipped, passed}, passed},
		{[]outcome{passed, skipped}, passed},
		{[]outcome{passed, failed, passed}, failed},
		{[]outcome{failed, skipped}, failed},
		{[]outcome{skipped, skipped}, skipped},
	} {
		r := newResults()
		for i, o := range c.in {
			r.add(id, result{outcome: o, seconds: float64(i)})
		}
		if got := r.get(id); got.outcome != c.want || got.seconds != float64(len(c.in)-1) {
			t.Errorf("%v: got %+v, want %d", c.in, got, c.want)
		}
	}
}

func TestAskingGroups(t *testing.T) {
	r, _ := newRunner(t)
	skip := func(test, reason string) { r.results.add(testID{"p", test}, result{outcome: skipped, reason: reason}) }
	skip("TestCrash", "set MUSTER_TEST_CRASH to run it")
	skip("TestKeycloak/realm", "MUSTER_TEST_KEYCLOAK_HOME is not set")
	skip("TestOther", "not on this system")
	asked := map[testID]map[string]bool{}
	groups := r.askingGroups(asked)
	if len(groups) != 2 || len(groups["MUSTER_TEST_CRASH"]) != 1 || groups["MUSTER_TEST_KEYCLOAK_HOME"][0] != (testID{"p", "TestKeycloak"}) {
		t.Fatalf("got %v", groups)
	}
	if again := r.askingGroups(asked); len(again) != 0 {
		t.Errorf("asked for the same again: %v", again)
	}
	skip("TestCrash", "MUSTER_TEST_POSTGRES_DSN is not set either")
	if more := r.askingGroups(asked); len(more["MUSTER_TEST_CRASH MUSTER_TEST_POSTGRES_DSN"]) != 1 {
		t.Errorf("got %v", more)
	}
}

func TestReport(t *testing.T) {
	r, out := newRunner(t)
	r.allowed["p.TestListed"] = "needs a GPU"
	r.results.add(testID{"p", "TestA"}, result{outcome: passed})
	r.results.add(testID{"p", "TestListed"}, result{outcome: skipped, reason: "no GPU"})
	r.results.add(testID{"p", "TestUnlisted"}, result{outcome: skipped, reason: "because"})
	r.minutes = []timing{{"tests", time.Minute, nil}, {"  crash", time.Minute, nil}}
	if code := r.report(); code != 0 {
		t.Errorf("exit %d although nothing failed", code)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; last != "1 passed, 0 failed, 2 skipped" {
		t.Errorf("last line %q", last)
	}
	for _, want := range []string{"no GPU (allowed: needs a GPU)", "because", "1.00  in all"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out)
		}
	}
	out.Reset()
	r.strict = true
	if code := r.report(); code != 1 {
		t.Error("an unlisted skip passes in CI")
	}
	if !strings.HasSuffix(out.String(), "\n1 passed, 1 failed, 1 skipped\n") {
		t.Errorf("got %s", out)
	}
}

func TestReadAllowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "allowed")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# a comment\n\np.TestA  needs it \n")
	got, err := readAllowed(path)
	if err != nil || len(got) != 1 || got["p.TestA"] != "needs it" {
		t.Errorf("got %v, %v", got, err)
	}
	write("p.TestA\n")
	if _, err := readAllowed(path); err == nil || !strings.Contains(err.Error(), ":1:") {
		t.Errorf("an entry without a reason: %v", err)
	}
	if got, err := readAllowed(path + "x"); err != nil || len(got) != 0 {
		t.Errorf("no list means an empty one; got %v, %v", got, err)
	}
}

func TestParts(t *testing.T) {
	r, out := newRunner(t)
	broken := errors.New("broken")
	r.run(t.Context(), part{name: "good", do: func(context.Context, *runner) error { return nil }})
	r.run(t.Context(), part{name: "bad", do: func(context.Context, *runner) error { return broken }})
	r.run(t.Context(), part{name: "crashed runner", tests: true, do: func(context.Context, *runner) error { return broken }})
	r.only = "nothing"
	r.run(t.Context(), part{name: "left out", do: func(context.Context, *runner) error { t.Error("ran"); return nil }})
	if p, f := len(r.results.with(passed)), len(r.results.with(failed)); p != 1 || f != 2 {
		t.Errorf("%d passed, %d failed:\n%s", p, f, out)
	}
	if len(r.minutes) != 3 {
		t.Errorf("%d parts were timed", len(r.minutes))
	}
}

func TestFuzzTargets(t *testing.T) {
	r, _ := newRunner(t)
	for _, m := range modules {
		if err := os.MkdirAll(filepath.Join(r.root, m, "x"), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	src := "package x\n\nfunc FuzzRead(f *testing.F) {}\nfunc helper() {}\n"
	if err := os.WriteFile(filepath.Join(r.root, "workers", "x", "x_test.go"), []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := fuzzTargets(r.root)
	if err != nil || len(got) != 1 || got[0] != (testID{"workers/x", "FuzzRead"}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestEnvironmentLeavesMusterOut(t *testing.T) {
	t.Setenv("MUSTER_HTTP_ADDR", ":1")
	t.Setenv("MUSTER_TEST_CRASH", "1")
	t.Setenv("MUSTER_TEST_POSTGRES_DSN", "postgres://here")
	r, _ := newRunner(t)
	env := strings.Join(r.environment(), "\n")
	if strings.Contains(env, "MUSTER_HTTP_ADDR") || strings.Contains(env, "MUSTER_TEST_CRASH") || !strings.Contains(env, "postgres://here") {
		t.Error("the environment of the tests is wrong")
	}
}

func TestValuesOfSwitches(t *testing.T) {
	r, _ := newRunner(t)
	dir := filepath.Join(r.root, "tools", "setup")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{"MUSTER_TEST_KEYCLOAK_HOME": "keycloak.sh", "MUSTER_TEST_AIRFLOW": "airflow.sh", "MUSTER_TEST_CRASH": ""} {
		t.Setenv(name, "")
		want := "1"
		if script != "" {
			want = "/from/" + script
			text := "#!/bin/sh\necho said before\necho " + want + "\n"
			if err := os.WriteFile(filepath.Join(dir, script), []byte(text), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := r.valueOf(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
		t.Setenv(name, "/own")
		if got, err := r.valueOf(t.Context(), name); err != nil || got != "/own" {
			t.Errorf("%s: %q, %v, want what the caller has set", name, got, err)
		}
	}
}

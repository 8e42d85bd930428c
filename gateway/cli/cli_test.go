package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/proto/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway is a server that answers as it is told and notes what it was asked.
// The scenarios of gateway/e2e run the same commands against a real gateway.
type gateway struct {
	t      *testing.T
	server *httptest.Server

	mu      sync.Mutex
	answers map[string]func(http.ResponseWriter)
	asked   []call
}

type call struct {
	line   string
	header http.Header
	body   string
}

func newGateway(t *testing.T) *gateway {
	g := &gateway{t: t, answers: map[string]func(http.ResponseWriter){}}
	g.server = httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(g.server.Close)
	return g
}

func (g *gateway) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		g.t.Errorf("body: %v", err)
	}
	line := r.Method + " " + r.URL.RequestURI()
	g.mu.Lock()
	g.asked = append(g.asked, call{line, r.Header.Clone(), string(body)})
	answer, ok := g.answers[line]
	if !ok {
		answer, ok = g.answers[r.Method+" "+r.URL.Path]
	}
	g.mu.Unlock()
	if !ok {
		fault.New(fault.NotFound, "not_found", "there is no %s", line).WriteProblem(w)
		return
	}
	answer(w)
}

func (g *gateway) on(line string, status int, body string) {
	g.with(line, func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if _, err := io.WriteString(w, body); err != nil {
			g.t.Errorf("answer: %v", err)
		}
	})
}

func (g *gateway) with(line string, answer func(http.ResponseWriter)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answers[line] = answer
}

func (g *gateway) refuse(line string, e *fault.Error) { g.with(line, e.WriteProblem) }

// last returns the newest call.
func (g *gateway) last() call {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.asked) == 0 {
		g.t.Fatal("nothing was asked")
	}
	return g.asked[len(g.asked)-1]
}

// result is how a command ended.
type result struct {
	code     int
	out, err string
}

// run runs a command line in an environment of its own.
func run(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	return runIn(t, t.Context(), strings.NewReader(""), environ, args...)
}

func runIn(t *testing.T, ctx context.Context, in io.Reader, environ []string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := Run(ctx, Process{Args: args, Environ: environ, In: in, Out: &out, Err: &errs, Version: "v9.9.9"})
	return result{code, out.String(), errs.String()}
}

// run runs a command line against this gateway, with a token.
func (g *gateway) run(args ...string) result {
	g.t.Helper()
	return run(g.t, []string{"MUSTER_URL=" + g.server.URL, "MUSTER_TOKEN=abc.def.ghi"}, args...)
}

func (r result) want(t *testing.T, code int, parts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\nout: %s\nerr: %s", r.code, code, r.out, r.err)
	}
	for _, part := range parts {
		if !strings.Contains(r.out+r.err, part) {
			t.Errorf("%q is not in\nout: %s\nerr: %s", part, r.out, r.err)
		}
	}
}

const (
	idA = "0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11"
	idB = "1b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c12"
)

// recordOf is a record as the API gives it, without its last brace.
func recordOf(id, name, state string) string {
	return `{"uuid":"` + id + `","name":` + string(must(json.Marshal(name))) + `,"url":"http://10.0.0.1:9000/filter","class":"result",
"type":"ExternalGraphSecurity","version":"1.0.0","transport":"rest","active":true,
"settings":{"timeout":"2s","onFailure":"fail","mask":false,"identity":"forward","audience":"","maxElementsPerCall":0,"maxConcurrent":64},
"standing":{"state":"` + state + `","since":"2026-01-01T00:00:00Z","lastProbe":null,"lastError":"","latencyMs":1.5,"stableFor":"1s"},
"conformance":{"level":"none","at":null,"version":""},
"registeredBy":"admin","registeredAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z","revision":9007199254740993`
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestWrongUsageIsTwo(t *testing.T) {
	for _, args := range [][]string{
		{}, {"nonsense"}, {"worker"}, {"worker", "lst"}, {"config"}, {"config", "chek"}, {"--bogus"},
		{"worker", "list", "--bogus"}, {"worker", "list", "extra"}, {"worker", "get"}, {"worker", "get", "a", "b"},
		{"worker", "list", "-o", "xml"}, {"version", "-o", "junit"}, {"worker", "list", "--active", "maybe"},
		{"worker", "register"}, {"worker", "register", "http://x/"}, {"worker", "update", idA},
		{"worker", "pause", idA, "--for", "10m", "--until", "2027-01-01T00:00:00Z"}, {"worker", "pause", idA, "--for", "-1s"},
		{"worker", "pause", idA, "--until", "tomorrow"}, {"worker", "watch", "--interval", "1ms"},
		{"filter"}, {"filter", "/does/not/exist"}, {"completion", "tcsh"}, {"completion"},
		{"worker", "list", "--url", "gateway:8080"}, {"worker", "list", "--url", "ftp://x"}, {"worker", "list", "--url", "http://u:p@x"},
		{"worker", "list", "--token", "a b"}, {"worker", "list", "--token", "a", "--token-file", "b"},
		{"worker", "list", "--token-file", "/does/not/exist"}, {"worker", "list", "--ca-file", "/does/not/exist"},
	} {
		r := run(t, nil, args...)
		r.want(t, ExitUsage, "muster: ", "do:    ")
		if r.out != "" {
			t.Errorf("%q: a mistake goes to standard output: %s", args, r.out)
		}
	}
	run(t, nil, "worker", "lits").want(t, ExitUsage, `"lits" is not a command of muster worker; list is the nearest one`)
}

func TestAnswersBecomeExitCodes(t *testing.T) {
	for _, c := range []struct {
		kind fault.Kind
		code int
	}{
		{fault.NotFound, ExitNotFound}, {fault.Unauthenticated, ExitUnauthenticated}, {fault.Denied, ExitDenied},
		{fault.Unavailable, ExitUnavailable}, {fault.Timeout, ExitUnavailable},
		{fault.Conflict, ExitFailed}, {fault.Unprocessable, ExitFailed}, {fault.Precondition, ExitFailed},
		{fault.BadWorker, ExitFailed}, {fault.Internal, ExitFailed},
	} {
		g := newGateway(t)
		g.refuse("GET /api/workers", fault.New(c.kind, "some_code", "some detail"))
		g.run("worker", "list").want(t, c.code, "some_code: some detail", "where: GET "+g.server.URL+"/api/workers")
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	g := newGateway(t)
	g.refuse("GET /api/workers", fault.New(fault.Unauthenticated, "invalid_token", "no token"))
	run(t, []string{"MUSTER_URL=" + g.server.URL}, "worker", "list").want(t, ExitUnauthenticated, "there was no token", "muster dev token admin")
	g.run("worker", "list").want(t, ExitUnauthenticated, "get a fresh token")

	e := fault.New(fault.Unprocessable, "bad_url", "two mistakes")
	e.Violations = []fault.Violation{
		{Code: "bad_url", Pointer: "/url", Detail: "is not absolute"}, {Code: "bad_uuid", Pointer: "/uuid", Detail: "is none"},
	}
	g.refuse("POST /api/workers", e)
	g.run("worker", "register", "x", "--uuid", "y").want(t, ExitFailed, "/url bad_url: is not absolute", "/uuid bad_uuid: is none")

	g.refuse("GET /api/workers", fault.New(fault.Unavailable, "overloaded", "").After(2e9))
	g.run("worker", "list").want(t, ExitUnavailable, "try again in 2 s")

	g.on("GET /api/workers", http.StatusBadGateway, "<html>nginx</html>")
	g.run("worker", "list").want(t, ExitFailed, "502 Bad Gateway, and not in Muster's words")
	g.on("GET /api/workers", http.StatusOK, "<html>hello</html>")
	g.run("worker", "list").want(t, ExitFailed, "not readable")
	g.with("GET /api/workers", func(w http.ResponseWriter) {
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.WriteHeader(http.StatusFound)
	})
	g.run("worker", "list").want(t, ExitFailed, "302 Found")

	gone := httptest.NewServer(nil)
	gone.Close()
	run(t, nil, "worker", "list", "--url", gone.URL).want(t, ExitUnavailable, "connection refused", "check that it runs there")
}

func TestTokens(t *testing.T) {
	g := newGateway(t)
	g.on("GET /api/workers", http.StatusOK, `{"items":[],"nextCursor":""}`)
	env := []string{"MUSTER_URL=" + g.server.URL}
	tokenFile := file(t, "from-file\n")
	for _, c := range []struct {
		env  []string
		args []string
		want string
	}{
		{nil, nil, ""},
		{[]string{"MUSTER_TOKEN=from-env", "MUSTER_TOKEN_FILE=" + tokenFile}, nil, "Bearer from-env"},
		{[]string{"MUSTER_TOKEN_FILE=" + tokenFile}, nil, "Bearer from-file"},
		{[]string{"MUSTER_TOKEN=from-env"}, []string{"--token-file", tokenFile}, "Bearer from-file"},
		{[]string{"MUSTER_TOKEN=from-env"}, []string{"--token", "from-flag"}, "Bearer from-flag"},
	} {
		r := run(t, append(env, c.env...), append([]string{"worker", "list"}, c.args...)...)
		r.want(t, ExitOK)
		if got := g.last().header.Get("Authorization"); got != c.want {
			t.Errorf("%v %v: Authorization %q, want %q", c.env, c.args, got, c.want)
		}
		if warned := strings.Contains(r.err, "can be read by every user"); warned != (c.want == "Bearer from-flag") {
			t.Errorf("%v: warned: %v", c.args, warned)
		}
		if strings.Contains(r.out+r.err, "from-") {
			t.Errorf("a token shows: %s%s", r.out, r.err)
		}
	}
	if got := g.last().header.Get("User-Agent"); got != "muster-cli/v9.9.9" {
		t.Errorf("User-Agent %q", got)
	}
}

// An empty --generation is a variable that was not set: the rules would take
// effect at once, in the place of all others, where they were to be staged.
func TestEmptyGenerationIsRefused(t *testing.T) {
	g := newGateway(t)
	g.run("rule", "post", file(t, `[]`), "--strategy", "DeleteAllForUser", "--generation", "").
		want(t, ExitUsage, "--generation is empty", "leave --generation out")
	if len(g.asked) > 0 {
		t.Errorf("the gateway was asked: %v", g.asked)
	}
}

package transformations_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/gateway/edge/rest/resttest"
	"github.com/muster-fleet/muster/gateway/edge/transformations"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
	"github.com/muster-fleet/muster/registry/store/duckdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const uuid = "0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c77"

// described answers inspections as one worker.
type described struct{ kind string }

func (d described) Inspect(_ context.Context, url string, _ registry.Transport) (registry.Info, error) {
	id := registry.WorkerID(uuid)
	if strings.Contains(url, "other") {
		return registry.Info{Class: "result", Type: "ExternalGraphSecurity", ID: "1b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c78", Version: "1"}, nil
	}
	return registry.Info{Class: "result", Type: d.kind, ID: id, Version: "1"}, nil
}

// people are who calls: runner has a grant to run every step.
var people = resttest.People{
	"admin":  {Issuer: "i", Subject: "admin", Username: "admin"},
	"runner": {Issuer: "i", Subject: "runner", Username: "runner"},
	"alice":  {Issuer: "i", Subject: "alice", Username: "alice"},
}

var grants = map[string][]string{"runner": {"rule_step:s", "rule_step:none"}}

// bench is the API over a real registry, without an engine: the tests carry runs
// out themselves.
type bench struct {
	*registry.Service
	t      *testing.T
	server *httptest.Server
	ending chan struct{}
	client *http.Client
}

func newBench(t *testing.T) *bench {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	store, err := duckdb.Open(t.Context(), filepath.Join(t.TempDir(), "muster.db"), duckdb.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	s, err := registry.Open(t.Context(), store, registry.Options{Logger: log, Inspector: described{"RuleTransformation"}})
	if err != nil {
		t.Fatal(errors.Join(err, store.Close(t.Context())))
	}
	b := &bench{Service: s, t: t, ending: make(chan struct{}), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	b.server = httptest.NewServer(transformations.Handler(transformations.Deps{
		Registry: s, Gate: resttest.NewGate(t, resttest.Granted(s.Snapshot, people, grants), people).Guard, Logger: log, Ending: b.ending,
	}))
	t.Cleanup(func() {
		b.server.Close()
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	for _, url := range []string{"http://loader/t", "http://other/f"} {
		in := registry.RegisterInput{URL: url, UUID: uuid}
		if strings.Contains(url, "other") {
			in.UUID = "1b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c78"
		}
		if _, err := s.Register(t.Context(), registry.Actor{Username: "admin"}, in, false); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

type reply struct {
	status int
	header http.Header
	body   string
}

func (b *bench) call(method, path, body string, header ...string) reply {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL+transformations.Root+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "admin")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(data)}
}

func (r reply) want(t *testing.T, status int, parts ...string) reply {
	t.Helper()
	if r.status != status {
		t.Errorf("status %d, want %d: %s", r.status, status, r.body)
	}
	for _, p := range parts {
		if !strings.Contains(r.body, p) {
			t.Errorf("%s is not in %s", p, r.body)
		}
	}
	return r
}

func (r reply) id(t *testing.T) run.ID {
	t.Helper()
	var v struct{ ID run.ID }
	if err := json.Unmarshal([]byte(r.body), &v); err != nil || v.ID == "" {
		t.Fatalf("no id in %s", r.body)
	}
	return v.ID
}

const plain = `{"worker":"` + uuid + `","client":{"id":"rule-loader","secretFile":"team/loader"},"users":"all"}`

func (b *bench) finish(o run.Outcome) {
	b.t.Helper()
	c, err := b.ClaimRun(b.t.Context(), "bench")
	if err != nil || c == nil {
		b.t.Fatal(c, err)
	}
	if _, err := b.EndAttempt(b.t.Context(), "bench", c.Run.ID, len(c.Run.Attempts), o); err != nil {
		b.t.Fatal(err)
	}
}

func TestSteps(t *testing.T) {
	b := newBench(t)
	b.call(http.MethodPut, "/nightly", plain, "If-Match", "*").want(t, http.StatusPreconditionFailed, "revision is none")
	r := b.call(http.MethodPut, "/nightly", plain).want(t, http.StatusCreated, `"users":"all"`, `"timeout":"10m0s"`, `"secretFile":"team/loader"`)
	if r.header.Get("ETag") != `"1"` || r.header.Get("Location") != transformations.Root+"/nightly" || strings.Contains(r.body, `"groups"`) {
		t.Errorf("%v %s", r.header, r.body)
	}
	full := `{"name":"nightly","worker":"{` + strings.ToUpper(uuid) + `}","client":{"id":"c","secretFile":"s"},"users":["alice"],"groups":[],"clients":"all",` +
		`"entities":[0,9007199254740991],"relationships":"all","timeout":"90s","retries":10}`
	r = b.call(http.MethodPut, "/nightly", full, "If-Match", `"1"`).want(t, http.StatusOK, `"worker":"`+uuid+`"`, `"groups":[]`, `"entities":[0,9007199254740991]`, `"retries":10`)
	if r.header.Get("ETag") != `"2"` {
		t.Errorf("%v", r.header)
	}
	b.call(http.MethodPut, "/nightly", plain, "If-Match", `"1"`).want(t, http.StatusPreconditionFailed, "revision_mismatch")
	if got := b.call(http.MethodGet, "/nightly", "").want(t, http.StatusOK); got.body != r.body || got.header.Get("ETag") != `"2"` {
		t.Errorf("%s", got.body)
	}
	for n := range 4 {
		b.call(http.MethodPut, fmt.Sprint("/s", n), plain).want(t, http.StatusCreated)
	}
	var names []string
	for cursor := ""; ; {
		var page struct {
			Items      []struct{ Name string }
			NextCursor string
		}
		r := b.call(http.MethodGet, "?limit=2&cursor="+cursor, "").want(t, http.StatusOK)
		if err := json.Unmarshal([]byte(r.body), &page); err != nil {
			t.Fatal(err)
		}
		for _, s := range page.Items {
			names = append(names, s.Name)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if strings.Join(names, " ") != "nightly s0 s1 s2 s3" {
		t.Errorf("%v", names)
	}
	b.call(http.MethodDelete, "/s0", "", "If-Match", "9").want(t, http.StatusPreconditionFailed)
	b.call(http.MethodDelete, "/s0", "", "If-Match", "*").want(t, http.StatusNoContent)
	b.call(http.MethodGet, "/s0", "").want(t, http.StatusNotFound, "not_found")
	b.call(http.MethodDelete, "/s0", "").want(t, http.StatusNotFound)
}

func TestStepMistakesAreToldAtOnce(t *testing.T) {
	b := newBench(t)
	r := b.call(http.MethodPut, "/bad%20name", `{"name":"other","worker":"1b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c78","client":{"id":7,"secretFile":"/etc/passwd","secret":"hunter2"},
		"users":"some","groups":[1],"clients":[null],"entities":[1.5],"relationships":[-1],"timeout":"0s","retries":11,"extra":{}}`)
	r.want(t, http.StatusUnprocessableEntity, "/worker", "/client/id", "/client/secretFile", "/client/secret", "/users", "/groups", "/clients",
		"/entities", "/relationships", "/timeout", "/retries", "/extra", "/name")
	if strings.Contains(r.body, "hunter2") {
		t.Errorf("a value is repeated: %s", r.body)
	}
	for body, code := range map[string]int{
		`[]`: 400, `{"worker":1,"worker":2}`: 400, `{`: 400, `{}`: 422, `{"users":null}`: 422,
	} {
		b.call(http.MethodPut, "/x", body).want(t, code)
	}
	b.call(http.MethodPut, "/x", plain, "Content-Type", "text/plain").want(t, http.StatusUnsupportedMediaType)
	b.call(http.MethodPut, "/x?dryRun=true", plain).want(t, http.StatusBadRequest, "dryRun")
	b.call(http.MethodGet, "?limit=0", "").want(t, http.StatusBadRequest, "limit")
	b.call(http.MethodGet, "?cursor=zzz", "").want(t, http.StatusBadRequest, "cursor")
	b.call(http.MethodPost, "/x", plain).want(t, http.StatusMethodNotAllowed, "DELETE, GET, HEAD, PUT")
	b.call(http.MethodGet, "/x/nothing", "").want(t, http.StatusNotFound)
}

func TestStartingRuns(t *testing.T) {
	b := newBench(t)
	b.call(http.MethodPut, "/s", plain).want(t, http.StatusCreated)
	b.call(http.MethodPut, "/s2", plain).want(t, http.StatusCreated)
	first := b.call(http.MethodPost, "/s/runs", "", "Idempotency-Key", "k").want(t, http.StatusAccepted, `"state":"queued"`, `"startedBy":"admin"`)
	id := first.id(t)
	if first.header.Get("Location") != transformations.Root+"/s/runs/"+string(id) {
		t.Errorf("%v", first.header)
	}
	if again := b.call(http.MethodPost, "/s/runs", "", "Idempotency-Key", `"k"`).want(t, http.StatusAccepted); again.id(t) != id {
		t.Error("the key gives another run")
	}
	b.call(http.MethodPost, "/s2/runs", "", "Idempotency-Key", "k").want(t, http.StatusUnprocessableEntity, "idempotency_key_reused")
	b.call(http.MethodPost, "/none/runs", "", "Idempotency-Key", "k").want(t, http.StatusUnprocessableEntity)
	conflict := b.call(http.MethodPost, "/s/runs", "").want(t, http.StatusConflict, `"code":"run_open"`)
	var p struct{ Run struct{ ID run.ID } }
	if err := json.Unmarshal([]byte(conflict.body), &p); err != nil || p.Run.ID != id || conflict.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("the refusal does not name the run: %s", conflict.body)
	}
	b.call(http.MethodDelete, "/s", "").want(t, http.StatusConflict, string(id))
	if _, err := b.ClaimRun(t.Context(), "bench"); err != nil {
		t.Fatal(err)
	}
	second := b.call(http.MethodPost, "/s/runs?coalesce=true", "").want(t, http.StatusAccepted).id(t)
	third := b.call(http.MethodPost, "/s/runs?coalesce=true", "").want(t, http.StatusAccepted).id(t)
	if second == id || third != second {
		t.Errorf("%s %s %s", id, second, third)
	}
	for _, query := range []string{"?wait=0s", "?wait=6m", "?wait=soon", "?coalesce=yes", "?wait=1s&wait=2s", "?x=1"} {
		b.call(http.MethodPost, "/s2/runs"+query, "").want(t, http.StatusBadRequest)
	}
	for _, key := range []string{" ", strings.Repeat("x", 256), "a\tb"} {
		b.call(http.MethodPost, "/s2/runs", "", "Idempotency-Key", key).want(t, http.StatusBadRequest, "Idempotency-Key")
	}
	b.call(http.MethodPost, "/none/runs", "").want(t, http.StatusNotFound)
	b.call(http.MethodGet, "/s/runs?limit=1", "").want(t, http.StatusOK, string(second), "nextCursor")
	b.call(http.MethodGet, "/none/runs", "").want(t, http.StatusNotFound)
}

func TestWaitingForARun(t *testing.T) {
	b := newBench(t)
	b.call(http.MethodPut, "/s", plain).want(t, http.StatusCreated)
	b.call(http.MethodPost, "/s/runs?wait=10ms", "").want(t, http.StatusAccepted, `"state":"queued"`)
	outcomes := map[string]struct {
		o      run.Outcome
		status int
	}{
		"good":        {run.Outcome{State: run.Succeeded, Status: 200, Message: "42 rows"}, http.StatusOK},
		"bad":         {run.Outcome{State: run.Failed, Status: 500, Code: "worker_status", Message: "source_down: gone"}, http.StatusBadGateway},
		"interrupted": {run.Outcome{State: run.Interrupted, Code: "interrupted", Message: "the gateway died"}, http.StatusBadGateway},
	}
	b.finish(run.Outcome{State: run.Succeeded})
	for name, c := range outcomes {
		got := make(chan reply, 1)
		go func() { got <- b.call(http.MethodPost, "/s/runs?wait=30s", "") }()
		for {
			if runs, _, err := b.OpenRuns(t.Context()); err != nil || len(runs) == 1 {
				break
			}
		}
		b.finish(c.o)
		r := <-got
		r.want(t, c.status, c.o.Message)
		if r.header.Get("Location") == "" {
			t.Errorf("%s: no Location", name)
		}
		if c.status == http.StatusBadGateway {
			var p struct {
				Code, Detail string
				Run          struct{ State string }
			}
			if err := json.Unmarshal([]byte(r.body), &p); err != nil || p.Detail != c.o.Message || p.Code != "run_"+string(c.o.State) || p.Run.State != string(c.o.State) {
				t.Errorf("%s: %s", name, r.body)
			}
		}
	}
	// A gateway that drains lets go.
	of := b.call(http.MethodPost, "/s/runs", "").want(t, http.StatusAccepted).id(t)
	close(b.ending)
	b.call(http.MethodGet, "/s/runs/"+string(of)+"?wait=5m", "").want(t, http.StatusOK, `"queued"`)
}

func TestReadingAndCancellingRuns(t *testing.T) {
	b := newBench(t)
	b.call(http.MethodPut, "/s", plain).want(t, http.StatusCreated)
	id := string(b.call(http.MethodPost, "/s/runs", "").want(t, http.StatusAccepted).id(t))
	for n := range 120 {
		if err := b.LogRun(t.Context(), run.ID(id), run.Line{Text: fmt.Sprint("line ", n)}); err != nil {
			t.Fatal(err)
		}
	}
	r := b.call(http.MethodGet, "/s/runs/"+strings.ToUpper(id), "").want(t, http.StatusOK, `"lines":120`, `"line 20"`, `"line 119"`)
	if strings.Contains(r.body, `"line 19"`) {
		t.Error("more than the last 100 lines")
	}
	b.call(http.MethodGet, "/s/runs/"+uuid, "").want(t, http.StatusNotFound)
	b.call(http.MethodGet, "/other/runs/"+id, "").want(t, http.StatusNotFound)
	b.call(http.MethodPost, "/s/runs/"+id, "").want(t, http.StatusNotFound, ":cancel")
	if _, err := b.ClaimRun(t.Context(), "bench"); err != nil {
		t.Fatal(err)
	}
	b.call(http.MethodPost, "/s/runs/"+id+":cancel", "").want(t, http.StatusAccepted, `"cancelling":true`)
	if _, err := b.EndAttempt(t.Context(), "bench", run.ID(id), 1, run.Outcome{State: run.Failed}); err != nil {
		t.Fatal(err)
	}
	b.call(http.MethodPost, "/s/runs/"+id+":cancel", "").want(t, http.StatusOK, `"state":"cancelled"`)
	other := string(b.call(http.MethodPost, "/s/runs", "").want(t, http.StatusAccepted).id(t))
	b.finish(run.Outcome{State: run.Succeeded})
	b.call(http.MethodPost, "/s/runs/"+other+":cancel", "").want(t, http.StatusConflict, "run_ended")
}

func TestTheLogIsStreamed(t *testing.T) {
	b := newBench(t)
	b.call(http.MethodPut, "/s", plain).want(t, http.StatusCreated)
	id := b.call(http.MethodPost, "/s/runs", "").want(t, http.StatusAccepted).id(t)
	log := "/s/runs/" + string(id) + "/log"
	line := func(text string) {
		t.Helper()
		if err := b.LogRun(t.Context(), id, run.Line{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	line("one")
	if r := b.call(http.MethodGet, log, "").want(t, http.StatusOK, " one\n"); r.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%v", r.header)
	}
	b.call(http.MethodGet, log+"?after=-1", "").want(t, http.StatusBadRequest)
	b.call(http.MethodGet, log+"?follow=1", "").want(t, http.StatusBadRequest)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.server.URL+transformations.Root+log+"?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "runner")
	req.Header.Set("Accept", "text/plain;q=0.1, application/x-ndjson")
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func(want string, number int64) {
		t.Helper()
		var l struct {
			Number int64
			At     time.Time
			Text   string
		}
		if !lines.Scan() {
			t.Fatalf("the log ended before %q: %v", want, lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil || l.Text != want || l.Number != number || l.At.IsZero() {
			t.Errorf("%s, want %q", lines.Text(), want)
		}
	}
	next("one", 1)
	line("two\nlines") // it comes while the run goes on
	next("two\nlines", 2)
	for n := range 700 { // more than is read at once
		line(fmt.Sprint(n))
	}
	for n := range 700 {
		next(fmt.Sprint(n), int64(n+3))
	}
	line("last")
	b.finish(run.Outcome{State: run.Succeeded})
	next("last", 703)
	if lines.Scan() {
		t.Errorf("%s after the end", lines.Text())
	}
	if r := b.call(http.MethodGet, log+"?after=702", "", "Accept", "application/x-ndjson").want(t, http.StatusOK); strings.Count(r.body, "\n") != 1 {
		t.Errorf("%s", r.body)
	}
}

func TestTheDescriptionIsWhole(t *testing.T) {
	doc := rest.NewDocument("1")
	transformations.Describe(doc)
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		transformations.Root:                              {"get"},
		transformations.Root + "/{name}":                  {"get", "put", "delete"},
		transformations.Root + "/{name}/runs":             {"get", "post"},
		transformations.Root + "/{name}/runs/{id}":        {"get"},
		transformations.Root + "/{name}/runs/{id}:cancel": {"post"},
		transformations.Root + "/{name}/runs/{id}/log":    {"get"},
	}
	var got struct {
		Paths      map[string]map[string]json.RawMessage
		Components struct {
			Schemas map[string]struct{ Properties map[string]json.RawMessage }
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Paths) != len(want) {
		t.Errorf("%d paths, want %d", len(got.Paths), len(want))
	}
	for path, methods := range want {
		for _, m := range methods {
			if got.Paths[path][m] == nil {
				t.Errorf("%s %s is not described", m, path)
			}
		}
	}
	// Every described member is one that the reader takes, and no other.
	b := newBench(t)
	r := b.call(http.MethodPut, "/x", `{"surely unknown":1}`)
	for name := range got.Components.Schemas["StepInput"].Properties {
		if !strings.Contains(r.body, name) {
			t.Errorf("%s is described and not read: %s", name, r.body)
		}
	}
}

func FuzzReadStep(f *testing.F) {
	for _, seed := range []string{plain, `{}`, `[`, `{"users":["a"],"entities":[1]}`, `{"users":"all","groups":null,"client":[]}`, `{"retries":1e9}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := transformations.ReadStep("x", body)
		if err != nil {
			if fault.From(err).Kind != fault.Invalid {
				t.Errorf("%v", err)
			}
			return
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(body, &members) != nil {
			t.Errorf("taken, and no JSON object: %q", body)
		}
		if in.Users.All && in.Users.List != nil {
			t.Errorf("%+v", in)
		}
	})
}

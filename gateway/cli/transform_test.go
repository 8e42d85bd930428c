package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/muster-fleet/muster/proto/fault"
)

const runA = "01980f4e-6a3b-7c21-9a55-2f0d3c7b1e90"

func stepOf(name string) string {
	return `{"name":"` + name + `","worker":"` + idA + `","client":{"id":"rule-loader","secretFile":"rule-loader"},"users":"all",
"entities":[414,9007199254740991],"timeout":"10m0s","retries":2,"createdBy":"admin","createdAt":"2026-01-01T00:00:00Z",
"updatedAt":"2026-01-01T00:00:00Z","revision":3}`
}

func runOf(state, message string) string {
	text := must(json.Marshal(message))
	ended := ""
	if state != "queued" && state != "running" {
		ended = `"endedAt":"2026-01-01T00:00:05Z",`
	}
	return `{"id":"` + runA + `","step":"nightly","state":"` + state + `","startedBy":"admin","queuedAt":"2026-01-01T00:00:00Z",` + ended +
		`"message":` + string(text) + `,"attempts":[{"number":1,"state":"` + state + `","startedAt":"2026-01-01T00:00:01Z","status":503,"code":"worker_status"}],
"rules":{"created":3,"ignored":1,"deleted":2},"lines":2}`
}

func TestStepsAreListedAndShown(t *testing.T) {
	g := newGateway(t)
	g.on("GET /api/rule-transformations?limit=1000", http.StatusOK, `{"items":[`+stepOf("nightly")+`],"nextCursor":"c"}`)
	g.on("GET /api/rule-transformations?cursor=c&limit=1000", http.StatusOK, `{"items":[`+stepOf("weekly")+`],"nextCursor":""}`)
	g.on("GET /api/rule-transformations/nightly", http.StatusOK, stepOf("nightly"))
	g.run("transform", "list").want(t, ExitOK, "nightly", "weekly", "users,entities", "rule-loader")
	r := g.run("transform", "ls", "-o", "json")
	r.want(t, ExitOK)
	if want := `{"items":[` + compact(t, stepOf("nightly")) + "," + compact(t, stepOf("weekly")) + `],"nextCursor":""}`; compact(t, r.out) != want {
		t.Errorf("%s\nwant %s", compact(t, r.out), want)
	}
	g.run("transform", "get", "nightly").want(t, ExitOK, "[414,9007199254740991]", "users", "all", "10m0s")
	r = g.run("transform", "get", "nightly", "-o", "yaml")
	var doc struct {
		Users   string
		Retries int
	}
	if err := yaml.Unmarshal([]byte(r.out), &doc); err != nil || doc.Users != "all" || doc.Retries != 2 {
		t.Errorf("%v %s", err, r.out)
	}
	g.run("transform", "get", "none").want(t, ExitNotFound)
	if r := g.run("__complete", "transform", "run", ""); !strings.Contains(r.out, "weekly") {
		t.Errorf("completion offers %s", r.out)
	}
}

func TestPutStep(t *testing.T) {
	g := newGateway(t)
	g.on("PUT /api/rule-transformations/nightly", http.StatusCreated, stepOf("nightly"))
	g.on("GET /api/workers", http.StatusOK, `{"items":[`+recordOf(idA, "loader", "healthy")+`}],"nextCursor":""}`)
	g.run("transform", "put", "nightly", "--worker", "loader", "--client", "rule-loader", "--secret-file", "team/loader", "--users", "all",
		"--groups", "/a,/b c", "--clients", "", "--entities", "414,415", "--relationships", "all", "--timeout", "5m", "--retries", "3",
		"--if-match", "3").want(t, ExitOK, "nightly")
	var got map[string]any
	if err := json.Unmarshal([]byte(g.last().body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"worker": idA, "client": map[string]any{"id": "rule-loader", "secretFile": "team/loader"}, "users": "all",
		"groups": []any{"/a", "/b c"}, "clients": []any{}, "entities": []any{414.0, 415.0}, "relationships": "all",
		"timeout": "5m", "retries": 3.0,
	}
	if a, b := must(json.Marshal(got)), must(json.Marshal(want)); string(a) != string(b) {
		t.Errorf("body %s\nwant %s", a, b)
	}
	if m := g.last().header.Get("If-Match"); m != `"3"` {
		t.Errorf("If-Match %s", m)
	}
	name := file(t, `{"worker":"x"}`)
	g.run("transform", "put", "nightly", "-f", name).want(t, ExitOK)
	if g.last().body != `{"worker":"x"}` {
		t.Errorf("body %s", g.last().body)
	}
	runIn(t, t.Context(), strings.NewReader(`{"a":1}`), []string{"MUSTER_URL=" + g.server.URL, "MUSTER_TOKEN=abc.def.ghi"},
		"transform", "put", "nightly", "-f", "-").want(t, ExitOK)
	if g.last().body != `{"a":1}` {
		t.Errorf("body %s", g.last().body)
	}
	g.run("transform", "put", "nightly", "-f", name, "--users", "all").want(t, ExitUsage, "--file and in flags")
	g.run("transform", "put", "nightly").want(t, ExitUsage, "--secret-file")
	g.run("transform", "put", "nightly", "--worker", idA, "--client", "c", "--secret-file", "s", "--entities", "x").want(t, ExitUsage, "not an id")
	g.on("DELETE /api/rule-transformations/nightly", http.StatusNoContent, "")
	g.run("transform", "delete", "nightly", "--if-match", `"3"`).want(t, ExitOK, "deleted nightly")
}

func TestRunWithoutWaiting(t *testing.T) {
	g := newGateway(t)
	g.on("POST /api/rule-transformations/nightly/runs", http.StatusAccepted, runOf("queued", ""))
	r := g.run("transform", "run", "nightly", "--idempotency-key", "k-1", "--coalesce", "-o", "json")
	r.want(t, ExitOK)
	if compact(t, r.out) != compact(t, runOf("queued", "")) || r.err != "" {
		t.Errorf("%s %s", r.out, r.err)
	}
	if c := g.last(); c.line != "POST /api/rule-transformations/nightly/runs?coalesce=true" || c.header.Get("Idempotency-Key") != "k-1" {
		t.Errorf("%+v", c)
	}
	g.refuse("POST /api/rule-transformations/nightly/runs", fault.New(fault.Conflict, "run_open", "run X has not ended"))
	g.run("transform", "run", "nightly").want(t, ExitFailed, "run_open: run X has not ended")
}

func TestRunAndWait(t *testing.T) {
	for state, code := range map[string]int{"succeeded": ExitOK, "failed": ExitFailed, "cancelled": ExitFailed, "interrupted": ExitFailed} {
		g := newGateway(t)
		g.on("POST /api/rule-transformations/nightly/runs", http.StatusAccepted, runOf("running", ""))
		runPath := "GET /api/rule-transformations/nightly/runs/" + runA
		g.with(runPath+"/log?after=0&follow=true", func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, `{"number":1,"at":"2026-01-01T00:00:01Z","text":"attempt 1\u001b[31m begins"}`+"\n"+
				`{"number":2,"at":"2026-01-01T00:00:02Z","text":"over"}`+"\n")
		})
		g.on(runPath+"?wait=10s", http.StatusOK, runOf(state, "42 rows\u202e read"))
		r := g.run("transform", "run", "nightly", "--wait")
		r.want(t, code, "attempt 1", "over", "3 created, 1 ignored, 2 deleted")
		if strings.ContainsRune(r.out+r.err, '\x1b') || strings.ContainsRune(r.out+r.err, '\u202e') {
			t.Errorf("a worker's words move the terminal: %q", r.out+r.err)
		}
		if code != ExitOK && !strings.Contains(r.err, "the run is "+state+": 42 rows") {
			t.Errorf("the worker's message is not told: %s", r.err)
		}
		if strings.Contains(r.out, "begins") {
			t.Errorf("progress on standard output: %s", r.out)
		}
	}
}

func TestWaitingGoesOnWhereTheLogBroke(t *testing.T) {
	g := newGateway(t)
	g.on("POST /api/rule-transformations/nightly/runs", http.StatusAccepted, runOf("running", ""))
	path := "GET /api/rule-transformations/nightly/runs/" + runA
	g.on(path+"/log?after=0&follow=true", http.StatusOK, `{"number":1,"at":"2026-01-01T00:00:01Z","text":"one"}`)
	g.on(path+"/log?after=1&follow=true", http.StatusOK, `{"number":2,"at":"2026-01-01T00:00:01Z","text":"two"}`)
	asked := 0
	g.with(path+"?wait=10s", func(w http.ResponseWriter) {
		asked++
		switch asked {
		case 1:
			fault.New(fault.Unavailable, "draining", "this gateway is shutting down").WriteProblem(w)
		case 2:
			_, _ = io.WriteString(w, runOf("succeeded", "done"))
		}
	})
	r := g.run("transform", "run", "nightly", "-w")
	r.want(t, ExitOK, "one", "two", "waiting for it")
	if strings.Count(r.err, "one") != 1 {
		t.Errorf("a line is told twice: %s", r.err)
	}
	g.refuse(path+"/log?after=0&follow=true", fault.New(fault.Denied, "denied", "no longer"))
	g.run("transform", "run", "nightly", "--wait").want(t, ExitDenied, "no longer")
}

func TestRunsStatusLogAndCancel(t *testing.T) {
	g := newGateway(t)
	runs := "/api/rule-transformations/nightly/runs"
	g.on("GET "+runs+"?limit=20", http.StatusOK, `{"items":[`+runOf("failed", "source_down")+`],"nextCursor":"more"}`)
	g.on("GET "+runs+"?cursor=more&limit=20", http.StatusOK, `{"items":[`+runOf("succeeded", "")+`],"nextCursor":""}`)
	g.on("GET "+runs+"?limit=1", http.StatusOK, `{"items":[`+runOf("failed", "source_down")+`],"nextCursor":"more"}`)
	g.on("GET "+runs+"/"+runA, http.StatusOK, runOf("failed", "source_down"))
	g.on("GET "+runs+"/"+runA+"/log", http.StatusOK, `{"number":1,"at":"2026-01-01T00:00:01Z","text":"one: \"x\""}`+"\n")
	g.on("POST "+runs+"/"+runA+":cancel", http.StatusAccepted, strings.Replace(runOf("running", ""), `"state"`, `"cancelling":true,"state"`, 1))
	g.run("transform", "runs", "nightly").want(t, ExitOK, "source_down", "succeeded")
	g.run("transform", "runs", "nightly", "--limit", "1").want(t, ExitOK, "source_down")
	g.run("transform", "runs", "nightly", "--limit", "-1").want(t, ExitUsage)
	g.run("transform", "status", "nightly").want(t, ExitOK, "failed with status 503 worker_status")
	g.run("transform", "status", "nightly", runA, "-o", "json").want(t, ExitOK, `"source_down"`)
	g.run("transform", "log", "nightly").want(t, ExitOK, `one: "x"`)
	if r := g.run("transform", "log", "nightly", runA, "-f", "-o", "json"); r.out != `{"number":1,"at":"2026-01-01T00:00:01Z","text":"one: \"x\""}`+"\n" {
		t.Errorf("%s%s", r.out, r.err)
	}
	g.run("transform", "log", "nightly", "-o", "yaml").want(t, ExitOK, "---\nnumber: 1")
	g.run("transform", "cancel", "nightly").want(t, ExitOK, "being cancelled")
	g.on("GET "+runs+"?limit=1", http.StatusOK, `{"items":[],"nextCursor":""}`)
	g.run("transform", "status", "nightly").want(t, ExitNotFound, "has no run")
}

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func compact(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestListFollowsPagesAndKeepsRecords(t *testing.T) {
	g := newGateway(t)
	a, b := recordOf(idA, "clearance", "healthy")+"}", recordOf(idB, "evil\x1b[31m\u202ename", "suspect")+"}"
	g.on("GET /api/workers?limit=1000&state=healthy", http.StatusOK, `{"items":[`+a+`],"nextCursor":"c1"}`)
	g.on("GET /api/workers?cursor=c1&limit=1000&state=healthy", http.StatusOK, `{"items":[`+b+`],"nextCursor":""}`)
	r := g.run("worker", "list", "--state", "healthy", "-o", "json")
	r.want(t, ExitOK)
	if want := `{"items":[` + compact(t, a) + `,` + compact(t, b) + `],"nextCursor":""}`; compact(t, r.out) != want {
		t.Errorf("the records are not the API's:\n%s\nwant\n%s", compact(t, r.out), want)
	}
	r = g.run("worker", "ls", "--state", "healthy")
	r.want(t, ExitOK, "clearance", "healthy", `evil\x1b[31m\u202ename`)
	if strings.ContainsRune(r.out, '\x1b') {
		t.Error("a control character reaches the terminal")
	}
	r = g.run("worker", "list", "--state", "healthy", "-o", "yaml")
	var doc struct{ Items []struct{ UUID, Name string } }
	if err := yaml.Unmarshal([]byte(r.out), &doc); err != nil || len(doc.Items) != 2 || doc.Items[1].UUID != idB {
		t.Errorf("yaml: %v\n%s", err, r.out)
	}
	if !strings.Contains(r.out, "revision: 9007199254740993\n") {
		t.Error("a large number has changed in YAML")
	}
}

func TestReferences(t *testing.T) {
	g := newGateway(t)
	one, two := recordOf(idA, "twin", "healthy")+"}", recordOf(idB, "twin", "healthy")+"}"
	g.on("GET /api/workers", http.StatusOK, `{"items":[`+one+`],"nextCursor":""}`)
	g.on("GET /api/workers/"+idA, http.StatusOK, one)
	g.run("worker", "get", "twin").want(t, ExitOK, idA, "on failure", "fail")
	g.run("worker", "get", "{"+strings.ToUpper(idA)+"}").want(t, ExitOK, idA)
	g.run("worker", "get", "nobody").want(t, ExitNotFound, `no worker has the name "nobody"`)
	g.run("worker", "get", idB).want(t, ExitNotFound)
	g.on("GET /api/workers", http.StatusOK, `{"items":[`+one+`,`+two+`],"nextCursor":""}`)
	g.run("worker", "get", "twin").want(t, ExitUsage, "2 workers have the name", idA, idB)
}

func TestRegister(t *testing.T) {
	g := newGateway(t)
	g.on("POST /api/workers", http.StatusCreated, recordOf(idA, "clearance", "healthy")+"}")
	g.run("worker", "register", "http://10.0.0.1:9000/filter", "--uuid", idA).want(t, ExitOK, "clearance")
	if got, want := g.last().body, `{"url":"http://10.0.0.1:9000/filter","uuid":"`+idA+`"}`; got != want {
		t.Errorf("body %s, want %s", got, want)
	}
	g.run("worker", "register", "grpc://10.0.0.1:9001", "--uuid", idA, "--name", "c", "--transport", "grpc", "--paused", "--dry-run",
		"--timeout", "5s", "--on-failure", "hide", "--mask", "--identity", "exchange", "--audience", "w",
		"--max-elements-per-call", "0", "--max-concurrent", "8").want(t, ExitOK, "nothing was stored")
	if got := g.last().line; got != "POST /api/workers?dryRun=true" {
		t.Errorf("asked %s", got)
	}
	want := `{"url":"grpc://10.0.0.1:9001","uuid":"` + idA + `","name":"c","transport":"grpc","active":false,` +
		`"settings":{"timeout":"5s","onFailure":"hide","mask":true,"identity":"exchange","audience":"w","maxElementsPerCall":0,"maxConcurrent":8}}`
	if got := g.last().body; got != want {
		t.Errorf("body %s, want %s", got, want)
	}
}

func TestChanges(t *testing.T) {
	g := newGateway(t)
	path := "/api/workers/" + idA
	g.on("PATCH "+path, http.StatusOK, recordOf(idA, "clearance", "healthy")+`,"warning":"no worker is left"}`)
	g.run("worker", "update", idA, "--name", "", "--worker-url", "http://x/", "--timeout", "1s", "--if-match", "12").
		want(t, ExitOK, "warning: no worker is left")
	if got := g.last(); got.body != `{"url":"http://x/","name":"","settings":{"timeout":"1s"}}` || got.header.Get("If-Match") != "12" {
		t.Errorf("asked %+v", got)
	}
	g.run("worker", "pause", idA).want(t, ExitOK)
	if got := g.last().body; got != `{"active":false}` {
		t.Errorf("body %s", got)
	}
	g.run("worker", "pause", idA, "--until", "2027-01-01T01:00:00+01:00").want(t, ExitOK)
	if got := g.last().body; got != `{"active":false,"until":"2027-01-01T00:00:00Z"}` {
		t.Errorf("body %s", got)
	}
	begin := time.Now()
	g.run("worker", "pause", idA, "--for", "10m").want(t, ExitOK)
	var sent struct{ Until time.Time }
	if err := json.Unmarshal([]byte(g.last().body), &sent); err != nil || sent.Until.Before(begin.Add(10*time.Minute)) || sent.Until.After(time.Now().Add(10*time.Minute)) {
		t.Errorf("until %v, %v", sent.Until, err)
	}
	g.run("worker", "resume", idA).want(t, ExitOK)
	if got := g.last().body; got != `{"active":true}` {
		t.Errorf("body %s", got)
	}
	g.with("DELETE "+path, func(w http.ResponseWriter) {
		w.Header().Set("Muster-Warning", "that was the last one")
		w.WriteHeader(http.StatusNoContent)
	})
	g.run("worker", "delete", idA).want(t, ExitOK, "deleted "+idA, "that was the last one")
	g.run("worker", "rm", idA, "-o", "json").want(t, ExitOK, `"deleted": true`, `"warning": "that was the last one"`)
}

func TestProbe(t *testing.T) {
	g := newGateway(t)
	line := "POST /api/workers/" + idA + "/probe"
	g.on(line, http.StatusOK, `{"state":"healthy","latencyMs":0.25,"lastError":""}`)
	g.run("worker", "probe", idA).want(t, ExitOK, "healthy", "0.25ms")
	g.on(line, http.StatusOK, `{"state":"suspect","latencyMs":0,"lastError":"connection refused"}`)
	g.run("worker", "probe", idA, "-o", "json").want(t, ExitFailed, `"state": "suspect"`, "the probe did not pass: connection refused")
}

func TestWatch(t *testing.T) {
	g := newGateway(t)
	page := func(records ...string) {
		g.on("GET /api/workers", http.StatusOK, `{"items":[`+strings.Join(records, ",")+`],"nextCursor":""}`)
	}
	page(recordOf(idA, "a", "healthy") + "}")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, write := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- Run(ctx, Process{Args: []string{"worker", "watch", "-o", "json", "--interval", "100ms", "--url", g.server.URL},
			In: strings.NewReader(""), Out: write, Err: io.Discard})
		_ = write.Close() // the reader's end is what is waited for
	}()
	dec := json.NewDecoder(read)
	next := func(event, uuid, state string) {
		t.Helper()
		var e struct {
			Event  string
			Worker struct {
				UUID     string
				Standing struct{ State string }
			}
		}
		if err := dec.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.Event != event || e.Worker.UUID != uuid || e.Worker.Standing.State != state {
			t.Errorf("%+v, want %s %s %s", e, event, uuid, state)
		}
	}
	next("present", idA, "healthy")
	page(recordOf(idA, "a", "suspect")+"}", recordOf(idB, "b", "healthy")+"}")
	next("changed", idA, "suspect")
	next("added", idB, "healthy")
	page(recordOf(idB, "b", "healthy") + "}")
	next("removed", idA, "suspect")
	cancel()
	if code := <-done; code != ExitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestCompletion(t *testing.T) {
	g := newGateway(t)
	g.on("GET /api/workers", http.StatusOK, `{"items":[`+recordOf(idA, "clearance", "healthy")+`},`+
		recordOf(idB, "evil\nname", "healthy")+`}],"nextCursor":""}`)
	r := g.run("__complete", "worker", "get", "")
	r.want(t, ExitOK, "clearance\t"+idA+"\n", idA+"\tclearance\n", idB+"\tevil\\nname\n")
	r = run(t, []string{"MUSTER_URL=http://127.0.0.1:1"}, "__complete", "worker", "get", "")
	r.want(t, ExitOK, ":4\n")
	for _, shell := range []string{"bash", "zsh", "fish"} {
		run(t, nil, "completion", shell).want(t, ExitOK, "muster")
	}
	run(t, nil, "__complete", "worker", "list", "--state", "").want(t, ExitOK, "quarantined")
}

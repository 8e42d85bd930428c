package cli

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/muster-fleet/muster/workers/worker"
	"github.com/muster-fleet/muster/workers/workertest"
)

// workerOf serves a worker made with the SDK and returns its URL and a token
// that it takes.
func workerOf(t *testing.T, judge func(context.Context, *worker.Principal, worker.Element) worker.Verdict) (url, token string) {
	t.Helper()
	is, err := workertest.NewIssuer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := is.Close(); err != nil {
			t.Error(err)
		}
	})
	w, err := worker.New(t.Context(), worker.Config{
		UUID: idA, Version: "1.2.3", Auth: worker.Auth{Issuer: is.URL(), Audience: workertest.Audience},
		Logger: slog.New(slog.DiscardHandler), Judge: judge,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	server := httptest.NewServer(w.Handler())
	t.Cleanup(server.Close)
	good, err := is.Token("alice")
	if err != nil {
		t.Fatal(err)
	}
	return server.URL + "/api/filter", good
}

func keep(context.Context, *worker.Principal, worker.Element) worker.Verdict { return worker.Keep() }

func TestConform(t *testing.T) {
	url, good := workerOf(t, keep)
	env := []string{"MUSTER_TOKEN=" + good}
	run(t, env, "conform", url, "--level", "core").want(t, ExitOK, "level core", "core/token-expired", "2 not proved",
		"warning: cases not proved: 2")

	var report struct {
		Level     string
		NotProved int
		Worker    struct{ UUID, Version string }
	}
	r := run(t, env, "conform", url, "--level", "core", "--seed", "7", "-o", "json")
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || report.Level != "core" || report.Worker.UUID != idA ||
		report.NotProved != 2 {
		t.Errorf("%v %+v", err, report)
	}
	run(t, env, "conform", url, "--level", "core", "-o", "yaml").want(t, ExitOK, "level: core\n")
	r = run(t, env, "conform", url, "--level", "core", "-o", "junit")
	if err := xml.Unmarshal([]byte(r.out), new(struct{ XMLName xml.Name })); err != nil {
		t.Errorf("%v\n%s", err, r.out)
	}
}

func TestConformFailures(t *testing.T) {
	url, good := workerOf(t, keep)
	env := []string{"MUSTER_TOKEN=" + good}
	run(t, env, "conform", url, "--level", "core", "--uuid", idB).want(t, ExitFailed, "cases failed")
	run(t, nil, "conform", url, "--level", "core").want(t, ExitFailed, "nothing was proven")
	run(t, env, "conform", url, "--level", "best").want(t, ExitUsage)
	run(t, env, "conform", url, "--type", "Nonsense").want(t, ExitUsage, "Nonsense")
	run(t, env, "conform", "http://127.0.0.1:1/").want(t, ExitUnavailable, "worker_unreachable")
	for _, bad := range []string{"hello", `{"parameters":{"type":"x"}}`, `{"parameters":{"type":"nodes"},"data":7}`} {
		run(t, env, "conform", url, "--samples", file(t, bad)).want(t, ExitUsage, "--samples")
	}
	run(t, env, "conform", url, "--samples", "/does/not/exist").want(t, ExitUsage, "--samples cannot be read")

	// A worker that hides everything proves nothing of its own about values.
	hidden, token := workerOf(t, func(context.Context, *worker.Principal, worker.Element) worker.Verdict { return worker.Hide("") })
	r := run(t, []string{"MUSTER_TOKEN=" + token}, "conform", hidden, "--level", "core")
	if r.code != ExitOK && r.code != ExitFailed {
		t.Errorf("code %d\n%s", r.code, r.err)
	}
}

// A worker can be named as the register knows it, and what was reached is stored.
func TestConformRecords(t *testing.T) {
	url, good := workerOf(t, keep)
	g := newGateway(t)
	record := `{"uuid":"` + idA + `","name":"echo","url":"` + url + `","type":"ExternalGraphSecurity"}`
	g.on("GET /api/workers", http.StatusOK, `{"items":[`+record+`],"nextCursor":""}`)
	g.on("GET /api/workers/"+idA, http.StatusOK, record)
	g.on("PUT /api/workers/"+idA+"/conformance", http.StatusOK, record)
	other := file(t, "another.token.here")
	samples := file(t, `{"parameters":{"type":"graph"},"data":{"nodes":[{"elementId":"4:s:1","labels":["S"],"properties":{"a":1}}],"relationships":[]}}`)
	run(t, []string{"MUSTER_URL=" + g.server.URL, "MUSTER_TOKEN=" + good}, "conform", "echo", "--level", "core",
		"--record", "--record-token-file", other, "--samples", samples).
		want(t, ExitOK, "recorded level core for version 1.2.3 of "+idA)
	var sent struct{ Level, Version, At string }
	last := g.last()
	if err := json.Unmarshal([]byte(last.body), &sent); err != nil || sent.Level != "core" || sent.Version != "1.2.3" || sent.At == "" {
		t.Errorf("%v %+v", err, sent)
	}
	if got := last.header.Get("Authorization"); got != "Bearer another.token.here" {
		t.Errorf("recorded with %q", got)
	}
	run(t, []string{"MUSTER_URL=" + g.server.URL, "MUSTER_TOKEN=" + good}, "conform", "nobody").want(t, ExitNotFound)
}

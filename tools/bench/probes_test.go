package main

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheProxyCountsEveryByte(t *testing.T) {
	const n, times = 1_000, 3
	var proxy countingProxy
	proxy.worker = worker(t, 0, n)
	to := target{addr: serving(t, proxy.serve), path: "/filter"}
	for range times {
		got, err := once(t.Context(), to, requestBody(n))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(answerBody(n, 0, false)) {
			t.Error("the proxy changed the answer")
		}
	}
	if want := int64(times * len(to.request(requestBody(n)))); proxy.sent.Load() != want {
		t.Errorf("%d bytes to the worker, want %d", proxy.sent.Load(), want)
	}
	if want := int64(times * len(response(answerBody(n, 0, false)))); proxy.answered.Load() != want {
		t.Errorf("%d bytes from the worker, want %d", proxy.answered.Load(), want)
	}
}

func TestTheProxyEndsWithoutAWorker(t *testing.T) {
	proxy := countingProxy{worker: "127.0.0.1:1"}
	to := target{addr: serving(t, proxy.serve), path: "/filter"}
	if _, err := once(t.Context(), to, requestBody(2)); err == nil {
		t.Error("no worker, and yet an answer")
	}
}

func TestSlope(t *testing.T) {
	sizes := []int{1_000, 10_000, 100_000}
	of := func(power float64) map[int][]sample {
		all := map[int][]sample{}
		for _, n := range sizes {
			for range 3 {
				all[n] = append(all[n], sample{CPU: time.Duration(100 * math.Pow(float64(n), power)), Requests: 1, Elapsed: 1})
			}
		}
		return all
	}
	for _, power := range []float64{0.5, 1, 1.2} {
		if got := slopeOf(sizes, of(power)); math.Abs(got.value-power) > 0.01 || got.spread > 0.01 || got.refused != "" {
			t.Errorf("a slope of %g comes out as %+v", power, got)
		}
	}
	none := of(1)
	none[1_000][1].CPU, none[1_000][0].CPU, none[1_000][2].CPU = 0, 0, 0
	if got := slopeOf(sizes, none); got.refused == "" {
		t.Errorf("no CPU time gives %+v", got)
	}
}

func TestMetric(t *testing.T) {
	addr := serving(t, func(ctx context.Context, l net.Listener) error {
		return serveHTTP(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			// The test fails on what is read, whatever the write says.
			_, _ = w.Write([]byte("# HELP go_goroutines x\ngo_goroutines_more 8\ngo_goroutines 7\ngo_memstats_mallocs_total 1.5e+06\n"))
		}))
	})
	g := &gateway{ops: addr, client: &http.Client{Transport: newTransport()}}
	t.Cleanup(g.client.CloseIdleConnections)
	for name, want := range map[string]float64{"go_goroutines": 7, "go_memstats_mallocs_total": 1.5e6} {
		if got, err := g.metric(t.Context(), name); err != nil || got != want {
			t.Errorf("%s is %g, %v", name, got, err)
		}
	}
	if _, err := g.metric(t.Context(), "go_gorout"); err == nil {
		t.Error("half a name is no metric")
	}
}

func TestTokens(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	listeners, err := listen(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	issuer, done, err := newTestIssuer(ctx, listeners[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	var raws []string
	for i := range 20 {
		raw, err := issuer.sign(i)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) < 800 || len(raw) > 1_200 || slices.Contains(raws, raw) {
			t.Errorf("token %d has %d bytes", i, len(raw))
		}
		raws = append(raws, raw)
	}
	var all tokenTimes
	if err := issuer.round(ctx, raws, &all); err != nil {
		t.Fatal(err)
	}
	if all.own[0] <= 0 || all.peer[0] <= 0 || all.cached[0] <= 0 || all.cached[0] >= all.own[0] {
		t.Errorf("a cached token is no cheaper than a new one: %+v", all)
	}
	raws[3] = raws[3][:len(raws[3])-8] + "AAAAAAAA"
	if err := issuer.round(ctx, raws, &all); err == nil {
		t.Error("a token with another signature passes")
	}
}

func TestTimeEach(t *testing.T) {
	calls := 0
	var kept [][]byte
	_, objects, err := timeEach(1_000, func(i int) error {
		calls++
		kept = append(kept[:0], make([]byte, 100+i%2))
		return nil
	})
	if err != nil || calls != 1_000 || objects < 1 || objects > 1.5 {
		t.Errorf("%d calls, %g objects each, %v", calls, objects, err)
	}
	wrong := errors.New("wrong")
	if _, _, err := timeEach(3, func(int) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("got %v", err)
	}
}

func TestInFlight(t *testing.T) {
	if got := (memoryCell{n: 100_000, c: 1}).inFlight(); math.Abs(got-233.7e6) > 1e5 {
		t.Errorf("%g bytes, want the design's 234 MB", got)
	}
}

// The programs are other ones; what they say is taken by its keys.
func TestPrograms(t *testing.T) {
	for _, p := range programs() {
		t.Run(p.name, func(t *testing.T) {
			values := map[string]value{}
			for _, r := range p.bars {
				values[r.key] = value{Value: 3, Spread: 0.5}
			}
			said := func(values map[string]value) string {
				text, err := json.Marshal(figure{Rows: [][]string{{"engine"}}, Values: values})
				if err != nil {
					t.Fatal(err)
				}
				dir := t.TempDir()
				script := "#!/bin/sh\n[ \"$1\" = -quick ] || exit 3\ncat <<'END'\n" + string(text) + "\nEND\n"
				if err := os.WriteFile(filepath.Join(dir, p.file), []byte(script), 0o700); err != nil {
					t.Fatal(err)
				}
				return dir
			}
			got, err := p.measure(t.Context(), &bench{programs: said(values), plan: plan{quick: true}})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range p.probe().bars {
				if got.Values[b.name].Value != 3 || got.Title != p.title {
					t.Errorf("%s is %+v under %q", b.name, got.Values[b.name], got.Title)
				}
			}
			if _, err := p.measure(t.Context(), &bench{programs: said(values)}); err == nil || !strings.Contains(err.Error(), "exit status 3") {
				t.Errorf("a program that fails: %v", err)
			}
			delete(values, p.bars[1].key)
			if _, err := p.measure(t.Context(), &bench{programs: said(values), plan: plan{quick: true}}); err == nil || !strings.Contains(err.Error(), p.bars[1].key) {
				t.Errorf("a program that leaves something out: %v", err)
			}
		})
	}
}

// The rules that alice gets in a gateway show her every node of a request whole.
func TestGateRulesShowAll(t *testing.T) {
	first := gatePost()["rules"].([]map[string]any)[0]
	if _, conditional := first["propertyValueConditions"]; conditional {
		t.Error("the rule that shows all has a condition")
	}
	var n struct {
		Labels     []string
		Properties map[string]any
	}
	if err := json.Unmarshal([]byte(node(0)), &n); err != nil {
		t.Fatal(err)
	}
	entity := gateModel()["entities"].([]gateEntity)[0]
	if !slices.Equal(n.Labels, []string{entity.Title}) || len(entity.Properties) != len(n.Properties) {
		t.Errorf("the model's %s has %d properties; nodes are %v with %d", entity.Title, len(entity.Properties), n.Labels, len(n.Properties))
	}
	listed := first["entities"].([]any)[0].(map[string]any)["properties"].([]int)
	for i, p := range entity.Properties {
		if _, ok := n.Properties[p.Title]; !ok || listed[i] != p.ID {
			t.Errorf("property %s is not shown", p.Title)
		}
	}
	conditions := 0
	for _, r := range gatePost()["rules"].([]map[string]any) {
		if r["propertyValueConditions"] != nil {
			conditions++
		}
	}
	if conditions != gateRules/2 {
		t.Errorf("%d of %d rules have a condition", conditions, gateRules)
	}
}

package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/proto/fault"
)

const graph = `{"parameters":{"type":"graph"},"data":{"nodes":[
{"elementId":"4:x:1","labels":["Person"],"properties":{"name":"one","ssn":"1"}},
{"elementId":"4:x:2","labels":["Secret"],"properties":{}}],"relationships":[
{"elementId":"5:x:1","type":"KNOWS","startNodeLabel":"Person","endNodeLabel":"Secret","startNodeElementId":"4:x:1","endNodeElementId":"4:x:2","properties":{}}]}}`

const graphAnswer = `{"result":{"nodes":[{"elementId":"4:x:1","labels":["Person"],"properties":{"name":"one"}}],"relationships":[]},
"explain":[{"kind":"nodes","elementId":"4:x:2","verdict":"hidden","by":[{"worker":{"uuid":"u","name":"clearance"},"reason":"secret"}]}]}`

func TestFilter(t *testing.T) {
	g := newGateway(t)
	g.with("POST "+filterPath, func(w http.ResponseWriter) {
		w.Header().Set("Muster-Decision", "0199-decision")
		w.Header().Set("Muster-Revision", "7")
		w.Header().Set("Muster-Complete", "true")
		if _, err := w.Write([]byte(graphAnswer)); err != nil {
			t.Error(err)
		}
	})
	name := file(t, graph)
	r := g.run("filter", name, "--explain", "--timeout", "1.5s")
	r.want(t, ExitOK, "decision 0199-decision, revision 7, complete true")
	if got := g.last(); got.line != "POST "+filterPath+"?explain=true" || got.header.Get("Request-Timeout") != "1500ms" || got.body != graph {
		t.Errorf("asked %+v", got)
	}
	var rows [][]string
	for line := range strings.Lines(r.out) {
		rows = append(rows, strings.Fields(line))
	}
	want := [][]string{
		{"KIND", "ELEMENT", "LABELS", "OR", "TYPE", "VERDICT", "STRIPPED", "BY"},
		{"node", "4:x:1", "Person", "stripped", "ssn", "-"},
		{"node", "4:x:2", "Secret", "hidden", "-", "clearance:", "secret"},
		{"relationship", "5:x:1", "KNOWS", "hidden", "-", "-"},
	}
	if !reflect.DeepEqual(rows, want) {
		t.Errorf("table:\n%s", r.out)
	}
	r = runIn(t, t.Context(), strings.NewReader(graph), []string{"MUSTER_URL=" + g.server.URL}, "filter", "-", "-o", "json")
	if r.want(t, ExitOK); r.out != graphAnswer+"\n" {
		t.Errorf("the body is not printed as it came: %s", r.out)
	}
	g.run("filter", name, "-o", "yaml").want(t, ExitOK, "result:", "elementId: 4:x:1")
	g.run("filter", name, "--timeout", "-1s").want(t, ExitUsage)
}

// The contract's error bodies name the worker that is to blame.
func TestFilterErrors(t *testing.T) {
	g := newGateway(t)
	name := file(t, `{"parameters":{"type":"nodes"},"data":[]}`)
	g.with("POST "+filterPath, fault.New(fault.BadWorker, "worker_violation", "the worker lied").By(idA, "clearance\x1b").WriteContract)
	r := g.run("filter", name)
	r.want(t, ExitFailed, "worker_violation: worker clearance\\x1b ("+idA+"): the worker lied")
	g.with("POST "+filterPath, fault.New(fault.Unavailable, "worker_unreachable", "").WriteContract)
	g.run("filter", name).want(t, ExitUnavailable, "worker_unreachable")
	g.on("POST "+filterPath, http.StatusOK, `{"result":{"nodes":[]}}`)
	g.run("filter", name).want(t, ExitOK)
	g.run("filter", file(t, "hello")).want(t, ExitFailed, "no table can be made of it")
	g.run("filter", file(t, `{"data":[]}`)).want(t, ExitFailed, "parameters.type is missing")
}

func TestCleanLeavesNothingThatMovesTheCursor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		got := clean(text)
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Fatalf("%q holds %U", got, r)
			}
		}
		if clean(got) != got {
			t.Fatalf("%q is cleaned twice", got)
		}
	})
	if got := clean("bad\xffbyte"); got != `bad\ufffdbyte` {
		t.Errorf("%q", got)
	}
}

// YAML says what JSON said, whatever strings, numbers and nesting there are.
func TestYAMLIsTheSameDocument(t *testing.T) {
	value := rapid.Deferred(func() *rapid.Generator[any] { return anyValue(3) })
	rapid.Check(t, func(t *rapid.T) {
		doc := map[string]any{"v": value.Draw(t, "value")}
		raw := must(json.Marshal(doc))
		var out bytes.Buffer
		if err := writeYAML(&out, raw); err != nil {
			t.Fatal(err)
		}
		var back map[string]any
		if err := yaml.Unmarshal(out.Bytes(), &back); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		if again := must(json.Marshal(back)); !bytes.Equal(raw, again) {
			t.Fatalf("%s\nbecame\n%s\nby\n%s", raw, again, out.String())
		}
	})
}

func anyValue(depth int) *rapid.Generator[any] {
	leaf := rapid.OneOf(
		rapid.Map(rapid.StringOf(rapid.RuneFrom([]rune("aé日\n\t: -#'\"{}[]~!&*yesnoNULL01.e"))), toAny[string]),
		rapid.Map(rapid.SampledFrom([]string{"true", "no", "null", "~", "1", "1e3", "0x1", "2026-01-01", "", "<<", "=", "\u2028", "\x01"}), toAny[string]),
		rapid.Map(rapid.IntRange(-1000000, 1000000), toAny[int]),
		rapid.Map(rapid.Bool(), toAny[bool]),
		rapid.Just[any](nil),
	)
	if depth == 0 {
		return leaf
	}
	inner := anyValue(depth - 1)
	return rapid.OneOf(leaf,
		rapid.Map(rapid.SliceOfN(inner, 0, 3), toAny[[]any]),
		rapid.Map(rapid.MapOfN(rapid.String(), inner, 0, 3), toAny[map[string]any]))
}

func toAny[T any](v T) any { return v }

func TestAges(t *testing.T) {
	now := time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)
	for text, d := range map[string]time.Duration{
		"0s": -time.Second, "90s": 90 * time.Second, "5m": 5 * time.Minute, "3h": 3 * time.Hour, "9d": 9 * 24 * time.Hour,
	} {
		if got := age(now.Add(-d), now); got != text {
			t.Errorf("%s: %s", d, got)
		}
	}
	if age(time.Time{}, now) != "" {
		t.Error("never is an age")
	}
}

// Progress is for terminals, for work that takes a while, and leaves nothing.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	s := &shell{Process: Process{Err: &out}}
	s.progress("x")()
	s.Terminal = true
	s.progress("x")()
	if out.Len() != 0 {
		t.Errorf("shown: %q", out.String())
	}
	synctest.Test(t, func(t *testing.T) {
		stop := s.progress("reading \x1b[31mred")
		time.Sleep(3500 * time.Millisecond) // of the bubble's time
		stop()
	})
	if got := out.String(); !strings.Contains(got, `reading \x1b[31mred … 3s`) || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("shown: %q", got)
	}
}

func TestVersion(t *testing.T) {
	run(t, nil, "version").want(t, ExitOK, "v9.9.9", "go1.")
	var v versions
	if err := json.Unmarshal([]byte(run(t, nil, "version", "-o", "json").out), &v); err != nil || v.Version != "v9.9.9" {
		t.Errorf("%+v %v", v, err)
	}
}

func TestConfigCheck(t *testing.T) {
	env := []string{"MUSTER_AUTH_ISSUER=https://id.example.test/", "MUSTER_AUTH_AUDIENCE=m", "MUSTER_PORT=tcp://10.0.0.1:1"}
	run(t, env, "config", "check", "--http", "127.0.0.1:1", "--log.format", "text", "--ops-pprof").
		want(t, ExitOK, "--http-addr", "--log-format", "--ops-pprof", "MUSTER_AUTH_ISSUER", "warning: ignored")
	r := run(t, append(env, "MUSTER_STORE=postgres://u:hunter2@db/m"), "config", "check", "-o", "json")
	r.want(t, ExitOK, `"value": "postgres://u:(secret)@db/m"`)
	if strings.Contains(r.out+r.err, "hunter2") {
		t.Error("the password shows")
	}
	run(t, append(env, "MUSTER_HTTP_ADR=x"), "config", "check", "--config", "/does/not/exist", "--store", "postgres://u:hunter2@db/m").
		want(t, ExitUsage, "3 mistakes", "/does/not/exist: cannot be read", "MUSTER_HTTP_ADR", "--store: store holds a password")
}

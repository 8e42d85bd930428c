package celfilter_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/workers/celfilter"
	"github.com/muster-fleet/muster/workers/worker"
	"github.com/muster-fleet/muster/workers/workertest"
)

// clause is a rule of the property test.
type clause struct{ when, decide string }

func (c clause) text(i int) string {
	out := fmt.Sprintf("  - name: r%d\n    when: |\n      %s\n    decide: %s\n", i, c.when, c.decide)
	if c.decide == "strip" {
		out += "    properties: [a]\n"
	}
	return out
}

// Whatever the rules, an element that is shown was kept by a rule that was
// evaluated without failure, and no rule before it hid it or failed.
func TestFailClosed(t *testing.T) {
	atoms := []string{
		"true", "false", "element.properties.a == 1", "element.properties.b < 'x'", "claims.clearance >= 2",
		"element.labels[1] == 'B'", "'Secret' in element.labels", "element.properties.a", "1 / element.properties.zero == 1",
		"'/staff' in principal.groups", "element.properties.l.all(x, x > 0)",
	}
	rapid.Check(t, func(rt *rapid.T) {
		rules := make([]clause, rapid.IntRange(1, 5).Draw(rt, "rules"))
		text := "rules:\n"
		for i := range rules {
			rules[i] = clause{
				when: rapid.SampledFrom(atoms).Draw(rt, "a") + rapid.SampledFrom([]string{" && ", " || "}).Draw(rt, "op") +
					rapid.SampledFrom(atoms).Draw(rt, "b"),
				decide: rapid.SampledFrom([]string{"keep", "hide", "strip"}).Draw(rt, "decide"),
			}
			text += rules[i].text(i)
		}
		properties := rapid.SampledFrom([]string{
			``, `"a":1`, `"a":"x","b":"a"`, `"b":3,"zero":0`, `"l":[1,2],"a":null`, `"l":[0,"x"],"a":true`,
		}).Draw(rt, "properties")
		e := node("1", rapid.SampledFrom([]string{"A", "Secret"}).Draw(rt, "label"), properties)
		if got, want := visible(rt, text, e), oracle(rt, rules, e); got != want {
			rt.Fatalf("shown %t, want %t\n%s\n%s", got, want, text, e)
		}
	})
}

// oracle asks rule by rule, through policies of one rule each, and puts the answers
// together by the documentation's words.
func oracle(t *rapid.T, rules []clause, e string) bool {
	for _, r := range rules {
		alone := "rules:\n" + clause{r.when, "keep"}.text(0)
		holds, failed := visible(t, alone, e), !visible(t, "default: keep\n"+alone, e)
		switch {
		case failed, holds && r.decide == "hide":
			return false
		case holds && r.decide == "keep":
			return true
		}
	}
	return false
}

func visible(t *rapid.T, policy, e string) bool {
	p, err := celfilter.ParsePolicy("p", []byte(policy))
	if err != nil {
		t.Fatalf("%v\n%s", err, policy)
	}
	el, err := worker.ParseElement(worker.Nodes, []byte(e))
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.Judge(context.Background(), crowd()["alice"], el)
	if err != nil {
		t.Fatal(err)
	}
	return v.Visible()
}

func TestConforms(t *testing.T) {
	is, err := workertest.NewIssuer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer is.Close()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	write(t, file, `
rules:
  - {name: no secrets, kind: node, when: '"Secret" in element.labels', decide: hide}
  - {name: ssn, when: 'true', decide: strip, properties: [ssn]}
  - {name: the rest, when: 'principal.username == "alice"', decide: keep}
`)
	f, err := celfilter.New(file, quiet())
	if err != nil {
		t.Fatal(err)
	}
	listening := make(chan worker.Addresses, 1)
	w, err := worker.New(t.Context(), worker.Config{
		UUID: "0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11", Version: "1", JudgeBatch: f.JudgeBatch, Logger: quiet(),
		Auth: worker.Auth{Issuer: is.URL(), Audience: workertest.Audience}, DrainGrace: -1,
		Addr: "127.0.0.1:0", GRPCAddr: "127.0.0.1:0", Listening: func(a worker.Addresses) { listening <- a },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	a := <-listening
	for name, url := range map[string]string{"rest": "http://" + a.REST + worker.DefaultPath, "grpc": "grpc://" + a.GRPC} {
		t.Run(name, func(t *testing.T) {
			if r := workertest.RunT(t, workertest.Options{URL: url, Tokens: is, AnswerWithin: time.Minute}); r.Level() != workertest.Laws {
				t.Errorf("level %s", r.Level())
			}
		})
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("rules: []"))
	f.Add([]byte("rules:\n - {name: a, when: 'has(element.properties.x)', decide: strip, properties: [x]}"))
	f.Add([]byte("rules: &x [*x]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := celfilter.ParsePolicy("p", text)
		if (p == nil) == (err == nil) {
			t.Fatalf("%v %v", p, err)
		}
	})
}

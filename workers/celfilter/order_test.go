package celfilter_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/workers/celfilter"
	"github.com/muster-fleet/muster/workers/worker"
)

// drawnRule is a rule whose outcome is known beforehand.
type drawnRule struct {
	kind, decide, missing, outcome string
	properties                     []string
}

// The expressions by their outcome on every element of the test below.
var outcomes = map[string][]string{
	"true":   {"true", "1 < 2", "element.properties.one == 1", "has(element.properties.one)", "element.properties.gone == 1 || true"},
	"false":  {"false", "element.properties.one == 2", "has(element.properties.gone)", "element.properties.gone == 1 && false"},
	"absent": {"element.properties.gone == 1", "claims.gone == 'x'", "element.properties.list[9] == 1", "element.properties.map.gone.deeper"},
	"failed": {"element.properties.one < 'text'", "element.properties.one", "element.properties.one / 0 == 1", "int(element.id) == 1", "element.properties.huge > 1"},
}

func drawRule(t *rapid.T) drawnRule {
	r := drawnRule{
		kind:    rapid.SampledFrom([]string{"", "node", "relationship"}).Draw(t, "kind"),
		decide:  rapid.SampledFrom([]string{"keep", "hide", "strip"}).Draw(t, "decide"),
		missing: rapid.SampledFrom([]string{"", "hide", "skip", "match"}).Draw(t, "missing"),
		outcome: rapid.SampledFrom([]string{"true", "false", "absent", "failed"}).Draw(t, "outcome"),
	}
	if r.decide == "strip" {
		r.properties = rapid.SliceOfN(rapid.SampledFrom([]string{"one", "list", "gone", "a b"}), 1, 3).Draw(t, "properties")
	}
	return r
}

func (r *drawnRule) yaml(t *rapid.T, i int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: r%d\n    when: |\n      %s\n    decide: %s\n", i, rapid.SampledFrom(outcomes[r.outcome]).Draw(t, "when"), r.decide)
	for key, value := range map[string]string{"kind": r.kind, "missing": r.missing} {
		if value != "" {
			fmt.Fprintf(&b, "    %s: %s\n", key, value)
		}
	}
	if r.properties != nil {
		fmt.Fprintf(&b, "    properties: [%s]\n", strings.Join(r.properties, ", "))
	}
	return b.String()
}

// model is what the documentation says of rules: in order, the first that decides;
// trouble hides; a strip goes on.
func model(rules []drawnRule, kind string, keepByRest bool) (visible bool, strips []string) {
	for _, r := range rules {
		if r.kind != "" && r.kind != kind {
			continue
		}
		holds := r.outcome == "true"
		switch r.outcome {
		case "failed":
			return false, nil
		case "absent":
			switch r.missing {
			case "", "hide":
				return false, nil
			case "match":
				holds = true
			}
		}
		if !holds {
			continue
		}
		switch r.decide {
		case "hide":
			return false, nil
		case "keep":
			return true, strips
		default:
			strips = append(strips, r.properties...)
		}
	}
	return keepByRest, strips
}

// Whatever the rules are, they decide as the documentation says.
func TestRulesDecideInOrder(t *testing.T) {
	properties := `{"one":1,"list":[1,2],"map":{},"huge":123456789012345678901234567890}`
	var elements []worker.Element
	for kind, text := range map[worker.Kind]string{
		worker.Nodes:         `{"elementId":"n","labels":[],"properties":` + properties + `}`,
		worker.Relationships: `{"elementId":"r","type":"T","startNodeElementId":"a","endNodeElementId":"b","properties":` + properties + `}`,
	} {
		e, err := worker.ParseElement(kind, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		elements = append(elements, e)
	}
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(rapid.Custom(drawRule), 0, 6).Draw(t, "rules")
		rest := rapid.SampledFrom([]string{"", "hide", "keep"}).Draw(t, "default")
		text := "rules:\n"
		if len(rules) == 0 {
			text = "rules: []\n"
		}
		if rest != "" {
			text = "default: " + rest + "\n" + text
		}
		for i := range rules {
			text += rules[i].yaml(t, i)
		}
		p, err := celfilter.ParsePolicy("p.yaml", []byte(text))
		if err != nil || p.Len() != len(rules) {
			t.Fatalf("%v\n%s", err, text)
		}
		for _, e := range elements {
			kind := "relationship"
			if e.Kind() == worker.Nodes {
				kind = "node"
			}
			visible, strips := model(rules, kind, rest == "keep")
			v, err := p.Judge(t.Context(), &worker.Principal{Username: "alice", Claims: []byte(`{"clearance":2}`)}, e)
			if err != nil || v.Err() != nil || v.Visible() != visible || visible && !slices.Equal(v.Strips(), strips) {
				t.Fatalf("a %s: visible %v without %q (%v, %v); want %v without %q\n%s", kind, v.Visible(), v.Strips(), err, v.Err(), visible, strips, text)
			}
			if v.Reason() == "" && !v.Whole() {
				t.Fatalf("no reason is given for a %s\n%s", kind, text)
			}
		}
	})
}

// A policy is one document: what stood in another would be left out, and with it
// what was to be hidden.
func TestOnePolicyPerFile(t *testing.T) {
	const first = "default: keep\nrules: []\n"
	for name, c := range map[string]struct{ text, want string }{
		"a second document":   {first + "---\nrules:\n  - {name: a, when: 'true', decide: hide}\n", "p.yaml:3:1: a second document begins"},
		"an empty second one": {first + "---\n", "a second document begins"},
		"no YAML behind it":   {first + "---\n\t:\n  - [", "not YAML"},
		"no YAML":             {"rules: [", "p.yaml:1:1: not YAML"},
		"nothing":             {"", "the file is empty"},
		"comments alone":      {"# rules: []\n", "the file is empty"},
		"null":                {"~\n", "must be a mapping"},
	} {
		_, err := celfilter.ParsePolicy("p.yaml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for name, text := range map[string]string{"a beginning": "---\n" + first, "an end": first + "...\n", "a comment behind": first + "# the end\n"} {
		if _, err := celfilter.ParsePolicy("p.yaml", []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a token claims is what expressions see; claims that are no object are no
// reason to guess.
func TestClaims(t *testing.T) {
	e, err := worker.ParseElement(worker.Nodes, []byte(`{"elementId":"n","labels":[],"properties":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		when, claims string
		visible, bad bool
	}{
		{`claims.level == 2`, `{"level":2}`, true, false},
		{`claims.level == 2`, `{"level":2.0}`, true, false},
		{`claims.level == 2`, `{"level":"2"}`, false, false},
		{`"a" in claims.list`, `{"list":["a"]}`, true, false},
		{`claims.deep.er == true`, `{"deep":{"er":true}}`, true, false},
		{`size(claims) == 0`, ``, true, false},
		{`claims.huge > 1`, `{"huge":18446744073709551616}`, false, false},
		{`claims.unsigned == 18446744073709551615u`, `{"unsigned":18446744073709551615}`, true, false},
		{`true`, `[]`, false, true},
		{`true`, `{"a":`, false, true},
	} {
		p, err := celfilter.ParsePolicy("p", []byte("rules:\n  - name: r\n    when: '"+c.when+"'\n    decide: keep\n"))
		if err != nil {
			t.Fatal(err)
		}
		v, err := p.Judge(t.Context(), &worker.Principal{Claims: []byte(c.claims)}, e)
		if v.Visible() != c.visible || (err != nil) != c.bad {
			t.Errorf("%s with %s: visible %v, %v", c.when, c.claims, v.Visible(), err)
		}
	}
}

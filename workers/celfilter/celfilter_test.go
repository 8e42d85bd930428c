package celfilter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/celfilter"
	"github.com/muster-fleet/muster/workers/token"
	"github.com/muster-fleet/muster/workers/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func write(t testing.TB, file, text string) {
	t.Helper()
	// Written aside and renamed, as editors and Kubernetes do.
	aside := file + ".new"
	if err := os.WriteFile(aside, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, file); err != nil {
		t.Fatal(err)
	}
}

// people is a verifier whose tokens are the principals' names.
type people map[string]*token.Principal

func (p people) Verify(_ context.Context, raw string) (*token.Principal, error) {
	if who, ok := p[raw]; ok {
		return who, nil
	}
	return nil, fault.New(fault.Unauthenticated, "invalid_token", "nobody")
}

func crowd() people {
	return people{
		"alice": {Username: "alice", Groups: []string{"/staff"}, Claims: []byte(`{"clearance":3,"big":123456789012345678901234567890}`)},
		"bob":   {Username: "bob", Claims: []byte(`{}`)},
		"admin": {Username: "admin", Groups: []string{"/staff", "/hr"}, RealmRoles: []string{"muster-admin"}, Email: "admin@example.org", EmailVerified: true},
	}
}

// serve starts a worker with a policy and returns its URL and its filter.
func serve(t *testing.T, policy string) (string, *celfilter.Filter, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	write(t, file, policy)
	f, err := celfilter.New(file, quiet())
	if err != nil {
		t.Fatal(err)
	}
	w, err := worker.New(t.Context(), worker.Config{
		UUID: "0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11", Version: "1", JudgeBatch: f.JudgeBatch, Verifier: crowd(), Logger: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	s := httptest.NewServer(w.Handler())
	t.Cleanup(s.Close)
	return s.URL + worker.DefaultPath, f, file
}

// ask returns the elements that a person sees, or the error's code.
func ask(t testing.TB, url, who, kind string, elements ...string) []string {
	t.Helper()
	body := `{"parameters":{"type":"` + kind + `"},"data":[` + strings.Join(elements, ",") + `]}`
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+who)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Error  string
		Result map[string][]json.RawMessage
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if out.Error != "" {
		return []string{"error " + out.Error}
	}
	list := []string{}
	for _, e := range out.Result[kind] {
		list = append(list, string(e))
	}
	return list
}

func node(id, label, properties string) string {
	return fmt.Sprintf(`{"elementId":%q,"labels":[%q],"properties":{%s}}`, id, label, properties)
}

const example = `
rules:
  - name: no secrets
    when: '"Secret" in element.labels'
    decide: hide
  - name: ssn is for hr
    when: '!("/hr" in principal.groups)'
    decide: strip
    properties: [ssn]
  - name: staff see what is not too confidential
    kind: node
    when: '"/staff" in principal.groups && element.properties.level <= 2'
    decide: keep
    missing: skip
  - name: cleared people see their level
    when: |
      kind == "node" &&
      element.properties.level <= claims.clearance
    decide: keep
  - name: containment is public
    kind: relationship
    when: element.type == "CONTAINS" && element.startLabel != "Secret"
    decide: keep
`

func TestPolicyDecides(t *testing.T) {
	url, _, _ := serve(t, example)
	low, high, odd := node("1", "A", `"level":2,"ssn":"s"`), node("2", "A", `"level":3`), node("3", "A", `"level":"x"`)
	secret, plain := node("4", "Secret", `"level":0`), node("5", "A", ``)
	for _, c := range []struct {
		who  string
		want []string
	}{
		{"alice", []string{node("1", "A", `"level":2`), high}},
		{"admin", []string{low}},
		{"bob", []string{}},
	} {
		if got := ask(t, url, c.who, "nodes", low, high, odd, secret, plain); !slices.Equal(got, c.want) {
			t.Errorf("%s sees %v\nwant %v", c.who, got, c.want)
		}
	}
	rel := func(name, label string) string {
		return fmt.Sprintf(`{"elementId":"r-%s-%s","type":%q,"startNodeElementId":"1","endNodeElementId":"2","startNodeLabel":%q,"endNodeLabel":"B","properties":{}}`,
			name, label, name, label)
	}
	got := ask(t, url, "bob", "relationships", rel("CONTAINS", "A"), rel("CONTAINS", "Secret"), rel("KNOWS", "A"))
	if !slices.Equal(got, []string{rel("CONTAINS", "A")}) {
		t.Errorf("bob sees %v", got)
	}
}

func TestMissingAttribute(t *testing.T) {
	rule := func(decide, extra string) string {
		return "default: keep\nrules:\n  - name: r\n    when: element.properties.x == 1\n    decide: " + decide + "\n" + extra
	}
	without := node("1", "A", `"y":1`)
	for _, c := range []struct {
		name, policy string
		shown        string
	}{
		{"hides by default, a keep rule too", rule("keep", ""), ""},
		{"hides by default, a strip rule too", rule("strip", "    properties: [y]\n"), ""},
		{"said so", rule("keep", "    missing: hide\n"), ""},
		{"skip goes on", rule("hide", "    missing: skip\n"), without},
		{"match holds", rule("hide", "    missing: match\n"), ""},
		{"match strips", rule("strip", "    properties: [y]\n    missing: match\n"), node("1", "A", "")},
		{"a claim", strings.Replace(rule("keep", ""), "element.properties.x", "claims.nobody", 1), ""},
		{"a list entry", strings.Replace(rule("keep", ""), "element.properties.x == 1", `element.labels[7] == "A"`, 1), ""},
		{"a list entry skipped", strings.Replace(rule("hide", "    missing: skip\n"), "element.properties.x == 1", `element.labels[7] == "A"`, 1), without},
		{"has", strings.Replace(rule("hide", ""), "element.properties.x == 1", "has(element.properties.x)", 1), without},
		{"absorbed by or", strings.Replace(rule("keep", ""), "element.properties.x == 1", "element.properties.x == 1 || true", 1), without},
		{"wrong type is no missing attribute", strings.Replace(rule("hide", "    missing: skip\n"), "element.properties.x == 1", "element.properties.y < 'a'", 1), ""},
		{"not a boolean", strings.Replace(rule("keep", ""), "element.properties.x == 1", "element.properties.y", 1), ""},
	} {
		url, _, _ := serve(t, c.policy)
		if got := strings.Join(ask(t, url, "bob", "nodes", without), ""); got != c.shown {
			t.Errorf("%s: %q; want %q", c.name, got, c.shown)
		}
	}
}

func TestNumbersAreExact(t *testing.T) {
	url, _, _ := serve(t, "rules:\n  - {name: a, when: 'element.properties.n == 9007199254740993', decide: keep}\n")
	for value, shown := range map[string]bool{
		"9007199254740993": true, "9007199254740992": false, "123456789012345678901234567890": false, "1e400": false, `"9007199254740993"`: false,
	} {
		if got := len(ask(t, url, "bob", "nodes", node("1", "A", `"n":`+value))) == 1; got != shown {
			t.Errorf("%s shown: %t", value, got)
		}
	}
	url, _, _ = serve(t, "rules:\n  - {name: a, when: 'claims.big > 1', decide: keep}\n")
	if got := ask(t, url, "alice", "nodes", node("1", "A", "")); len(got) != 0 {
		t.Errorf("a number out of range decided: %v", got)
	}
}

func TestCostIsBounded(t *testing.T) {
	url, _, _ := serve(t, `
default: keep
rules:
  - name: costly
    when: element.properties.l.all(a, element.properties.l.all(b, element.properties.l.all(c, a + b + c >= 0)))
    decide: keep
`)
	list := strings.TrimSuffix(strings.Repeat("1,", 400), ",")
	small, large := node("1", "A", `"l":[1,2]`), node("2", "A", `"l":[`+list+`]`)
	if got := ask(t, url, "bob", "nodes", small, large); !slices.Equal(got, []string{small}) {
		t.Errorf("%d elements are shown", len(got))
	}
}

func TestMistakesHavePlaces(t *testing.T) {
	policy := `defualt: keep
rules:
  - name: one
    when: '"Secret" in element.lables'
    decide: hide
  - name: two
    when: |
      true &&
        element.nothing == 1
    decide: perhaps
  - name: three
    when: "'a' + 1"
    decide: strip
  - name: one
    kind: edge
    when: '"text"'
    decide: keep
    properties: [a]
    properties: [b]
  - decide: strip
    when: principal.username.matches('[')
    properties: [1, ""]
  - just a text
  - name: four
    when: unknown_name(
    decide: keep
`
	_, err := celfilter.ParsePolicy("p.yaml", []byte(policy))
	if err == nil {
		t.Fatal("a bad policy was taken")
	}
	for _, want := range []string{
		`p.yaml:1:1: a policy has no key "defualt"`,
		`p.yaml:4:31: undefined field 'lables'`,
		`p.yaml:9:16: undefined field 'nothing'`,
		`p.yaml:10:13: decide must be one of`,
		`p.yaml:12:16: found no matching overload`,
		`p.yaml:11:5: a rule that strips needs the key properties`,
		`p.yaml:14:5: the name "one" is that of the rule in line 3`,
		`p.yaml:15:11: kind must be one of`,
		`p.yaml:16:11: when must be true or false`,
		`p.yaml:19:5: the key "properties" is there twice`,
		`p.yaml:18:17: properties belongs to rules that strip`,
		`p.yaml:20:5: a rule needs the key name`,
		`p.yaml:22:18: the name of a property must be a text`,
		`p.yaml:22:21: the name of a property must be a text`,
		`p.yaml:23:5: a rule must be a mapping`,
		`p.yaml:25:`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q in\n%v", want, err)
		}
	}
	for _, text := range []string{"", "rules: {}", "- a", "rules:\n\t- x", "default: keep", "rules: [", "rules: &a []\nmore: *a"} {
		if _, err := celfilter.ParsePolicy("p.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "p.yaml") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestBadPolicyRefusesToStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	if _, err := celfilter.New(file, quiet()); err == nil {
		t.Error("a policy that is not there was taken")
	}
	write(t, file, "rules: 1")
	if _, err := celfilter.New(file, quiet()); err == nil {
		t.Error("a bad policy was taken")
	}
}

func TestReloadKeepsTheLastGoodPolicy(t *testing.T) {
	url, f, file := serve(t, "default: keep\nrules: []\n")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	n := node("1", "A", "")
	shown := func() int { return len(ask(t, url, "bob", "nodes", n)) }
	until := func(what string, ok func() bool) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for !ok() {
			if time.Now().After(deadline) {
				t.Fatal(what)
			}
		}
	}
	if shown() != 1 {
		t.Fatal("the first policy shows nothing")
	}
	write(t, file, "default: hide\nrules: []\n")
	until("the change was not taken", func() bool { return f.Reloads() == 1 })
	if shown() != 0 {
		t.Error("the old policy still serves")
	}
	write(t, file, "default: perhaps\nrules: []\n")
	write(t, file, "default: keep\nrules: [\n")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	write(t, file, "default: keep\nrules: []\n")
	until("the good policy was not taken after bad ones", func() bool { return f.Reloads() == 2 })
	if shown() != 1 {
		t.Error("the new policy does not serve")
	}
}

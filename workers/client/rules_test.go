package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/client"
)

// ruleGateway answers posts by a list of answers, then with success, and keeps what
// came.
type ruleGateway struct {
	mu      sync.Mutex
	answers []func(http.ResponseWriter)
	paths   []string
	bodies  []string
	tokens  []string
}

func (g *ruleGateway) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paths = append(g.paths, r.URL.Path)
	g.bodies = append(g.bodies, string(body))
	g.tokens = append(g.tokens, r.Header.Get("Authorization"))
	if len(g.answers) > 0 {
		next := g.answers[0]
		g.answers = g.answers[1:]
		next(rw)
		return
	}
	_, _ = io.WriteString(rw, `{"created":["a","b"],"ignored":[],"deleted":["c"],"more":{"x":[1]}}`)
}

func problem(f *fault.Error) func(http.ResponseWriter) {
	return func(rw http.ResponseWriter) { f.WriteProblem(rw) }
}

func breakOff(http.ResponseWriter) { panic(http.ErrAbortHandler) }

func answer(status int, body string) func(http.ResponseWriter) {
	return func(rw http.ResponseWriter) {
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, body)
	}
}

func newRules(t *testing.T, g *ruleGateway, change func(*client.RulesConfig)) *client.Rules {
	t.Helper()
	s := httptest.NewServer(g)
	t.Cleanup(s.Close)
	c := client.RulesConfig{
		Gateway: s.URL + "/base/", Token: func(context.Context) (string, error) { return "secret-token", nil },
		FirstPause: time.Millisecond, MaxPause: 5 * time.Millisecond, Attempts: 4,
	}
	if change != nil {
		change(&c)
	}
	r, err := client.NewRules(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func someRule(name string) client.AccessRule {
	return client.AccessRule{Name: name, Users: []string{"alice"}, Entities: []client.EntityGrant{{ID: 414}}}
}

// The body is the contract's, member by member.
func TestRuleAsTheContractSpellsIt(t *testing.T) {
	g := &ruleGateway{}
	r := newRules(t, g, nil)
	posted, err := r.Post(t.Context(), client.DeleteOnConflict, client.AccessRule{
		Name: "rule-transform-mock-rule1", Inactive: true, Clients: []string{"service-account-user"}, Groups: []string{"Test Group"}, Users: []string{"admin"},
		Entities: []client.EntityGrant{{ID: 414, Properties: []int64{5303, 5296}}}, Relationships: []int64{415}, Functions: []int64{12},
		Conditions: []client.Condition{{Property: 5303, Value: "2500"}},
	}, someRule("b"))
	if err != nil || len(posted.Created) != 2 || len(posted.Deleted) != 1 {
		t.Fatalf("%v %+v", err, posted)
	}
	want := `{"ruleCreationStrategy":"DeleteOnConflict","rules":[{"name":"rule-transform-mock-rule1","accessLevel":"view","active":false,"users":["admin"],` +
		`"groups":["Test Group"],"clients":["service-account-user"],"entities":[{"id":414,"properties":[5303,5296]}],"relationships":[415],` +
		`"propertyValueConditions":[{"PropertyId":5303,"Value":"2500"}],"functions":[12]},` +
		`{"name":"b","accessLevel":"view","active":true,"users":["alice"],"groups":[],"clients":[],"entities":[{"id":414,"properties":[]}],` +
		`"relationships":[],"propertyValueConditions":[],"functions":[]}]}`
	if g.bodies[0] != want || g.paths[0] != "/base/api/graph-access-rule/accessRules" || g.tokens[0] != "Bearer secret-token" {
		t.Errorf("%s %s\n%s", g.paths, g.tokens, g.bodies[0])
	}
}

func TestRulesThatWouldBeRefusedAreNotSent(t *testing.T) {
	g := &ruleGateway{}
	r := newRules(t, g, nil)
	for says, rule := range map[string]client.AccessRule{
		"no name": {Users: []string{"a"}, Entities: []client.EntityGrant{{}}}, "no subject": {Name: "x", Entities: []client.EntityGrant{{}}},
		"neither an entity": {Name: "x", Users: []string{"a"}}, "subjects is empty": {Name: "x", Groups: []string{""}, Relationships: []int64{1}},
		"the id -1": {Name: "x", Groups: []string{"g"}, Relationships: []int64{-1}}, "the id 9007199254740992": {Name: "x", Groups: []string{"g"}, Entities: []client.EntityGrant{{Properties: []int64{1 << 53}}}},
	} {
		if _, err := r.Post(t.Context(), client.Ignore, rule); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
		generation, err := r.NewGeneration()
		if err != nil {
			t.Fatal(err)
		}
		if err := generation.Add(t.Context(), rule); err == nil {
			t.Errorf("%s: taken", says)
		}
		if _, err := generation.Commit(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: committed after a failure: %v", says, err)
		}
	}
	if _, err := r.Post(t.Context(), client.Ignore, someRule("a"), someRule("a")); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("%v", err)
	}
	if len(g.bodies) != 0 {
		t.Errorf("%q", g.bodies)
	}
}

// Chunks keep to both bounds, hold every rule once and in order, and are committed
// under one id.
func TestGenerationsAreCutIntoChunks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := &ruleGateway{}
		most, bytes := rapid.IntRange(1, 7).Draw(rt, "rules"), rapid.IntRange(1, 1200).Draw(rt, "bytes")
		r := newRules(t, g, func(c *client.RulesConfig) { c.MaxRules, c.MaxBytes = most, bytes })
		generation, err := r.NewGeneration()
		if err != nil {
			rt.Fatal(err)
		}
		var want []string
		for i := range rapid.IntRange(0, 20).Draw(rt, "count") {
			name := strings.Repeat("n", rapid.IntRange(0, 300).Draw(rt, "length")) + string(rune('a'+i))
			want = append(want, name)
			if err := generation.Add(rt.Context(), someRule(name)); err != nil {
				rt.Fatal(err)
			}
		}
		counts, err := generation.Commit(rt.Context())
		if err != nil || counts != (client.Counts{Created: 2, Deleted: 1}) || generation.Len() != len(want) {
			rt.Fatalf("%v %+v", err, counts)
		}
		var got []string
		last := len(g.bodies) - 1
		for _, text := range g.bodies[:last] {
			var body struct {
				Strategy   string `json:"ruleCreationStrategy"`
				Generation string
				Rules      []struct{ Name string }
			}
			if err := json.Unmarshal([]byte(text), &body); err != nil || body.Strategy != "DeleteAllForUser" || body.Generation != generation.ID() {
				rt.Fatalf("%v %s", err, text)
			}
			if len(body.Rules) > most || len(body.Rules) > 1 && len(text) > bytes || len(body.Rules) == 0 && len(want) > 0 {
				rt.Fatalf("%d rules in %d bytes", len(body.Rules), len(text))
			}
			for _, rule := range body.Rules {
				got = append(got, rule.Name)
			}
		}
		if !slices.Equal(got, want) || g.bodies[last] != `{"generation":"`+generation.ID()+`"}` || !strings.HasSuffix(g.paths[last], "accessRules:commit") || last == 0 {
			rt.Fatalf("got %q, want %q; %s %s", got, want, g.paths[last], g.bodies[last])
		}
		if err := generation.Add(rt.Context(), someRule("late")); err == nil {
			rt.Fatal("a committed generation takes rules")
		}
	})
}

// What may pass is tried again with the same bytes; what will not is not.
func TestRulesAreRepeated(t *testing.T) {
	unavailable := problem(fault.New(fault.Unavailable, "overloaded", "later").After(time.Second))
	for name, c := range map[string]struct {
		answers []func(http.ResponseWriter)
		calls   int
		code    string
		kind    fault.Kind
	}{
		"503 and a lost connection": {[]func(http.ResponseWriter){unavailable, breakOff, answer(502, "")}, 4, "", 0},
		"answer broken off": {[]func(http.ResponseWriter){func(rw http.ResponseWriter) {
			_, _ = io.WriteString(rw, `{"created":["a`)
			rw.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}}, 2, "", 0},
		"503 for good":         {[]func(http.ResponseWriter){unavailable, unavailable, unavailable, unavailable, unavailable}, 4, "overloaded", fault.Unavailable},
		"gone for good":        {[]func(http.ResponseWriter){breakOff, breakOff, breakOff, breakOff}, 4, "gateway_unreachable", fault.Unavailable},
		"ended":                {[]func(http.ResponseWriter){problem(fault.New(fault.Conflict, "run_ended", "the run has ended"))}, 1, "run_ended", fault.Conflict},
		"superseded":           {[]func(http.ResponseWriter){problem(fault.New(fault.Conflict, "generation_superseded", "newer"))}, 1, "generation_superseded", fault.Conflict},
		"denied":               {[]func(http.ResponseWriter){problem(fault.New(fault.Denied, "denied", "no"))}, 1, "denied", fault.Denied},
		"a contract's error":   {[]func(http.ResponseWriter){answer(401, `{"description":"expired","error":"invalid_token"}`)}, 1, "invalid_token", fault.Unauthenticated},
		"no gateway":           {[]func(http.ResponseWriter){answer(404, "<html>")}, 1, "status_404", fault.NotFound},
		"accepted is not done": {[]func(http.ResponseWriter){answer(202, `{}`)}, 1, "status_202", fault.BadWorker},
		"a redirect":           {[]func(http.ResponseWriter){func(rw http.ResponseWriter) { rw.Header().Set("Location", "/elsewhere"); rw.WriteHeader(307) }}, 1, "status_307", fault.BadWorker},
		"no JSON":              {[]func(http.ResponseWriter){answer(200, "ok")}, 1, "bad_answer", fault.BadWorker},
	} {
		t.Run(name, func(t *testing.T) {
			g := &ruleGateway{answers: c.answers}
			r := newRules(t, g, nil)
			_, err := r.Post(t.Context(), client.DeleteAllForUser, someRule("a"))
			g.mu.Lock() // a handler that broke off has still to end
			defer g.mu.Unlock()
			if len(g.bodies) != c.calls {
				t.Errorf("%d calls", len(g.bodies))
			}
			for _, b := range g.bodies {
				if b != g.bodies[0] {
					t.Errorf("a repetition says something else: %s", b)
				}
			}
			if c.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var f *fault.Error
			if !errors.As(err, &f) || f.Code != c.code || f.Kind != c.kind || strings.Contains(err.Error(), "secret-token") {
				t.Errorf("%v", err)
			}
			if client.Final(err) != (c.kind == fault.Conflict) {
				t.Errorf("final: %t", client.Final(err))
			}
			if errors.Is(err, client.ErrRefused) != (c.code != "gateway_unreachable" && c.code != "bad_answer") {
				t.Errorf("refused: %v", errors.Is(err, client.ErrRefused))
			}
		})
	}
}

func TestRefusedRulesKeepTheirViolations(t *testing.T) {
	f := fault.New(fault.Invalid, "bad_rules", "2 mistakes")
	f.Violations = []fault.Violation{{Code: "no_subject", Pointer: "/rules/0", Detail: "rule a"}, {Code: "no_entity", Pointer: "/rules/1"}}
	r := newRules(t, &ruleGateway{answers: []func(http.ResponseWriter){problem(f)}}, nil)
	_, err := r.Post(t.Context(), client.Ignore, someRule("a"))
	var got *fault.Error
	if !errors.As(err, &got) || got.Detail != "2 mistakes" || !slices.Equal(got.Violations, f.Violations) {
		t.Errorf("%+v", got)
	}
}

func TestPostingEndsWithItsContext(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done() // Close waits for it; on a busy machine it may never be asked
	}))
	defer s.Close()
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	r, err := client.NewRules(client.RulesConfig{Gateway: s.URL, Token: func(context.Context) (string, error) { return "t", nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Post(ctx, client.Ignore, someRule("a")); !fault.Is(err, "timeout") {
		t.Errorf("%v", err)
	}
	r2 := newRules(t, &ruleGateway{answers: slices.Repeat([]func(http.ResponseWriter){breakOff}, 9)}, func(c *client.RulesConfig) { c.FirstPause, c.MaxPause = time.Hour, time.Hour })
	ctx, stop2 := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop2()
	if _, err := r2.Post(ctx, client.Ignore, someRule("a")); !fault.Is(err, "timeout") {
		t.Errorf("%v", err)
	}
	noToken := newRules(t, &ruleGateway{}, func(c *client.RulesConfig) {
		c.Token = func(context.Context) (string, error) { return "", io.ErrUnexpectedEOF }
	})
	if _, err := noToken.Post(t.Context(), client.Ignore); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
}

func TestRulesConfigMistakes(t *testing.T) {
	_, err := client.NewRules(client.RulesConfig{Gateway: "gateway:8080", Attempts: -1})
	for _, says := range []string{"absolute http", "Token is missing", "negative"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v lacks %s", err, says)
		}
	}
	if _, err := client.NewRules(client.RulesConfig{Gateway: "http://a:b@h/"}); err == nil || !strings.Contains(err.Error(), "user information") {
		t.Errorf("%v", err)
	}
}

// A commit's answer is counted whatever it holds, or refused.
func FuzzCommitAnswer(f *testing.F) {
	for _, seed := range []string{`{"created":["a"],"deleted":[]}`, `{"created":null}`, `{"created":{}}`, `[]`, `{"created":["a"`, `{"x":{"created":[1]}}`, ``} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g := &ruleGateway{answers: []func(http.ResponseWriter){answer(200, `{}`), answer(200, text)}}
		generation, err := newRules(t, g, nil).NewGeneration()
		if err != nil {
			t.Fatal(err)
		}
		counts, err := generation.Commit(t.Context())
		if err != nil && counts != (client.Counts{}) || counts.Created < 0 {
			t.Fatalf("%+v %v", counts, err)
		}
		if err == nil && !strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") {
			t.Fatalf("%q was taken", text)
		}
	})
}

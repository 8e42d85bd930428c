package workertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/client"
	"github.com/muster-fleet/muster/workers/worker"
	"github.com/muster-fleet/muster/workers/workertest"
)

func newSink(t *testing.T) *workertest.RuleSink {
	t.Helper()
	s, err := workertest.NewRuleSink(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// viewers is a good transformation: every user sees every entity.
func viewers(ctx context.Context, tr *worker.Transformation) error {
	g, err := tr.Rules.NewGeneration()
	if err != nil {
		return err
	}
	for _, u := range tr.Users {
		for _, e := range tr.Entities {
			r := client.AccessRule{Name: "viewers-" + u + "-" + e.Title, Users: []string{u}, Entities: []client.EntityGrant{{ID: e.ID}}}
			if len(e.Properties) > 0 {
				r.Conditions = []client.Condition{{Property: e.Properties[0].ID, Value: "1"}}
			}
			if err := g.Add(ctx, r); err != nil {
				return err
			}
		}
	}
	_, err = g.Commit(ctx)
	return err
}

// transformer serves a transformation until the test ends.
func transformer(t *testing.T, is *workertest.Issuer, gateway string, f worker.TransformFunc) string {
	t.Helper()
	w, err := worker.New(t.Context(), worker.Config{
		UUID: testUUID, Version: "1.0.0", Transform: f, Gateway: gateway, Logger: slog.New(slog.DiscardHandler),
		Auth: worker.Auth{Issuer: is.URL(), Audience: workertest.Audience},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	s := httptest.NewServer(w.Handler())
	t.Cleanup(s.Close)
	return s.URL + worker.DefaultTransformPath
}

func TestGoodTransformationPasses(t *testing.T) {
	is, sink := newIssuer(t), newSink(t)
	url := transformer(t, is, sink.URL(), viewers)
	for _, typ := range []string{"", workertest.TypeTransformation} {
		r := workertest.RunT(t, workertest.Options{URL: url, Type: typ, Tokens: is, Sink: sink, Prefix: "viewers-", Wait: time.Second})
		if r.Level() != workertest.Laws || r.Count(workertest.Skip) != 0 {
			t.Errorf("level %s\n%s", r.Level(), table(r))
		}
	}
}

// A worker that does one run at a time learns late that a caller has gone: what it
// turns away meanwhile is asked again, and one that is busy for ever is found.
func TestBusyTransformations(t *testing.T) {
	is, sink := newIssuer(t), newSink(t)
	w, err := worker.New(t.Context(), worker.Config{
		UUID: testUUID, Version: "1.0.0", Transform: viewers, Gateway: sink.URL(), Logger: slog.New(slog.DiscardHandler),
		Auth: worker.Auth{Issuer: is.URL(), Audience: workertest.Audience},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	turnAway := func(rw http.ResponseWriter) {
		f := fault.New(fault.Unavailable, "busy", "this replica has 1 requests in work and takes no more")
		f.WriteContract(rw)
	}
	var known sync.Map // tokens with which runs have succeeded, and whether the next is turned away
	for name, c := range map[string]struct {
		h     http.HandlerFunc
		level workertest.Level
	}{
		"every other run": {level: workertest.Laws, h: func(rw http.ResponseWriter, r *http.Request) {
			token := r.Header.Get("Authorization")
			if away, ok := known.Load(token); r.Method == http.MethodPost && ok && away == true {
				known.Store(token, false)
				turnAway(rw)
				return
			}
			rec := httptest.NewRecorder()
			w.Handler().ServeHTTP(rec, r)
			if r.Method == http.MethodPost && rec.Code == http.StatusOK {
				known.Store(token, true)
			}
			replay(rw, rec)
		}},
		"for ever": {level: workertest.None, h: func(rw http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				turnAway(rw)
				return
			}
			w.Handler().ServeHTTP(rw, r)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(c.h)
			defer s.Close()
			const little = 300 * time.Millisecond
			o := workertest.Options{URL: s.URL + worker.DefaultTransformPath, Tokens: is, Sink: sink}
			if c.level == workertest.None {
				o.AnswerWithin, o.Only = little, []string{"core/succeeds", "robust/vanished-caller"}
			}
			r := run(t, o)
			if r.Level() != c.level {
				t.Errorf("level %s; want %s\n%s", r.Level(), c.level, table(r))
			}
			if c.level == workertest.None {
				for _, name := range []string{"core/succeeds", "robust/vanished-caller"} {
					if got := find(t, r, name); got.Status != workertest.Fail || !strings.Contains(got.Detail, "503") {
						t.Errorf("%+v", got)
					}
				}
			}
		})
	}
}

// post sends a body to the gateway as careless code does.
func postRules(ctx context.Context, sink *workertest.RuleSink, is *workertest.Issuer, body string) error {
	tok, err := is.Token("alice")
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sink.URL()+"/api/graph-access-rule/accessRules", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+tok)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return errors.New(string(text))
	}
	return nil
}

const oneRule = `{"name":"w-1","accessLevel":"view","active":true,"users":["admin"],"entities":[{"id":414,"properties":[]}]`

func wrap(strategy, rules string) string {
	return `{"ruleCreationStrategy":"` + strategy + `","rules":[` + rules + `]}`
}

// wrongTransformation is a way of being wrong, and the case that has to find it.
type wrongTransformation struct {
	f           worker.TransformFunc
	fails, says string
}

// Every way of being wrong is found by the case that is there for it.
func TestWrongTransformations(t *testing.T) {
	is, sink := newIssuer(t), newSink(t)
	for name, c := range wrongTransformations(is, sink) {
		t.Run(name, func(t *testing.T) {
			sink.Clear()
			r := run(t, workertest.Options{URL: transformer(t, is, sink.URL(), c.f), Tokens: is, Sink: sink})
			if got := find(t, r, c.fails); got.Status != workertest.Fail || !strings.Contains(got.Detail, c.says) {
				t.Errorf("%+v\n%s", got, table(r))
			}
		})
	}
	if sink.Posts() == 0 {
		t.Error("nothing was posted")
	}
	http.DefaultClient.CloseIdleConnections()
}

func wrongTransformations(is *workertest.Issuer, sink *workertest.RuleSink) map[string]wrongTransformation {
	post := func(body func() string) worker.TransformFunc {
		return func(ctx context.Context, _ *worker.Transformation) error {
			return postRules(ctx, sink, is, body())
		}
	}
	fixed := func(strategy, rules string) worker.TransformFunc {
		return post(func() string { return wrap(strategy, rules) })
	}
	return map[string]wrongTransformation{
		"ignore never removes":            {f: fixed("Ignore", oneRule+`}`), fails: "laws/revoked", says: "DeleteAllForUser"},
		"delete on conflict never either": {f: fixed("DeleteOnConflict", oneRule+`}`), fails: "laws/revoked", says: "still in force"},
		"camel case conditions": {
			f: fixed("DeleteAllForUser", oneRule+`,"propertyValueConditions":[{"propertyId":1,"value":"x"}]}`), fails: "core/succeeds", says: "PropertyId",
		},
		"camel case conditions, hidden": {
			f: func(ctx context.Context, _ *worker.Transformation) error {
				_ = postRules(ctx, sink, is, wrap("DeleteAllForUser", oneRule+`,"propertyValueConditions":[{"propertyId":1,"value":"x"}]}`))
				return nil
			}, fails: "core/succeeds", says: "spelled so",
		},
		"no subject": {
			f: func(ctx context.Context, _ *worker.Transformation) error {
				_ = postRules(ctx, sink, is, wrap("DeleteAllForUser", `{"name":"w","accessLevel":"view","active":true,"entities":[{"id":1}]}`))
				return nil
			}, fails: "core/succeeds", says: "no subject",
		},
		"no entity": {
			f: fixed("DeleteAllForUser", `{"name":"w","accessLevel":"view","active":true,"users":["admin"],"relationships":[1]}`), fails: "core/succeeds", says: "no entity",
		},
		"defaults": {
			f: fixed("DeleteAllForUser", `{"name":"w","users":["admin"],"entities":[{"id":1}]}`), fails: "core/succeeds", says: "lacks active",
		},
		"two values of one property": {
			f: fixed("DeleteAllForUser", oneRule+`,"propertyValueConditions":[{"PropertyId":1,"Value":"x"},{"PropertyId":1,"Value":"y"}]}`), fails: "core/succeeds", says: "rule per alternative",
		},
		"names of chance": {
			f: post(func() string {
				return wrap("DeleteAllForUser", strings.Replace(oneRule, "w-1", "w-"+time.Now().Format(time.StampNano), 1)+"}")
			}), fails: "laws/repeatable", says: "missing",
		},
		"other content each time": {
			f: post(func() string {
				return wrap("DeleteAllForUser", strings.Replace(oneRule, "admin", "admin"+time.Now().Format(time.StampNano), 1)+"}")
			}), fails: "laws/repeatable", says: "something else",
		},
		"nothing in common": {
			f: fixed("DeleteAllForUser", oneRule+`},`+strings.Replace(oneRule, "w-1", "x-1", 1)+`}`), fails: "core/names", says: "in common",
		},
		"success whatever happens": {
			f: func(ctx context.Context, tr *worker.Transformation) error { _ = viewers(ctx, tr); return nil }, fails: "robust/gateway-refuses", says: "has failed",
		},
		"breaks without lists": {
			f: func(ctx context.Context, tr *worker.Transformation) error {
				if tr.Groups == nil {
					panic("no groups")
				}
				return viewers(ctx, tr)
			}, fails: "core/absent-groups", says: "absent or empty",
		},
		"no bearer": {
			f: func(ctx context.Context, tr *worker.Transformation) error {
				r, err := client.NewRules(client.RulesConfig{Gateway: sink.URL(), Token: func(context.Context) (string, error) { return "", nil }})
				if err != nil {
					return err
				}
				_, err = r.Post(ctx, client.DeleteAllForUser)
				return err
			}, fails: "core/succeeds", says: "refused",
		},
	}
}

// A handler that is no SDK worker shows what the SDK keeps from happening.
func TestWrongTransformationServers(t *testing.T) {
	is, sink := newIssuer(t), newSink(t)
	w, err := worker.New(t.Context(), worker.Config{
		UUID: testUUID, Version: "1", Transform: viewers, Gateway: sink.URL(), Logger: slog.New(slog.DiscardHandler),
		Auth: worker.Auth{Issuer: is.URL(), Audience: workertest.Audience},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	answers := func(status int) http.Handler {
		return onFilter(w.Handler(), func(rw http.ResponseWriter, r *http.Request, _ []byte) {
			rec := httptest.NewRecorder()
			w.Handler().ServeHTTP(rec, r)
			if rec.Code != http.StatusOK {
				replay(rw, rec)
				return
			}
			rw.WriteHeader(status)
		})
	}
	for name, c := range map[string]struct {
		h     http.Handler
		fails string
	}{
		"204":            {answers(http.StatusNoContent), "core/succeeds"},
		"202":            {answers(http.StatusAccepted), "core/absent-users"},
		"takes anything": {onFilter(w.Handler(), func(rw http.ResponseWriter, _ *http.Request, _ []byte) { send(rw, 200, doc{}) }), "core/token-missing"},
		"takes any body": {onFilter(w.Handler(), func(rw http.ResponseWriter, _ *http.Request, _ []byte) { send(rw, 200, doc{}) }), "core/refuses-malformed-json"},
		"blames itself": {onFilter(w.Handler(), func(rw http.ResponseWriter, _ *http.Request, _ []byte) {
			fault.New(fault.Internal, "internal", "x").WriteContract(rw)
		}), "core/refuses-wrong-type"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(c.h)
			defer s.Close()
			r := run(t, workertest.Options{URL: s.URL + worker.DefaultTransformPath, Tokens: is, Sink: sink, Level: workertest.Core})
			if got := find(t, r, c.fails); got.Status != workertest.Fail {
				t.Errorf("%+v", got)
			}
		})
	}
}

// What cannot be proven is not passed.
func TestTransformationWithoutSink(t *testing.T) {
	is, sink := newIssuer(t), newSink(t)
	url := transformer(t, is, sink.URL(), viewers)
	r := run(t, workertest.Options{URL: url, Tokens: is})
	if c := find(t, r, "core/rules"); r.Level() != workertest.None || c.Status != workertest.Skip || !c.Unproven {
		t.Errorf("level %s, %+v", r.Level(), c)
	}
	other := newSink(t)
	r = run(t, workertest.Options{URL: url, Tokens: is, Sink: other})
	if c := find(t, r, "core/rules"); c.Status != workertest.Skip || !strings.Contains(c.Detail, "is "+other.URL()+" its gateway") {
		t.Errorf("%+v", c)
	}
	r = run(t, workertest.Options{URL: url, Tokens: is, Sink: sink, Transform: json.RawMessage(`{"users":[]}`)})
	if c := find(t, r, "core/rules"); c.Status != workertest.Skip || !strings.Contains(c.Detail, "no rule") {
		t.Errorf("%+v", c)
	}
	r = run(t, workertest.Options{URL: url, Type: workertest.TypeGraphSecurity, Tokens: is, Level: workertest.Core})
	if c := find(t, r, "core/info"); c.Status != workertest.Fail || !strings.Contains(c.Detail, "ExternalGraphSecurity") {
		t.Errorf("%+v", c)
	}
	_, err := workertest.Run(t.Context(), workertest.Options{
		URL: "grpc://127.0.0.1:1", Type: workertest.TypeTransformation, Transform: json.RawMessage(`{`),
	})
	if err == nil || !strings.Contains(err.Error(), "REST only") || !strings.Contains(err.Error(), "not JSON") {
		t.Errorf("%v", err)
	}
}

// The sink keeps to the protocol, so that what passes with it passes with a gateway.
func TestRuleSink(t *testing.T) {
	is, sink := newIssuer(t), newSink(t)
	rules, err := client.NewRules(client.RulesConfig{
		Gateway: sink.URL(), Token: func(context.Context) (string, error) { return is.Token("alice") }, MaxRules: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer rules.Close()
	rule := func(name string) client.AccessRule {
		return client.AccessRule{Name: name, Users: []string{"bob"}, Entities: []client.EntityGrant{{ID: 1}}}
	}
	if p, err := rules.Post(t.Context(), client.Ignore, rule("a"), rule("b")); err != nil || len(p.Created) != 2 {
		t.Fatalf("%v %+v", err, p)
	}
	if p, err := rules.Post(t.Context(), client.Ignore, rule("b")); err != nil || len(p.Ignored) != 1 {
		t.Fatalf("%v %+v", err, p)
	}
	first, _ := rules.NewGeneration()
	if err := first.Add(t.Context(), rule("c"), rule("d"), rule("e")); err != nil {
		t.Fatal(err)
	}
	if got := sink.Rules(); len(got) != 2 || got["c"].Name != "" {
		t.Errorf("staged rules are in force: %v", got)
	}
	second, _ := rules.NewGeneration()
	if err := second.Add(t.Context(), rule("c"), rule("a")); err != nil {
		t.Fatal(err)
	}
	if n, err := second.Commit(t.Context()); err != nil || n != (client.Counts{Created: 2, Deleted: 2}) || len(sink.Rules()) != 2 {
		t.Errorf("%v %+v %v", err, n, sink.Rules())
	}
	if _, err := first.Commit(t.Context()); !client.Final(err) || !fault.Is(err, "generation_superseded") {
		t.Errorf("%v", err)
	}
	if f := sink.Flaws(); len(f) != 0 {
		t.Errorf("%v", f)
	}
	for _, body := range []string{``, `{}`, `{"rules":[1]}`, `{"rules":[{}],"rules":[]}`, `{"rules":7}`,
		wrap("Often", oneRule+"}"), wrap("Ignore", oneRule+"},"+oneRule+"}"), wrap("Ignore", strings.Replace(oneRule, "view", "edit", 1)+"}"),
		`{"ruleCreationStrategy":"Ignore","generation":"x","rules":[]}`} {
		if err := postRules(t.Context(), sink, is, body); err == nil || !strings.Contains(err.Error(), "bad_rules") {
			t.Errorf("%s: %v", body, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

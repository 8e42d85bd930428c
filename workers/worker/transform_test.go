package worker_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/client"
	"github.com/muster-fleet/muster/workers/token"
	"github.com/muster-fleet/muster/workers/worker"
)

const sampleRun = `{"users":["admin"],"clients":["service-account-user"],"groups":["Test Group"],"entities":[{"id":414,"title":"Benchmark",` +
	`"properties":[{"id":5303,"title":"Benchmark_ID"}]}],"relationships":[{"id":415,"entityNameFrom":"Benchmark","entityNameTo":"Benchmark","name":"PARENTS","alias":"PARENTS"}]}`

// newTransformer serves a transformation whose gateway is g.
func newTransformer(t *testing.T, g http.Handler, f worker.TransformFunc, change func(*worker.Config)) string {
	t.Helper()
	gateway := httptest.NewServer(g)
	t.Cleanup(gateway.Close)
	s := newServer(t, func(c *worker.Config) {
		c.Judge, c.Transform, c.Gateway = nil, f, gateway.URL
		if change != nil {
			change(c)
		}
	})
	return s.URL
}

func TestTransformationPostsWithTheRunsToken(t *testing.T) {
	var posted atomic.Value
	gateway := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posted.Store(r.Header.Get("Authorization") + " " + string(body))
		_, _ = io.WriteString(rw, `{"created":["a"],"ignored":[],"deleted":[]}`)
	})
	url := newTransformer(t, gateway, func(ctx context.Context, tr *worker.Transformation) error {
		if tr.Principal.Username != "alice" || tr.Users[0] != "admin" || tr.Entities[0].Properties[0].Title != "Benchmark_ID" ||
			tr.Relationships[0].From != "Benchmark" || tr.Relationships[0].Alias != "PARENTS" {
			t.Errorf("%+v", tr)
		}
		tr.Message = "3 rows"
		_, err := tr.Rules.Post(ctx, client.DeleteAllForUser, client.AccessRule{Name: "a", Users: tr.Users, Entities: []client.EntityGrant{{ID: 414}}})
		return errors.Join(err, tr.Report(map[string]int{"rows": 3}))
	}, nil)
	got := call(t, http.MethodPost, url+worker.DefaultTransformPath, sampleRun, nil)
	if got.status != http.StatusOK || got.body != `{"message":"3 rows","result":{"rows":3}}`+"\n" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if text, _ := posted.Load().(string); !strings.HasPrefix(text, `Bearer good {"ruleCreationStrategy":"DeleteAllForUser"`) {
		t.Errorf("%s", text)
	}
	info := call(t, http.MethodGet, url+"/", "", func(r *http.Request) { r.Header.Del("Authorization") })
	if info.body != `{"class":"result","type":"RuleTransformation","uuid":"`+testUUID+`","version":"1.2.3"}` {
		t.Errorf("%s", info.body)
	}
}

func TestTransformationErrors(t *testing.T) {
	refuses := func(f *fault.Error) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { f.WriteProblem(rw) })
	}
	bad := fault.New(fault.Invalid, "bad_rules", "1 mistake")
	bad.Violations = slices.Repeat([]fault.Violation{{Pointer: "/rules/0", Detail: "no subject"}}, 12)
	post := func(ctx context.Context, tr *worker.Transformation) error {
		g, err := tr.Rules.NewGeneration()
		if err != nil {
			return err
		}
		_, err = g.Commit(ctx)
		return err
	}
	fails := func(err error) worker.TransformFunc {
		return func(context.Context, *worker.Transformation) error { return err }
	}
	for name, c := range map[string]struct {
		gateway http.Handler
		f       worker.TransformFunc
		status  int
		code    string
		says    string
	}{
		"an error":       {nil, fails(errors.New("the source is closed on Sundays")), 500, "transform_failed", "the source is closed on Sundays"},
		"a fault":        {nil, fails(fault.New(fault.Unprocessable, "entities_needed", "send entities")), 422, "entities_needed", "send entities"},
		"a panic":        {nil, func(context.Context, *worker.Transformation) error { panic("secret") }, 500, "internal", "the worker's log has it"},
		"denied":         {refuses(fault.New(fault.Denied, "denied", "needs graph_rules:write")), post, 502, "denied", "the gateway refused the rules: needs graph_rules:write"},
		"bad token":      {refuses(fault.New(fault.Unauthenticated, "invalid_token", "expired")), post, 502, "invalid_token", "the run's token expired at 2001-"},
		"bad rules":      {refuses(bad), post, 502, "bad_rules", "/rules/0 no subject; and 2 more"},
		"run ended":      {refuses(fault.New(fault.Conflict, "run_ended", "the run has ended")), post, 409, "run_ended", "the run has ended"},
		"report of func": {nil, func(_ context.Context, tr *worker.Transformation) error { return tr.Report(func() {}) }, 500, "transform_failed", "encode the report"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.gateway == nil {
				c.gateway = http.NotFoundHandler()
			}
			url := newTransformer(t, c.gateway, c.f, func(cfg *worker.Config) { cfg.Verifier = expired{} })
			got := call(t, http.MethodPost, url+worker.DefaultTransformPath, sampleRun, nil)
			if got.status != c.status || got.code(t) != c.code || !strings.Contains(got.body, c.says) || strings.Contains(got.body, "secret") {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
}

// expired takes every token, and says that it ran out long ago.
type expired struct{}

func (expired) Verify(context.Context, string) (*token.Principal, error) {
	return &token.Principal{Username: "alice", Expires: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)}, nil
}

func TestTransformationRefusals(t *testing.T) {
	url := newTransformer(t, http.NotFoundHandler(), func(context.Context, *worker.Transformation) error {
		t.Error("called")
		return nil
	}, func(c *worker.Config) { c.MaxBody = 500; c.Path = "/t" }) + "/t"
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, c := range map[string]struct {
		body   string
		change func(*http.Request)
		status int
	}{
		"no token":    {sampleRun[:200], func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		"bad token":   {sampleRun[:200], with("Authorization", "Bearer bad"), 401},
		"too large":   {sampleRun + strings.Repeat(" ", 500), nil, 413},
		"other type":  {`{}`, with("Content-Type", "text/plain"), 415},
		"compressed":  {`{}`, with("Content-Encoding", "gzip"), 415},
		"no JSON":     {sampleRun[:50], nil, 400},
		"bad timeout": {`{}`, with("Request-Timeout", "soon"), 400},
	} {
		got := call(t, http.MethodPost, url, c.body, c.change)
		if got.status != c.status || got.code(t) == "" {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if got := call(t, http.MethodGet, url, "", nil); got.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", got.status)
	}
}

// One run at a time; the place is free again when a run ends, and a caller that
// goes away ends it.
func TestOneTransformationAtATime(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error)
	url := newTransformer(t, http.NotFoundHandler(), func(ctx context.Context, tr *worker.Transformation) error {
		if tr.Users != nil {
			return nil
		}
		begun <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return nil // ends well, too late
	}, nil) + worker.DefaultTransformPath
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer good")
	req.Header.Set("Content-Type", "application/json")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-begun
	got := call(t, http.MethodPost, url, `{"users":[]}`, nil)
	if got.status != http.StatusServiceUnavailable || got.code(t) != "busy" || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	// A stranger does not get as far as asking for the place.
	if got := call(t, http.MethodPost, url, `{}`, func(r *http.Request) { r.Header.Del("Authorization") }); got.status != http.StatusUnauthorized {
		t.Errorf("%d", got.status)
	}
	leave()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	<-gone
	for got.status == http.StatusServiceUnavailable { // until the place is given back
		got = call(t, http.MethodPost, url, `{"users":[]}`, nil)
	}
	if got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	late := make(chan answer, 1)
	go func() {
		late <- call(t, http.MethodPost, url, `{}`, func(r *http.Request) { r.Header.Set("Request-Timeout", "50ms") })
	}()
	<-begun
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if got := <-late; got.status != http.StatusGatewayTimeout || got.code(t) != "timeout" {
		t.Errorf("%d %s", got.status, got.body)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func TestTransformConfig(t *testing.T) {
	f := func(context.Context, *worker.Transformation) error { return nil }
	for says, change := range map[string]func(*worker.Config){
		"exactly one of":      func(c *worker.Config) { c.Transform, c.Gateway = f, "http://g" },
		"Gateway is empty":    func(c *worker.Config) { c.Judge, c.Transform = nil, f },
		"absolute http":       func(c *worker.Config) { c.Judge, c.Transform, c.Gateway = nil, f, "g:8080" },
		"both off":            func(c *worker.Config) { c.Judge, c.Transform, c.Gateway, c.Addr = nil, f, "http://g", worker.Off },
		"Transform and Judge": nil,
	} {
		if change == nil {
			continue
		}
		cfg := testConfig()
		change(&cfg)
		if _, err := worker.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	env := map[string]string{"WORKER_UUID": testUUID, "ISSUER": "http://i", "AUDIENCE": "a", "GATEWAY_URL": "https://g", "GATEWAY_CA_FILE": "/none/ca.pem"}
	if _, err := worker.FromEnv(func(k string) string { return env[k] }); err == nil || !strings.Contains(err.Error(), "GATEWAY_CA_FILE") {
		t.Errorf("%v", err)
	}
	delete(env, "GATEWAY_CA_FILE")
	if cfg, err := worker.FromEnv(func(k string) string { return env[k] }); err != nil || cfg.Gateway != "https://g" {
		t.Errorf("%v %+v", err, cfg.Gateway)
	}
}

func TestParseTransformRequest(t *testing.T) {
	r, err := worker.ParseTransformRequest([]byte(`{"users":[],"groups":null,"new":{"a":1},"entities":[{"id":0,"title":"A","x":1}],"relationships":[]}`))
	if err != nil || r.Users == nil || r.Groups != nil || r.Clients != nil || len(r.Entities) != 1 || r.Relationships == nil {
		t.Errorf("%v %+v", err, r)
	}
	if text, err := os.ReadFile("../../proto/contract/transform-request.json"); err == nil {
		if _, err := worker.ParseTransformRequest(text); err != nil {
			t.Error(err)
		}
	}
	for body, says := range map[string][]string{
		``: {"one JSON object"}, `[]`: {"one JSON object"}, `{} x`: {"one JSON object"}, `{"users":["a"],"users":[]}`: {"no name twice"},
		`{"users":"a"}`: {"/users has a value of the wrong type"}, `{"users":["a",1]}`: {"/users/1 has"}, `{"entities":[{"id":1.5,"title":"A"}]}`: {"/entities/0/id has"},
		"{\"users\":[\"\xff\"]}": {"UTF-8"}, `{"entities":[{"id":"1","title":"A"}]}`: {"/entities/0/id has"},
		`{"users":[""],"entities":[{"title":"A"},{"id":-1,"title":"A"},{"id":9007199254740992,"title":"","properties":[{"id":1,"title":"x"},{"id":1,"title":"x"}]}],` +
			`"relationships":[{"id":1,"alias":"R"},{"id":1,"entityNameFrom":"A","entityNameTo":"B"}]}`: {
			"/users/0 is empty", "/entities/0/id is absent", "/entities/1/id is not from 0", "/entities/1/title is that of another", "/entities/2/id is not", "/entities/2/title is empty",
			"/entities/2/properties/1/id 1 is there twice", "/entities/2/properties/1/title is that", "/relationships/0 lacks entityNameFrom", "/relationships/1/id 1 is there twice", "/relationships/1/alias is empty",
		},
		`{"users":[` + strings.TrimSuffix(strings.Repeat(`"",`, 50), ",") + `]}`: {"and 30 more"},
	} {
		_, err := worker.ParseTransformRequest([]byte(body))
		for _, s := range says {
			if !fault.Is(err, "invalid_request") || !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v lacks %q", body, err, s)
			}
		}
	}
}

func FuzzTransformRequest(f *testing.F) {
	for _, seed := range []string{sampleRun, `{}`, `{"users":null}`, `{"entities":[{}]}`, `{"users":[1]}`, `{"a":1,"a":2}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := worker.ParseTransformRequest([]byte(text))
		if err != nil {
			if !fault.Is(err, "invalid_request") {
				t.Fatal(err)
			}
			return
		}
		seen := map[int64]bool{}
		for _, e := range r.Entities {
			if e.Title == "" || e.ID < 0 || e.ID > client.MaxRuleID || seen[e.ID] {
				t.Fatalf("%+v", e)
			}
			seen[e.ID] = true
		}
		if slices.Contains(r.Users, "") {
			t.Fatal("an empty name")
		}
	})
}

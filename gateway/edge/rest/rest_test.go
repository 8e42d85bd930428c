package rest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
)

type thing struct {
	Name string `json:"name"`
}

// served is an API of one path over a real socket. Its guard knows alice; one
// operation lets bob in as well.
func served(t *testing.T, log *slog.Logger) string {
	t.Helper()
	guard := func(names ...string) rest.Guard {
		return func(r *http.Request) (rest.Caller, error) {
			for _, n := range names {
				if r.Header.Get("Authorization") == "Bearer "+n {
					return rest.Caller{Actor: registry.Actor{Username: n, RequestID: "r-1"}}, nil
				}
			}
			return rest.Caller{}, fault.New(fault.Unauthenticated, "invalid_token", "who is it?")
		}
	}
	api := &rest.API{Guard: guard("alice"), Logger: log, BodyDeadline: 200 * time.Millisecond}
	ops := []rest.Operation{
		{
			Method: http.MethodGet, Path: "/things/{id}", ID: "getThing", Guard: guard("alice", "bob"),
			Params: []rest.Parameter{{Name: "id", In: "path", Sample: ""}, {Name: "state", In: "query", Sample: "", Enum: rest.Enum([]string{"on", "off"})}},
			Handle: func(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
				p := rest.ReadQuery(r, "state", "limit", "deep")
				p.Limit()
				p.Flag("deep")
				if err := p.Err(); err != nil {
					return err
				}
				if r.PathValue("id") == "broken" {
					return errors.New("the secret is hunter2")
				}
				return rest.WriteRecord(w, http.StatusOK, 7, thing{who.Username + " " + p.Get("state")})
			},
			Answers: []rest.Answer{rest.NewAnswer(http.StatusOK, "It.", reflect.TypeFor[thing](), "ETag")},
		},
		{
			Method: http.MethodPut, Path: "/things/{id}", ID: "putThing", Body: reflect.TypeFor[thing](),
			Handle: func(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
				if err := rest.NoQuery(r); err != nil {
					return err
				}
				body, err := api.ReadBody(w, r, 64, rest.MediaJSON)
				if err != nil {
					return err
				}
				return rest.WriteJSON(w, http.StatusOK, thing{rest.IfMatch(r) + string(body)})
			},
			Answers: []rest.Answer{rest.NewAnswer(http.StatusOK, "It.", reflect.TypeFor[thing]())}, Problems: []int{http.StatusRequestEntityTooLarge},
		},
	}
	mux := http.NewServeMux()
	api.Mount(mux, ops)
	mux.Handle(rest.OpenAPIPath, api.Description("9.9.9", func(doc *rest.Document) { rest.Describe(doc, "things", ops) }))
	mux.Handle("/", api.NotFound())
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL
}

type reply struct {
	status int
	header http.Header
	body   string
}

func call(t *testing.T, method, url string, body io.Reader, headers ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(text)}
}

func TestFrame(t *testing.T) {
	var log bytes.Buffer
	url := served(t, slog.New(slog.NewTextHandler(&log, nil)))
	alice, bob := []string{"Authorization", "Bearer alice"}, []string{"Authorization", "Bearer bob"}
	jsonBody := append([]string{"Content-Type", "application/json; charset=UTF-8"}, alice...)
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		want               string
	}{
		"a guard of its own":         {"GET", "/things/1?state=on", "", bob, 200, `{"name":"bob on"}`},
		"head is get":                {"HEAD", "/things/1", "", alice, 200, ""},
		"the guard comes first":      {"GET", "/things/1?nonsense=1", "", nil, 401, "invalid_token"},
		"no token, no path":          {"GET", "/nowhere", "", nil, 401, "invalid_token"},
		"nothing there":              {"GET", "/nowhere", "", alice, 404, "openapi.json"},
		"another method":             {"POST", "/things/1", "{}", alice, 405, "GET, HEAD, PUT"},
		"another method, no token":   {"POST", "/things/1", "{}", bob, 401, "invalid_token"},
		"an unknown parameter":       {"GET", "/things/1?stat=on", "", alice, 400, `\"stat\" is unknown`},
		"a parameter twice":          {"GET", "/things/1?state=on&state=off", "", alice, 400, "given 2 times"},
		"all mistakes of a query":    {"GET", "/things/1?deep=1&limit=1001", "", alice, 400, "limit is a whole number from 1 to 1000"},
		"a query that is none":       {"GET", "/things/1?a=%zz", "", alice, 400, "cannot be decoded"},
		"a query where none belongs": {"PUT", "/things/1?dryRun=true", "{}", jsonBody, 400, "dryRun"},
		"a body":                     {"PUT", "/things/1", `{"a":1}`, append([]string{"If-Match", `"7"`}, jsonBody...), 200, `\"7\"{\"a\":1}`},
		"two If-Match":               {"PUT", "/things/1", `{}`, append([]string{"If-Match", "1", "If-Match", "2"}, jsonBody...), 200, "1, 2{}"},
		"an empty If-Match":          {"PUT", "/things/1", `{}`, append([]string{"If-Match", ""}, jsonBody...), 200, "none{}"},
		"no media type":              {"PUT", "/things/1", `{}`, alice, 415, "application/json"},
		"another charset":            {"PUT", "/things/1", `{}`, append([]string{"Content-Type", "application/json; charset=latin1"}, alice...), 415, "UTF-8"},
		"an encoded body":            {"PUT", "/things/1", `{}`, append([]string{"Content-Encoding", "gzip"}, jsonBody...), 415, "Content-Encoding"},
		"a body of 64 bytes":         {"PUT", "/things/1", strings.Repeat("x", 64), jsonBody, 200, "xxx"},
		"a body of 65 bytes":         {"PUT", "/things/1", strings.Repeat("x", 65), jsonBody, 413, "longer than 64 bytes"},
		"what broke is not told":     {"GET", "/things/broken", "", alice, 500, "internal"},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, c.method, url+c.path, strings.NewReader(c.body), c.headers...)
			if got.status != c.status || !strings.Contains(got.body, c.want) {
				t.Fatalf("got %d %s, want %d %s", got.status, got.body, c.status, c.want)
			}
			if strings.Contains(got.body, "hunter2") {
				t.Error("the cause is told")
			}
			media := "application/json"
			if c.status >= 400 {
				media = "application/problem+json"
			}
			if got.header.Get("Content-Type") != media || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", got.header)
			}
			if c.status == 405 && got.header.Get("Allow") != "GET, HEAD, PUT" {
				t.Errorf("Allow is %q", got.header.Get("Allow"))
			}
		})
	}
	if !strings.Contains(log.String(), "hunter2") || !strings.Contains(log.String(), "request_id=r-1") {
		t.Errorf("the log does not have the cause under the request's id: %s", log.String())
	}
}

// A body that stops coming is given up by the deadline, which the test's own
// end of the pipe outlives.
func TestABodyThatStopsComing(t *testing.T) {
	url := served(t, slog.New(slog.DiscardHandler))
	r, w := io.Pipe()
	defer func() { _ = w.Close() }()
	go func() { _, _ = w.Write([]byte("{")) }()
	got := call(t, http.MethodPut, url+"/things/1", r, "Authorization", "Bearer alice", "Content-Type", "application/json")
	if got.status != http.StatusBadRequest || !strings.Contains(got.body, "within 200ms") {
		t.Fatalf("%d %s", got.status, got.body)
	}
}

func TestDescription(t *testing.T) {
	url := served(t, slog.New(slog.DiscardHandler))
	if got := call(t, http.MethodGet, url+rest.OpenAPIPath, nil); got.status != http.StatusUnauthorized {
		t.Fatalf("anybody reads the description: %d", got.status)
	}
	got := call(t, http.MethodGet, url+rest.OpenAPIPath, nil, "Authorization", "Bearer alice")
	var doc struct {
		Info  struct{ Version string }
		Paths map[string]map[string]struct {
			OperationID string
			Parameters  []struct {
				Name, In string
				Required bool
				Schema   struct{ Enum []string }
			}
			RequestBody *struct{ Required bool }
			Responses   map[string]any
		}
	}
	if err := json.Unmarshal([]byte(got.body), &doc); err != nil {
		t.Fatal(err)
	}
	get, put := doc.Paths["/things/{id}"]["get"], doc.Paths["/things/{id}"]["put"]
	if doc.Info.Version != "9.9.9" || get.OperationID != "getThing" || put.RequestBody == nil || !put.RequestBody.Required || get.RequestBody != nil {
		t.Fatalf("%s", got.body)
	}
	if len(get.Parameters) != 2 || !get.Parameters[0].Required || get.Parameters[1].Required || len(get.Parameters[1].Schema.Enum) != 2 {
		t.Errorf("parameters %+v", get.Parameters)
	}
	for _, status := range []string{"200", "401", "403", "413", "503"} {
		if _, ok := put.Responses[status]; !ok {
			t.Errorf("PUT may end with %s, which is not described: %v", status, put.Responses)
		}
	}
}

// Every mistake of a body is reported, at its place, and what is right is read.
func TestReader(t *testing.T) {
	var r rest.Reader
	var name string
	var on, off *bool
	var n *int
	var at *time.Time
	var inner *string
	err := r.Read([]byte(`{"name":"a\u0062","on":true,"off":1,"n":2.0,"at":"tomorrow","in/ner":{"text":5,"x":1},"more":null,"list":[]}`), rest.Fields{
		"name": rest.Text("c1", func(s string) { name = s }),
		"on":   rest.Flag("c2", &on), "off": rest.Flag("c2", &off),
		"n": rest.Whole("c3", &n), "at": rest.Moment("c4", &at),
		"in/ner": r.Object("/in~1ner", "c5", rest.Fields{"text": rest.OptionalText("c6", &inner)}),
		"list":   r.Object("/list", "c7", nil),
	})
	if err != nil || name != "ab" || on == nil || !*on || off != nil || n != nil || at != nil || inner != nil {
		t.Fatalf("%v %q %v %v %v %v", err, name, on, off, n, at)
	}
	var got []string
	for _, v := range r.Violations {
		got = append(got, v.Code+v.Pointer)
	}
	want := "c2/off c3/n c4/at c6/in~1ner/text bad_request/in~1ner/x bad_request/more c7/list"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	for _, body := range []string{``, `[]`, `{"name":"a","name":"b"}`, `{} {}`, "{\"name\":\"\xff\"}"} {
		var r rest.Reader
		if e := fault.From(r.Read([]byte(body), rest.Fields{"name": rest.Text("c", func(string) {})})); e == nil || e.Code != rest.CodeInvalidRequest {
			t.Errorf("%q: %v", body, e)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(`{"a":"x","b":{"c":true},"d":1,"e":"2027-01-31T06:00:00Z"}`))
	f.Add([]byte(`{"a":"x","b":{"c":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var r rest.Reader
		var a *string
		var c *bool
		var d *int
		var e *time.Time
		err := r.Read(body, rest.Fields{
			"a": rest.OptionalText("x", &a), "b": r.Object("/b", "x", rest.Fields{"c": rest.Flag("x", &c)}),
			"d": rest.Whole("x", &d), "e": rest.Moment("x", &e),
		})
		members, strict := element.ReadObject(body, len(body))
		if (err == nil) != (strict == nil) {
			t.Fatalf("%q: %v and %v", body, err, strict)
		}
		if err == nil && len(members) > 4 && len(r.Violations) == 0 {
			t.Fatalf("%q has more members than are known, and nothing was said", body)
		}
		for _, v := range r.Violations {
			if !strings.HasPrefix(v.Pointer, "/") || v.Detail == "" {
				t.Fatalf("%q: %+v", body, v)
			}
		}
	})
}

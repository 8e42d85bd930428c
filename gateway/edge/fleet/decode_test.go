package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

// TestBodiesAreReadAsDescribed: the reader knows exactly the members of the Go
// types that the OpenAPI description is made from.
func TestBodiesAreReadAsDescribed(t *testing.T) {
	known := func(err []fault.Violation) string {
		for _, v := range err {
			if v.Code == rest.CodeBadRequest && strings.Contains(v.Detail, "known are ") {
				_, list, _ := strings.Cut(v.Detail, "known are ")
				return list
			}
		}
		return ""
	}
	registration, err := readRegistration([]byte(`{"?":1}`))
	if err != nil {
		t.Fatal(err)
	}
	settings, err := readRegistration([]byte(`{"settings":{"?":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	change, err := readChange([]byte(`{"?":1}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = readConformance([]byte(`{"?":1,"level":"core"}`))
	for _, c := range []struct {
		of  reflect.Type
		got string
	}{
		{reflect.TypeFor[Registration](), known(registration.Violations)},
		{reflect.TypeFor[SettingsInput](), known(settings.Violations)},
		{reflect.TypeFor[Change](), known(change.Violations)},
		{reflect.TypeFor[ConformanceInput](), known(fault.From(err).Violations)},
	} {
		var want []string
		for field := range c.of.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			want = append(want, name)
		}
		slices.Sort(want)
		if c.got != strings.Join(want, ", ") {
			t.Errorf("%s is described with %v and read with %s", c.of.Name(), want, c.got)
		}
	}
}

// TestWhatIsDescribedIsTaken: every body that the Go types can write is read
// without a mistake of the reader's own, and with the same values.
func TestWhatIsDescribedIsTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) *string { return rapid.Ptr(rapid.String(), true).Draw(t, name) }
		flag := func(name string) *bool { return rapid.Ptr(rapid.Bool(), true).Draw(t, name) }
		number := func(name string) *int { return rapid.Ptr(rapid.IntRange(-1<<31, 1<<31-1), true).Draw(t, name) }
		settings := &SettingsInput{
			Timeout: text("timeout"), OnFailure: text("onFailure"), Mask: flag("mask"), Identity: text("identity"),
			Audience: text("audience"), MaxElementsPerCall: number("maxElementsPerCall"), MaxConcurrent: number("maxConcurrent"),
		}
		want := Registration{
			URL: rapid.String().Draw(t, "url"), UUID: rapid.String().Draw(t, "uuid"), Name: text("name"),
			Transport: text("transport"), Active: flag("active"), Enrols: flag("enrols"), Settings: settings,
		}
		body, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		in, err := readRegistration(body)
		if err != nil || len(in.Violations) != 0 {
			t.Fatalf("%s: %v %v", body, err, in.Violations)
		}
		got := registry.SettingsInput(*settings)
		if in.URL != want.URL || in.UUID != want.UUID || !reflect.DeepEqual(in.Settings, got) || !reflect.DeepEqual(in.Active, want.Active) ||
			in.Enrols != (want.Enrols != nil && *want.Enrols) || want.Name != nil && in.Name != *want.Name {
			t.Fatalf("%s was read as %+v", body, in)
		}
	})
}

func FuzzReadRegistration(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"url":"http://h/","uuid":"x","settings":{"timeout":"2s","maxConcurrent":1e9}}`, `{"settings":{"mask":null}}`,
		`{"a":1,"a":2}`, "\xff", `{"until":"2026-01-02T03:04:05Z"}`, `{"~/":{}}`, `[`, `{"name":"\ud800"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		in, err := readRegistration(body)
		checkRead(t, body, in.Violations, err)
		p, err := readChange(body)
		checkRead(t, body, p.Violations, err)
		_, err = readConformance(body)
		if e := fault.From(err); e != nil && e.Kind == fault.Unprocessable {
			checkRead(t, body, e.Violations, nil)
		} else {
			checkRead(t, body, nil, err)
		}
	})
}

// checkRead: a body that is no JSON object is invalid_request; what the reader
// says quotes no values and has a place.
func checkRead(t *testing.T, body []byte, violations []fault.Violation, err error) {
	t.Helper()
	if err != nil {
		if e := fault.From(err); e.Kind != fault.Invalid || e.Code != rest.CodeInvalidRequest {
			t.Fatalf("%q: %v", body, err)
		}
		return
	}
	if !json.Valid(body) {
		t.Fatalf("%q was taken for JSON", body)
	}
	for _, v := range violations {
		if !strings.HasPrefix(v.Pointer, "/") || v.Detail == "" || strings.ContainsAny(v.Detail, "\x00\x1b\n") {
			t.Fatalf("%q: %+v", body, v)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add(cursor{"name", "aaaaaaaa-0000-4000-8000-000000000000"}.String())
	f.Add("")
	f.Add("MTIz")
	f.Add("====")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseCursor(s)
		if err == nil && c.String() != s {
			t.Fatalf("%q was read as %+v, which is written %q", s, c, c.String())
		}
	})
}

func FuzzReadQuery(f *testing.F) {
	f.Add("limit=5&state=healthy&active=true&cursor=x&class=a&type=b")
	f.Add("limit=%00;x&&=")
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := readQuery(&http.Request{URL: &url.URL{RawQuery: raw}})
		if err == nil && (q.limit < 1 || q.limit > rest.MaxLimit || q.state != "" && !slices.Contains(states, q.state)) {
			t.Fatalf("%q was read as %+v", raw, q)
		}
		if err != nil && fault.From(err).Kind != fault.Invalid {
			t.Fatal(err)
		}
	})
}

// still is a fleet that does not change by itself.
type still struct {
	Changes
	snap *registry.Snapshot
}

func (s *still) Snapshot() *registry.Snapshot { return s.snap }

// Standing makes the uuid's last digit the state.
func (*still) Standing(id registry.WorkerID) registry.Standing {
	return registry.Standing{State: states[int(id[35]-'0')%len(states)]}
}

// TestPagesCoverTheFleet: whatever the page size, and whoever comes and goes in
// between, every worker that stays and matches is listed exactly once, in order.
func TestPagesCoverTheFleet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		workers := rapid.SliceOfNDistinct(rapid.IntRange(0, 99), 0, 30, rapid.ID[int]).Draw(t, "workers")
		names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ä", ""}), 100, 100).Draw(t, "names")
		fleet := &still{}
		build := func(ids []int) {
			var all []*registry.Worker
			for _, i := range ids {
				all = append(all, &registry.Worker{ID: registry.WorkerID(fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012d", i)), Name: names[i], Active: true})
			}
			slices.SortFunc(all, func(a, b *registry.Worker) int {
				return strings.Compare(a.Name+"\x00"+string(a.ID), b.Name+"\x00"+string(b.ID))
			})
			fleet.snap = registry.NewSnapshot("", 1, time.Time{}, all)
		}
		build(workers)
		s := &service{Deps: Deps{Registry: watchless{fleet}, Prober: proberOnly{fleet}}}
		q := query{limit: rapid.IntRange(1, 7).Draw(t, "limit")}
		if rapid.Bool().Draw(t, "filter") {
			q.state = registry.StateHealthy
		}
		stays := map[string]bool{}
		for _, i := range workers {
			stays[fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012d", i)] = q.state == "" || states[i%10%len(states)] == q.state
		}
		var seen []string
		for {
			records, next := s.list(q, &everything)
			for _, r := range records {
				seen = append(seen, r.Name+"\x00"+r.UUID)
			}
			if next == "" {
				break
			}
			c, err := parseCursor(next)
			if err != nil {
				t.Fatal(err)
			}
			q.after = &c
			if len(workers) > 0 && rapid.Bool().Draw(t, "somebody leaves") {
				i := rapid.IntRange(0, len(workers)-1).Draw(t, "who")
				delete(stays, fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012d", workers[i]))
				workers = slices.Delete(slices.Clone(workers), i, i+1)
				build(workers)
			}
		}
		if !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != len(seen) {
			t.Fatalf("listed %q", seen)
		}
		for uuid, match := range stays {
			if match && !slices.ContainsFunc(seen, func(s string) bool { return strings.HasSuffix(s, uuid) }) {
				t.Fatalf("%s was never listed: %q", uuid, seen)
			}
		}
	})
}

// everything is a caller who may see all.
var everything = func() rest.Caller {
	set := (*access.Set)(nil).With(&access.Delta{
		Groups: []access.Group{{ID: access.ID{1}, Name: access.Everyone, System: true}},
		Grants: []access.Grant{{ID: access.ID{2}, Group: access.ID{1}, Type: authz.TypeWorker, Resource: authz.Wildcard}},
	})
	snapshot := registry.NewSnapshot("", 1, time.Time{}, nil).WithAccess(set)
	types, err := authz.NewTypes(authz.Standard()...)
	if err != nil {
		panic(err)
	}
	a, err := authz.NewAccess(authz.Config{}, types, func() *registry.Snapshot { return snapshot })
	if err != nil {
		panic(err)
	}
	who, err := a.Who(authn.Caller{Principal: &token.Principal{}})
	if err != nil {
		panic(err)
	}
	return rest.Caller{Who: who}
}()

type watchless struct{ *still }

func (watchless) Watch(ctx context.Context) <-chan *registry.Snapshot { return nil }

type proberOnly struct{ *still }

func (proberOnly) ProbeNow(context.Context, registry.Actor, registry.WorkerID) (registry.Standing, error) {
	return registry.Standing{}, errors.ErrUnsupported
}

// TestOpenAPI: the description names every call with its answers, and nothing
// that it refers to is missing.
func TestOpenAPI(t *testing.T) {
	anybody := rest.API{Gate: func(string) (rest.Guard, error) {
		return func(*http.Request) (rest.Caller, error) { return rest.Caller{}, nil }, nil
	}}
	srv := httptest.NewServer(anybody.Description("1.2.3", Describe))
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI string
		Info    struct{ Version string }
		Paths   map[string]map[string]struct {
			OperationID string
			Responses   map[string]any
		}
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Info.Version != "1.2.3" {
		t.Errorf("got %s %s", doc.OpenAPI, doc.Info.Version)
	}
	for _, op := range (&service{}).operations() {
		got := doc.Paths[op.Path][strings.ToLower(op.Method)]
		// Any call may also be 401, 403 or 503.
		if got.OperationID != op.ID || len(got.Responses) != len(op.Answers)+len(op.Problems)+3 {
			t.Errorf("%s %s is described as %+v", op.Method, op.Path, got)
		}
	}
	for _, part := range strings.Split(string(raw), `"$ref":"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if _, ok := doc.Components.Schemas[name]; !ok {
			t.Errorf("the schema %s is referred to and not there", name)
		}
	}
	for _, member := range []string{"uuid", "standing", "warning", "pausedUntil"} {
		if _, ok := doc.Components.Schemas["Changed"].Properties[member]; !ok {
			t.Errorf("Changed is described without %s", member)
		}
	}
	post, err := srv.Client().Post(srv.URL, "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = post.Body.Close()
	if post.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST gives %d", post.StatusCode)
	}
}

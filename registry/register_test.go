package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/store/duckdb"
)

// nobody is an Inspector of a fleet that must not be called.
type nobody struct{ t testing.TB }

func (n nobody) Inspect(_ context.Context, url string, _ registry.Transport) (registry.Info, error) {
	n.t.Errorf("%s was called", url)
	return registry.Info{}, errors.New("not to be called")
}

func open(t testing.TB, inspector registry.Inspector) *registry.Service {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, err := duckdb.Open(t.Context(), filepath.Join(t.TempDir(), "muster.db"), duckdb.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	s, err := registry.Open(t.Context(), store, registry.Options{Logger: log, Inspector: inspector})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

const someID = "8a8a8a8a-1b1b-4c4c-8d8d-0e0e0e0e0e0e"

func ptr[T any](v T) *T { return &v }

func TestAllMistakesOfABodyAtOnce(t *testing.T) {
	s := open(t, nobody{t})
	_, err := s.Register(t.Context(), registry.Actor{}, registry.RegisterInput{
		URL: "ftp://x", UUID: "nonsense", Name: strings.Repeat("x", 201), Transport: "soap",
		Settings: registry.SettingsInput{
			Timeout: ptr("soon"), OnFailure: ptr("open"), Identity: ptr("mine"), Audience: ptr("a\x00"),
			MaxElementsPerCall: ptr(-1), MaxConcurrent: ptr(0),
		},
		Violations: []fault.Violation{{Code: "bad_request", Pointer: "/colour", Detail: "is unknown"}},
	}, false)
	var e *fault.Error
	if !errors.As(err, &e) || e.Code != "bad_url" || e.Kind != fault.Unprocessable || !strings.HasPrefix(e.Detail, "url ") {
		t.Fatal(err)
	}
	var got []string
	for _, v := range e.Violations {
		got = append(got, v.Code+v.Pointer)
	}
	want := []string{
		"bad_url/url", "bad_uuid/uuid", "bad_settings/settings/timeout", "bad_settings/settings/onFailure",
		"bad_settings/settings/identity", "bad_settings/settings/audience", "bad_settings/settings/maxElementsPerCall",
		"bad_settings/settings/maxConcurrent", "bad_transport/transport", "bad_request/colour", "bad_request/name",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nnot %q", got, want)
	}
}

func TestOneMistakeEach(t *testing.T) {
	s := open(t, nobody{t})
	good := registry.RegisterInput{URL: "http://w:1/", UUID: someID}
	for name, c := range map[string]struct {
		change func(in *registry.RegisterInput)
		code   string
		says   string
	}{
		"no url":            {func(in *registry.RegisterInput) { in.URL = "" }, "bad_url", "missing"},
		"no uuid":           {func(in *registry.RegisterInput) { in.UUID = "" }, "bad_uuid", "missing"},
		"bad uuid":          {func(in *registry.RegisterInput) { in.UUID = "x-y" }, "bad_uuid", `"x-y"`},
		"unknown transport": {func(in *registry.RegisterInput) { in.Transport = "REST" }, "bad_transport", `"REST"`},
		"grpc over http":    {func(in *registry.RegisterInput) { in.Transport = "grpc" }, "bad_transport", "grpcs://"},
		"rest over grpc":    {func(in *registry.RegisterInput) { in.URL, in.Transport = "grpc://w:1", "rest" }, "bad_transport", "https://"},
		"blank name":        {func(in *registry.RegisterInput) { in.Name = "  " }, "bad_request", "blank"},
		"name with newline": {func(in *registry.RegisterInput) { in.Name = "a\nb" }, "bad_request", "printed"},
		"name not utf-8":    {func(in *registry.RegisterInput) { in.Name = "\xff" }, "bad_request", "printed"},
		"long name":         {func(in *registry.RegisterInput) { in.Name = strings.Repeat("ä", 201) }, "bad_request", "201"},
		"timeout 0":         {func(in *registry.RegisterInput) { in.Settings.Timeout = ptr("0s") }, "bad_settings", "above 0"},
		"timeout too long":  {func(in *registry.RegisterInput) { in.Settings.Timeout = ptr("60.001s") }, "bad_settings", "1m0s"},
		"timeout a number":  {func(in *registry.RegisterInput) { in.Settings.Timeout = ptr("2") }, "bad_settings", "duration"},
		"fail open":         {func(in *registry.RegisterInput) { in.Settings.OnFailure = ptr("open") }, "bad_settings", "no way to fail open"},
		"exchange for whom": {func(in *registry.RegisterInput) { in.Settings.Identity = ptr("exchange") }, "bad_settings", "audience"},
		"split unproven":    {func(in *registry.RegisterInput) { in.Settings.MaxElementsPerCall = ptr(1) }, "bad_settings", "laws"},
		"many at once":      {func(in *registry.RegisterInput) { in.Settings.MaxConcurrent = ptr(100_001) }, "bad_settings", "100000"},
		"long audience":     {func(in *registry.RegisterInput) { in.Settings.Audience = ptr(strings.Repeat("x", 257)) }, "bad_settings", "256"},
	} {
		in := good
		c.change(&in)
		_, err := s.Register(t.Context(), registry.Actor{}, in, true)
		var e *fault.Error
		if !errors.As(err, &e) || e.Code != c.code || len(e.Violations) != 1 || !strings.Contains(e.Detail, c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// yes answers whatever is asked for.
type yes struct{}

func (yes) Inspect(context.Context, string, registry.Transport) (registry.Info, error) {
	return registry.Info{Class: registry.ClassResult, Type: registry.TypeRuleTransformation, ID: someID, Version: "1"}, nil
}

func TestGoodRegistrations(t *testing.T) {
	s := open(t, yes{})
	for _, c := range []struct {
		in        registry.RegisterInput
		name      string
		transport registry.Transport
	}{
		{registry.RegisterInput{URL: "http://w"}, "w:80", "rest"},
		{registry.RegisterInput{URL: "https://W./x"}, "w:443", "rest"},
		{registry.RegisterInput{URL: "grpc://[::1]:9"}, "[::1]:9", "grpc"},
		{registry.RegisterInput{URL: "grpcs://w", Transport: "grpc", Name: strings.Repeat("ä", 200)}, strings.Repeat("ä", 200), "grpc"},
	} {
		c.in.UUID = someID
		c.in.Active = ptr(false)
		w, err := s.Register(t.Context(), registry.Actor{}, c.in, true)
		if err != nil || w.Name != c.name || w.Transport != c.transport || w.Active || w.URL != c.in.URL {
			t.Errorf("%+v %v", w, err)
		}
	}
}

func TestRefusedIsInTheListsOrder(t *testing.T) {
	order := registry.ViolationOrder()
	if registry.Refused(nil) != nil {
		t.Error("refused for nothing")
	}
	rapid.Check(t, func(t *rapid.T) {
		var all []fault.Violation
		for i, code := range rapid.SliceOfN(rapid.SampledFrom(append(order, "new_code")), 1, 8).Draw(t, "codes") {
			all = append(all, fault.Violation{Code: code, Detail: fmt.Sprint(i)})
		}
		given := slices.Clone(all)
		var e *fault.Error
		if !errors.As(registry.Refused(all), &e) || len(e.Violations) != len(all) || e.Code != e.Violations[0].Code || e.Detail != e.Violations[0].Detail {
			t.Fatal(e)
		}
		if !slices.Equal(all, given) {
			t.Error("the caller's list was changed")
		}
		rank := func(v fault.Violation) int {
			if i := slices.Index(order, v.Code); i >= 0 {
				return i
			}
			return len(order)
		}
		if !slices.IsSortedFunc(e.Violations, func(a, b fault.Violation) int { return rank(a) - rank(b) }) {
			t.Error(e.Violations)
		}
	})
}

func TestSettingsJSON(t *testing.T) {
	data, err := json.Marshal(registry.DefaultSettings())
	const want = `{"timeout":"2s","onFailure":"fail","mask":false,"identity":"forward","audience":"","maxElementsPerCall":0,"maxConcurrent":64}`
	if err != nil || string(data) != want {
		t.Errorf("%s %v", data, err)
	}
	var s registry.Settings
	if err := json.Unmarshal([]byte(`{}`), &s); err != nil || s != registry.DefaultSettings() {
		t.Errorf("%+v %v", s, err)
	}
	for _, bad := range []string{`[]`, `{"timeout":"x"}`, `{"timeout":2}`, `{"maxConcurrent":"x"}`} {
		if err := json.Unmarshal([]byte(bad), &s); err == nil {
			t.Errorf("%s was read as %+v", bad, s)
		}
	}
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"timeout":"2s","onFailure":"hide","mask":true,"identity":"exchange","audience":"a","maxElementsPerCall":7,"maxConcurrent":1}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"timeout":"1h2m3.000000004s"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s, again registry.Settings
		if err := json.Unmarshal(data, &s); err != nil {
			return
		}
		out, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &again); err != nil || again != s {
			t.Errorf("%s gives %+v %v, not %+v", out, again, err, s)
		}
	})
}

func TestActiveAt(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		w    registry.Worker
		want bool
	}{
		{registry.Worker{Active: true}, true},
		{registry.Worker{}, false},
		{registry.Worker{PausedUntil: at}, true},
		{registry.Worker{PausedUntil: at.Add(1)}, false},
	} {
		if c.w.ActiveAt(at) != c.want {
			t.Errorf("%+v", c.w)
		}
	}
}

func TestOpenNeedsItsOptions(t *testing.T) {
	if _, err := registry.Open(t.Context(), nil, registry.Options{}); err == nil {
		t.Error("opened with nothing")
	}
}

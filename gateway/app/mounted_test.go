package app_test

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/app"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/config"
	"github.com/muster-fleet/muster/gateway/edge"
)

// mounted looks through handlers for what they answer. It reads net/http's own
// tables, so that nothing can be mounted past it.
type mounted struct {
	t    *testing.T
	keys map[string]bool
}

// patternsOf returns "METHOD /pattern", or "/pattern" for all methods, of everything
// that a listener answers.
func patternsOf(t *testing.T, s *edge.HTTPServer) []string {
	t.Helper()
	m := &mounted{t: t, keys: map[string]bool{}}
	m.handler("", reflect.ValueOf(s).Elem().FieldByName("srv").Elem().FieldByName("Handler"))
	if len(m.keys) == 0 {
		t.Fatal("nothing is mounted; has net/http's ServeMux changed inside?")
	}
	return slices.Sorted(maps.Keys(m.keys))
}

var (
	handlerType = reflect.TypeFor[http.Handler]()
	muxType     = reflect.TypeFor[http.ServeMux]()
)

// handler notes what a handler that is mounted at a pattern answers: what the
// ServeMux inside of it has, else the pattern, by method where it tells them apart.
func (m *mounted) handler(pattern string, v reflect.Value) {
	for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		m.keys[pattern] = true
		return
	}
	if v.Type() == muxType {
		m.node(v.FieldByName("tree"))
		return
	}
	if methods := v.FieldByName("byMethod"); methods.IsValid() {
		for _, k := range methods.MapKeys() {
			m.keys[k.String()+" "+pattern] = true
		}
		return
	}
	inner := false
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Name != "other" && f.Type.Implements(handlerType) {
			m.handler(pattern, v.Field(i))
			inner = true
		}
	}
	if !inner {
		m.keys[pattern] = true
	}
}

// node goes through the tree of a ServeMux.
func (m *mounted) node(v reflect.Value) {
	if p := v.FieldByName("pattern"); !p.IsNil() {
		m.handler(p.Elem().FieldByName("str").String(), v.FieldByName("handler"))
	}
	for _, name := range []string{"multiChild", "emptyChild"} {
		if child := v.FieldByName(name); !child.IsNil() {
			m.node(child.Elem())
		}
	}
	children := v.FieldByName("children")
	for list, i := children.FieldByName("s"), 0; i < list.Len(); i++ {
		m.node(list.Index(i).FieldByName("value").Elem())
	}
	for it := children.FieldByName("m").MapRange(); it.Next(); {
		m.node(it.Value().Elem())
	}
}

// Everything that is mounted stands in the table, and everything in the table is
// mounted.
func TestEveryRouteIsInTheTable(t *testing.T) {
	cfg := config.Default()
	cfg.HTTP.Addr, cfg.GRPC.Addr, cfg.Ops.Addr, cfg.Ops.Pprof = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", true
	cfg.Store = config.StoreURL("duckdb:" + filepath.Join(t.TempDir(), "muster.db"))
	cfg.Auth.Issuer, cfg.Auth.Audience = "http://127.0.0.1:1/realms/muster", "muster"
	api, ops, end, err := app.Mounted(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := end(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	want := map[bool]map[string]bool{true: {}, false: {}} // whether on the operations listener
	for _, e := range authz.Endpoints() {
		if !strings.Contains(e.Key, ".") || e.Key == "GET /api/openapi.json" { // others are gRPC's
			want[e.Ops][e.Key] = true
		}
	}
	for onOps, got := range map[bool][]string{false: patternsOf(t, api), true: patternsOf(t, ops)} {
		if len(got) < 4 {
			t.Errorf("operations %v: only %q are mounted", onOps, got)
		}
		for _, key := range got {
			if !want[onOps][key] && (!onOps || !strings.HasPrefix(key, "/debug/pprof/")) {
				t.Errorf("operations %v: %s is mounted, and the table says nothing of it", onOps, key)
			}
			delete(want[onOps], key)
		}
		for key := range want[onOps] {
			t.Errorf("operations %v: the table has %s, which is not mounted", onOps, key)
		}
	}
}

// A route that somebody forgets to enter keeps the gateway from starting.
func TestARouteOutsideTheTableIsFound(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("GET /api/a", http.NotFoundHandler())
	inner := http.NewServeMux()
	inner.HandleFunc("/api/b/{id}", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/api/b/", http.StripPrefix("", inner))
	m := &mounted{t: t, keys: map[string]bool{}}
	m.handler("", reflect.ValueOf(mux))
	if got := slices.Sorted(maps.Keys(m.keys)); !slices.Equal(got, []string{"/api/b/{id}", "GET /api/a"}) {
		t.Errorf("%q", got)
	}
}

package edge

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

// benchGate is the gate of a filter endpoint with real tokens, over so many users,
// each in a group of their own, that share so many grants.
type benchGate struct {
	gate   *Gate
	need   *authz.Endpoint
	worker *authz.Endpoint
	req    *http.Request
}

func newBenchGate(tb testing.TB, users, grants int) *benchGate {
	tb.Helper()
	issuer, err := devissuer.New(tb.Context(), devissuer.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = issuer.Close() })
	v, err := token.NewVerifier(tb.Context(), token.Config{Issuers: []token.Issuer{{Issuer: issuer.URL(), Audience: devissuer.Audience, MapRoles: true}}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(v.Close)
	raw, err := issuer.Issue("alice", map[string]any{"sub": "s0", "groups": []string{"/a", "/b", "/c"}})
	if err != nil {
		tb.Fatal(err)
	}
	types, err := authz.NewTypes(authz.Standard()...)
	if err != nil {
		tb.Fatal(err)
	}
	table, err := authz.NewTable(types, authz.Endpoints()...)
	if err != nil {
		tb.Fatal(err)
	}
	snapshot := registry.NewSnapshot("", 1, time.Now(), nil).WithAccess(manyUsers(issuer.URL(), users, grants))
	a, err := authz.NewAccess(authz.Config{}, types, func() *registry.Snapshot { return snapshot })
	if err != nil {
		tb.Fatal(err)
	}
	g := &benchGate{gate: NewGate(authn.New(v, authn.Options{}), a, table), req: httptest.NewRequestWithContext(tb.Context(), http.MethodPost, filterPath, nil)}
	g.need, g.worker = g.gate.must(http.MethodPost+" "+filterPath), g.gate.must("GET /api/workers/{uuid}")
	g.req.Header.Set("Authorization", "Bearer "+raw)
	g.req.SetPathValue("uuid", workerOf(0))
	return g
}

// manyUsers is a set of that size.
func manyUsers(issuer string, users, grants int) *access.Set {
	id := func(kind byte, n int) (out access.ID) {
		out[0] = kind
		binary.BigEndian.PutUint64(out[8:], uint64(n))
		return out
	}
	d := access.Delta{Groups: []access.Group{{ID: id(1, 0), Name: access.Admin, System: true}, {ID: id(1, 1), Name: access.Everyone, System: true}}}
	for i := range users {
		d.Users = append(d.Users, access.User{ID: id(2, i), Issuer: issuer, Subject: fmt.Sprintf("s%d", i), Active: true})
		d.Groups = append(d.Groups, access.Group{ID: id(3, i), Name: fmt.Sprintf("g%d", i)})
		d.Members = append(d.Members, access.Member{MemberKey: access.MemberKey{User: id(2, i), Group: id(3, i), Source: access.SourceAdmin}})
	}
	for i := range grants {
		d.Grants = append(d.Grants, access.Grant{ID: id(4, i), Group: id(3, i%users), Type: authz.TypeWorker, Resource: workerOf(i)})
	}
	return (*access.Set)(nil).With(&d)
}

func workerOf(n int) string { return fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012d", n) }

// enter is what the filter endpoint asks before anything else.
func (g *benchGate) enter(e *authz.Endpoint) error {
	caller, err := g.gate.authn.FromRequest(g.req)
	if err == nil {
		_, _, err = g.gate.decide(caller, e, g.req.PathValue)
	}
	return err
}

// The gate takes no memory for who is let in, beside what verifying a token takes.
func TestTheGateAllocatesNothing(t *testing.T) {
	g := newBenchGate(t, 10, 100)
	caller, err := g.gate.authn.FromRequest(g.req)
	if err != nil {
		t.Fatal(err)
	}
	param := g.req.PathValue
	for _, e := range []*authz.Endpoint{g.need, g.worker} {
		if n := testing.AllocsPerRun(200, func() {
			if _, _, err := g.gate.decide(caller, e, param); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", e.Key, n)
		}
	}
	if err := g.enter(g.need); err != nil {
		t.Error(err)
	}
}

// BenchmarkGate is what it costs to be let in: the token alone, as where nobody asks
// what its bearer may; the table, groups and grants alone; and both, as a request has
// them.
func BenchmarkGate(b *testing.B) {
	for _, size := range []struct{ users, grants int }{{100, 1000}, {100_000, 1_000_000}} {
		g := newBenchGate(b, size.users, size.grants)
		caller, err := g.gate.authn.FromRequest(g.req)
		if err != nil {
			b.Fatal(err)
		}
		name := fmt.Sprintf("%dusers-%dgrants/", size.users, size.grants)
		run := func(what string, do func() error) {
			b.Run(name+what, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := do(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		param := g.req.PathValue
		run("token-alone", func() error { _, err := g.gate.authn.FromRequest(g.req); return err })
		run("gate-alone-filter", func() error { _, _, err := g.gate.decide(caller, g.need, param); return err })
		run("gate-alone-one-worker", func() error { _, _, err := g.gate.decide(caller, g.worker, param); return err })
		run("both-filter", func() error { return g.enter(g.need) })
		run("both-one-worker", func() error { return g.enter(g.worker) })
	}
}

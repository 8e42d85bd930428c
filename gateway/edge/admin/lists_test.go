package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// still is a registry that does not change by itself; nothing changes it here.
type still struct {
	Registry
	snap *registry.Snapshot
}

func (s *still) Snapshot() *registry.Snapshot { return s.snap }

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func id(kind byte, n int) access.ID { return access.ID{kind, 14: byte(n >> 8), 15: byte(n)} }

// types are resource types of a test's own, one of which can be granted as a
// whole, and has one resource that another one implies.
func types(t testing.TB) *authz.Types {
	t.Helper()
	blocks := func(context.Context, authz.Facts) ([]authz.Block, error) {
		return []authz.Block{{ID: "b", Name: "Block", Items: []authz.Item{{ResourceID: "r1", Name: "R 1"}}}}, nil
	}
	check := func(id string) (string, error) {
		if strings.Contains(id, "!") {
			return "", errors.New("has an exclamation mark")
		}
		return strings.ToLower(id), nil
	}
	all, err := authz.NewTypes(
		authz.Type{Key: "thing", Display: "Thing", Description: "A thing.", IDFormat: "a name", Check: check, Wildcard: true, Blocks: blocks, Code: "denied", What: "a thing"},
		authz.Type{Key: "rules", Display: "Rules", Description: "Rules.", IDFormat: "read or write", Check: check, Blocks: blocks, Code: "denied", What: "work", Implied: map[string]string{"read": "write"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// over is the API over a set, to whoever asks.
func over(t testing.TB, set *access.Set) http.Handler {
	t.Helper()
	return Handler(Deps{
		Registry: &still{snap: registry.NewSnapshot("", 1, noon, nil).WithAccess(set)}, Types: types(t), Logger: slog.New(slog.DiscardHandler),
		Gate: func(string) (rest.Guard, error) {
			return func(*http.Request) (rest.Caller, error) { return rest.Caller{}, nil }, nil
		},
		Clock: func() time.Time { return noon },
	})
}

type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// walk reads all pages of a list and returns the items, as they were written.
func walk(t fatal, h http.Handler, path string, limit int) []json.RawMessage {
	t.Helper()
	var all []json.RawMessage
	for cursor := ""; ; {
		query := url.Values{"limit": {fmt.Sprint(limit)}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+separator+query.Encode(), nil))
		var page struct {
			Items      []json.RawMessage
			NextCursor string `json:"nextCursor"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != http.StatusOK || page.Items == nil {
			t.Fatalf("%s: %d %s %v", path, w.Code, w.Body, err)
		}
		if len(page.Items) > limit || page.NextCursor != "" && len(page.Items) < limit {
			t.Fatalf("%s: a page of %d has %d entries", path, limit, len(page.Items))
		}
		all = append(all, page.Items...)
		if cursor = page.NextCursor; cursor == "" {
			return all
		}
	}
}

// drawn is a set with everything that was put into it.
type drawn struct {
	access.Delta
	set *access.Set
}

func draw(t *rapid.T) drawn {
	var d drawn
	for i := range rapid.IntRange(0, 6).Draw(t, "users") {
		d.Users = append(d.Users, access.User{ID: id('u', i+1), Email: fmt.Sprintf("U%d@example.org", i%5), Username: fmt.Sprintf("user%d", i), Active: rapid.Bool().Draw(t, "active")})
	}
	names := append([]string{access.Admin, access.Everyone}, rapid.SliceOfNDistinct(rapid.StringMatching(`[a-c]{1,2}`), 0, 3, rapid.ID[string]).Draw(t, "groups")...)
	for i, name := range names {
		d.Groups = append(d.Groups, access.Group{ID: id('g', i+1), Name: name, System: i < 2})
	}
	sources := access.Sources()
	for u := range d.Users {
		for g := range d.Groups {
			for _, s := range sources {
				if rapid.IntRange(0, 5).Draw(t, "member") == 0 && g != 1 {
					d.Members = append(d.Members, access.Member{MemberKey: access.MemberKey{User: d.Users[u].ID, Group: d.Groups[g].ID, Source: s}})
				}
			}
		}
	}
	for i, g := range d.Groups {
		for j, r := range []reachKey{{"thing", "a"}, {"thing", "*"}, {"rules", "read"}, {"rules", "write"}} {
			if rapid.IntRange(0, 2).Draw(t, "granted") == 0 {
				ends := rapid.SampledFrom([]time.Time{{}, noon, noon.Add(1)}).Draw(t, "ends")
				d.Grants = append(d.Grants, access.Grant{ID: id('r', 10*i+j+1), Group: g.ID, Type: r.typ, Resource: r.resource, Expires: ends})
			}
		}
	}
	for i := range len(d.Users) * 2 {
		if rapid.Bool().Draw(t, "token") {
			d.Tokens = append(d.Tokens, access.Token{ID: id('t', i+1), User: d.Users[i%len(d.Users)].ID, Digest: [32]byte{byte(i + 1)}, Scopes: []string{"read"}})
		}
	}
	d.set = (*access.Set)(nil).With(&d.Delta)
	return d
}

// groupsOf are the names of a user's groups, in the plain way.
func (d *drawn) groupsOf(u access.ID) []string {
	names := []string{access.Everyone}
	for _, m := range d.Members {
		if m.User == u {
			i := slices.IndexFunc(d.Groups, func(g access.Group) bool { return g.ID == m.Group })
			names = append(names, d.Groups[i].Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// opened are the names of the groups with a grant in force on one of resources.
func (d *drawn) opened(typ string, resources ...string) []string {
	var names []string
	for _, g := range d.Grants {
		if g.Type == typ && slices.Contains(resources, g.Resource) && g.InForce(noon) {
			i := slices.IndexFunc(d.Groups, func(of access.Group) bool { return of.ID == g.Group })
			names = append(names, d.Groups[i].Name)
		}
	}
	return names
}

func decode[T any](t fatal, raw []json.RawMessage) []T {
	var all []T
	for _, one := range raw {
		var v T
		if err := json.Unmarshal(one, &v); err != nil {
			t.Fatalf("%s: %v", one, err)
		}
		all = append(all, v)
	}
	return all
}

// Whatever the size of pages, each list has each entry once, in its order.
func TestListsHaveEachEntryOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := draw(rt)
		h, limit := over(t, d.set), rapid.IntRange(1, 5).Draw(rt, "limit")
		check := func(path string, got, want []string) {
			if !slices.Equal(got, want) {
				rt.Fatalf("%s: got %q, want %q", path, got, want)
			}
		}
		check("groups", keys(rt, h, Root+"/groups", limit, "name"), sorted(d.Groups, func(g access.Group) string { return g.Name }))
		check("grants", keys(rt, h, Root+"/grants", limit, "id"), sorted(d.Grants, func(g access.Grant) string { return g.ID.String() }))
		check("users", keys(rt, h, Root+"/users", limit, "id"), sorted(d.Users, func(u access.User) string { return u.ID.String() }))
		check("tokens", slices.Sorted(slices.Values(keys(rt, h, Root+"/tokens", limit, "id"))), sorted(d.Tokens, func(k access.Token) string { return k.ID.String() }))
		for _, g := range d.Groups {
			of := slices.DeleteFunc(slices.Clone(d.Members), func(m access.Member) bool { return m.Group != g.ID })
			want := sorted(of, func(m access.Member) string { return m.User.String() + between + string(m.Source) })
			if g.Name == access.Everyone {
				want = sorted(d.Users, func(u access.User) string { return u.ID.String() + between + "everyone" })
			}
			check("members", keys(rt, h, Root+"/groups/"+g.ID.String()+"/members", limit, "user_id", "source"), want)
			grants := slices.DeleteFunc(slices.Clone(d.Grants), func(r access.Grant) bool { return r.Group != g.ID || r.Type != "thing" })
			check("grants of a group", keys(rt, h, Root+"/grants?resource_type=thing&group_id="+g.ID.String(), limit, "id"),
				sorted(grants, func(r access.Grant) string { return r.ID.String() }))
		}
		for _, u := range d.Users {
			of := slices.DeleteFunc(slices.Clone(d.Members), func(m access.Member) bool { return m.User != u.ID })
			got := keys(rt, h, Root+"/users/"+u.ID.String()+"/memberships", limit, "group_name", "source")
			if len(got) != len(of)+1 || !slices.IsSorted(got) || !slices.Contains(got, "Everyone"+between+"everyone") {
				rt.Fatalf("memberships: got %q, want %+v", got, of)
			}
			tokens := slices.DeleteFunc(slices.Clone(d.Tokens), func(k access.Token) bool { return k.User != u.ID })
			check("tokens of a user", keys(rt, h, Root+"/tokens?user_id="+u.ID.String(), limit, "id"), sorted(tokens, func(k access.Token) string { return k.ID.String() }))
		}
	})
}

// keys are what members of a list's items hold, put together.
func keys(t fatal, h http.Handler, path string, limit int, members ...string) []string {
	all := []string{}
	for _, item := range decode[map[string]any](t, walk(t, h, path, limit)) {
		var parts []string
		for _, m := range members {
			parts = append(parts, item[m].(string))
		}
		all = append(all, strings.Join(parts, between))
	}
	return all
}

func sorted[T any](of []T, key func(T) string) []string {
	all := []string{}
	for _, one := range of {
		all = append(all, key(one))
	}
	slices.Sort(all)
	return all
}

// Who may reach what, and what who may reach, are what the plain way finds.
func TestReachBothWays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := draw(rt)
		h, limit := over(t, d.set), rapid.IntRange(1, 5).Draw(rt, "limit")
		for resource, covers := range map[reachKey][]string{
			{"thing", "a"}: {"a", "*"}, {"thing", "*"}: {"*"}, {"thing", "b"}: {"b", "*"}, {"rules", "read"}: {"read", "write"}, {"rules", "write"}: {"write"},
		} {
			open := append(d.opened(resource.typ, covers...), access.Admin)
			want := map[string][]string{}
			for _, u := range d.Users {
				through := slices.DeleteFunc(d.groupsOf(u.ID), func(g string) bool { return !slices.Contains(open, g) })
				if u.Active && len(through) > 0 {
					want[u.ID.String()] = through
				}
			}
			got := decode[Holder](rt, walk(rt, h, Root+"/who-can?resource_type="+resource.typ+"&resource_id="+url.QueryEscape(resource.resource), limit))
			if !slices.IsSortedFunc(got, func(a, b Holder) int { return strings.Compare(a.UserID, b.UserID) }) || len(got) != len(want) {
				rt.Fatalf("%v: got %+v, want %v", resource, got, want)
			}
			for _, one := range got {
				if !slices.Equal(namesOf(one.ViaGroups), want[one.UserID]) {
					rt.Fatalf("%v: got %+v, want %v", resource, one, want[one.UserID])
				}
			}
		}
		for _, u := range d.Users {
			checkReach(rt, h, &d, u, limit)
		}
	})
}

func checkReach(t *rapid.T, h http.Handler, d *drawn, u access.User, limit int) {
	path := Root + "/users/" + u.ID.String() + "/effective-access"
	items := decode[Reach](t, walk(t, h, path, limit))
	groups := d.groupsOf(u.ID)
	want := map[reachKey][]string{}
	admin := slices.Contains(groups, access.Admin)
	if u.Active && !admin {
		for _, g := range d.Grants {
			if open := d.opened(g.Type, g.Resource); g.InForce(noon) {
				if through := slices.DeleteFunc(slices.Clone(groups), func(n string) bool { return !slices.Contains(open, n) }); len(through) > 0 {
					want[reachKey{g.Type, g.Resource}] = through
				}
			}
		}
	}
	for _, one := range items {
		if !slices.Equal(namesOf(one.ViaGroups), want[reachKey{one.ResourceType, one.ResourceID}]) {
			t.Fatalf("%s: got %+v, want %v", u.Username, one, want)
		}
	}
	ordered := slices.IsSortedFunc(items, func(a, b Reach) int {
		return reachKey{a.ResourceType, a.ResourceID}.compare(reachKey{b.ResourceType, b.ResourceID})
	})
	if len(items) != len(want) || !ordered {
		t.Fatalf("%s: got %+v, want %v", u.Username, items, want)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if flag := fmt.Sprintf(`"is_admin":%v`, admin && u.Active); !bytes.Contains(w.Body.Bytes(), []byte(flag)) {
		t.Fatalf("%s: %s without %s", u.Username, w.Body, flag)
	}
}

func namesOf(groups []ViaGroup) []string {
	var names []string
	for _, g := range groups {
		names = append(names, g.GroupName)
	}
	return names
}

// A walk goes on behind the entry that it stopped at, whoever is gone since.
func TestAWalkOutlivesItsEntries(t *testing.T) {
	var d access.Delta
	for i := range 6 {
		d.Groups = append(d.Groups, access.Group{ID: id('g', i+1), Name: fmt.Sprintf("g%d", i)})
	}
	set := (*access.Set)(nil).With(&d)
	w := httptest.NewRecorder()
	over(t, set).ServeHTTP(w, httptest.NewRequest(http.MethodGet, Root+"/groups?limit=3", nil))
	var first GroupPage
	if err := json.Unmarshal(w.Body.Bytes(), &first); err != nil || len(first.Items) != 3 {
		t.Fatalf("%s %v", w.Body, err)
	}
	set = set.With(&access.Delta{GoneGroups: []access.ID{id('g', 3), id('g', 4)}, Groups: []access.Group{{ID: id('g', 9), Name: "g00"}}})
	w = httptest.NewRecorder()
	over(t, set).ServeHTTP(w, httptest.NewRequest(http.MethodGet, Root+"/groups?cursor="+first.NextCursor, nil))
	var second GroupPage
	if err := json.Unmarshal(w.Body.Bytes(), &second); err != nil || len(second.Items) != 2 || second.Items[0].Name != "g4" {
		t.Fatalf("%s %v", w.Body, err)
	}
}

package access

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// naive is a set as maps, and every question answered by walking over all of them.
type naive struct {
	users   map[ID]User
	groups  map[ID]Group
	members map[MemberKey]Member
	grants  map[ID]Grant
	tokens  map[ID]Token
}

func newNaive() naive {
	return naive{map[ID]User{}, map[ID]Group{}, map[MemberKey]Member{}, map[ID]Grant{}, map[ID]Token{}}
}

func (n naive) clone() naive {
	return naive{maps.Clone(n.users), maps.Clone(n.groups), maps.Clone(n.members), maps.Clone(n.grants), maps.Clone(n.tokens)}
}

// dropGroup and dropUser are the cascades.
func (n naive) dropGroup(id ID) {
	delete(n.groups, id)
	maps.DeleteFunc(n.members, func(k MemberKey, _ Member) bool { return k.Group == id })
	maps.DeleteFunc(n.grants, func(_ ID, g Grant) bool { return g.Group == id })
}

func (n naive) dropUser(id ID) {
	delete(n.users, id)
	maps.DeleteFunc(n.members, func(k MemberKey, _ Member) bool { return k.User == id })
	maps.DeleteFunc(n.tokens, func(_ ID, t Token) bool { return t.User == id })
}

func lessKey(a, b MemberKey) int {
	return cmp.Or(bytes.Compare(a.Group[:], b.Group[:]), bytes.Compare(a.User[:], b.User[:]), strings.Compare(string(a.Source), string(b.Source)))
}

func lessBytes(a, b ID) int { return bytes.Compare(a[:], b[:]) }

// all lists what a map holds, in the order of its keys, as far as it is wanted.
func all[K comparable, V any](of map[K]V, compare func(a, b K) int, wanted func(V) bool) []V {
	var list []V
	for _, k := range slices.SortedFunc(maps.Keys(of), compare) {
		if wanted(of[k]) {
			list = append(list, of[k])
		}
	}
	return list
}

// diff is the change from one state to another. What goes by cascade is listed or
// not, as it is drawn.
func diff(t *rapid.T, from, to naive) *Delta {
	cascades := rapid.Bool().Draw(t, "list what cascades")
	d := &Delta{
		Users: changed(from.users, to.users, lessBytes), Groups: changed(from.groups, to.groups, lessBytes),
		Members: changed(from.members, to.members, lessKey), Grants: changed(from.grants, to.grants, lessBytes),
		Tokens: changed(from.tokens, to.tokens, lessBytes), GoneUsers: gone(from.users, to.users, lessBytes),
		GoneGroups: gone(from.groups, to.groups, lessBytes), GoneMembers: gone(from.members, to.members, lessKey),
		GoneGrants: gone(from.grants, to.grants, lessBytes), GoneTokens: gone(from.tokens, to.tokens, lessBytes),
	}
	if !cascades {
		d.GoneMembers = slices.DeleteFunc(d.GoneMembers, func(k MemberKey) bool {
			return slices.Contains(d.GoneUsers, k.User) || slices.Contains(d.GoneGroups, k.Group)
		})
		d.GoneGrants = slices.DeleteFunc(d.GoneGrants, func(id ID) bool { return slices.Contains(d.GoneGroups, from.grants[id].Group) })
		d.GoneTokens = slices.DeleteFunc(d.GoneTokens, func(id ID) bool { return slices.Contains(d.GoneUsers, from.tokens[id].User) })
	}
	return d
}

func changed[K comparable, V any](from, to map[K]V, compare func(a, b K) int) []V {
	var list []V
	for _, k := range slices.SortedFunc(maps.Keys(to), compare) {
		if old, there := from[k]; !there || !reflect.DeepEqual(old, to[k]) {
			list = append(list, to[k])
		}
	}
	return list
}

func gone[K comparable, V any](from, to map[K]V, compare func(a, b K) int) []K {
	var list []K
	for _, k := range slices.SortedFunc(maps.Keys(from), compare) {
		if _, there := to[k]; !there {
			list = append(list, k)
		}
	}
	return list
}

// everything is a whole state as one change.
func (n naive) everything(t *rapid.T) *Delta { return diff(t, newNaive(), n) }

func (n naive) groupNamed(name string) (Group, bool) {
	for _, g := range n.groups {
		if g.Name == name {
			return g, true
		}
	}
	return Group{}, false
}

// names are those of the groups that somebody is in, straight from section 1 of
// specs/access.md: what the token says, the stored memberships of other sources
// (those of the identity provider for fresh personal access tokens), Everyone.
func (n naive) names(w *Who) map[string]bool {
	in := map[string]bool{}
	for _, g := range n.groups {
		if g.Name == "Everyone" || slices.Contains(w.Named, g.Name) {
			in[g.Name] = true
		}
		for _, m := range n.members {
			if w.User != nil && m.User == w.User.ID && m.Group == g.ID && (m.Source != "idp_sync" || w.Sync) {
				in[g.Name] = true
			}
		}
	}
	return in
}

func (n naive) via(w *Who, typ, resource string, wildcard bool, now time.Time) []Grant {
	in := n.names(w)
	return all(n.grants, lessBytes, func(g Grant) bool {
		here := g.Resource == resource || wildcard && g.Resource == "*"
		return in[n.groups[g.Group].Name] && g.Type == typ && here && (g.Expires.IsZero() || now.Before(g.Expires))
	})
}

func (n naive) isAdmin(w *Who) bool {
	_, there := n.groupNamed("Admin")
	return there && n.names(w)["Admin"]
}

// same compares what pointers lead to with values.
func same[T any](t *rapid.T, what string, got iter.Seq[*T], want []T) {
	var values []T
	for p := range got {
		values = append(values, *p)
	}
	if !reflect.DeepEqual(values, want) {
		t.Fatalf("%s gives %d: %+v\nnot %d: %+v", what, len(values), values, len(want), want)
	}
}

// is compares a pointer, which may be nil, with a value that may be missing.
func is[T any](t *rapid.T, what string, got *T, want T, there bool) {
	if (got != nil) != there || there && !reflect.DeepEqual(*got, want) {
		t.Fatalf("%s gives %+v, not %+v (%v)", what, got, want, there)
	}
}

func one[T any](list []T) (T, bool) {
	var none T
	if len(list) == 0 {
		return none, false
	}
	return list[0], true
}

// check compares every look-up of a set with the state it should have.
func (n naive) check(t *rapid.T, s *Set) {
	counts := []int{s.UserCount(), s.GroupCount(), s.MemberTotal(), s.GrantTotal(), s.TokenCount()}
	if want := []int{len(n.users), len(n.groups), len(n.members), len(n.grants), len(n.tokens)}; !slices.Equal(counts, want) {
		t.Fatalf("counts are %v, not %v", counts, want)
	}
	n.checkUsers(t, s)
	n.checkGroups(t, s)
	n.checkGrants(t, s)
	for id := range 6 {
		tok, there := n.tokens[tokenID(id)]
		is(t, "Token", s.Token(tokenID(id)), tok, there)
		is(t, "TokenByDigest", s.TokenByDigest(digestOf(id)), tok, there)
	}
}

// someOf are the numbers that changes like best, and a few more.
func someOf(t *rapid.T) []int {
	return append([]int{0, 1, 2, 3, 4, 5}, rapid.SliceOfN(rapid.IntRange(6, crowded), 2, 2).Draw(t, "others")...)
}

func (n naive) checkUsers(t *rapid.T, s *Set) {
	after := userID(rapid.IntRange(-1, crowded).Draw(t, "users after"))
	same(t, "UsersAfter", s.UsersAfter(after), all(n.users, lessBytes, func(u User) bool { return lessBytes(u.ID, after) > 0 }))
	for _, i := range someOf(t) {
		id := userID(i)
		u, there := n.users[id]
		is(t, "User", s.User(id), u, there)
		same(t, "GroupsOf", s.GroupsOf(id), all(n.members, lessKey, func(m Member) bool { return m.User == id }))
		same(t, "TokensOf", s.TokensOf(id), all(n.tokens, lessBytes, func(k Token) bool { return k.User == id }))
	}
	for _, e := range emails {
		of := all(n.users, lessBytes, func(u User) bool {
			return strings.TrimSpace(u.Email) != "" && strings.EqualFold(strings.TrimSpace(u.Email), e)
		})
		same(t, "UsersByEmail", s.UsersByEmail(FoldEmail(e)), of)
		unbound, there := one(slices.DeleteFunc(of, func(u User) bool { return u.Subject != "" }))
		is(t, "UnboundByEmail", s.UnboundByEmail(FoldEmail(e)), unbound, there)
	}
	for _, issuer := range issuers {
		for _, subject := range subjects {
			u, there := one(all(n.users, lessBytes, func(u User) bool { return subject != "" && u.Issuer == issuer && u.Subject == subject }))
			is(t, fmt.Sprint("UserOf ", issuer, subject), s.UserOf(issuer, subject), u, there)
		}
	}
}

func (n naive) checkGroups(t *rapid.T, s *Set) {
	after := rapid.SampledFrom(names).Draw(t, "groups after")
	byName := slices.SortedFunc(maps.Values(n.groups), func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
	byName = slices.DeleteFunc(byName, func(g Group) bool { return g.Name <= after })
	same(t, "GroupsAfter", s.GroupsAfter(after), slices.Clip(append([]Group(nil), byName...)))
	for _, name := range names {
		g, there := n.groupNamed(name)
		is(t, "GroupByName", s.GroupByName(name), g, there)
	}
	key := MemberKey{User: userID(rapid.IntRange(-1, crowded).Draw(t, "members after")), Source: rapid.SampledFrom(Sources()).Draw(t, "source")}
	for _, i := range someOf(t) {
		id := groupID(i)
		g, there := n.groups[id]
		is(t, "Group", s.Group(id), g, there)
		key.Group = id
		same(t, "MembersOf", s.MembersOf(id, key), all(n.members, lessKey, func(m Member) bool { return m.Group == id && lessKey(m.MemberKey, key) > 0 }))
		of := all(n.members, lessKey, func(m Member) bool { return m.Group == id })
		same(t, "MembersOf from the start", s.MembersOf(id, MemberKey{}), of)
		of = slices.CompactFunc(of, func(a, b Member) bool { return a.User == b.User })
		grants := all(n.grants, lessBytes, func(g Grant) bool { return g.Group == id })
		same(t, "GrantsOf", s.GrantsOf(id), grants)
		if s.MemberCount(id) != len(of) || s.GrantCount(id) != len(grants) {
			t.Fatalf("%d people and %d grants, not %d and %d", s.MemberCount(id), s.GrantCount(id), len(of), len(grants))
		}
		for _, src := range Sources() {
			k := MemberKey{userID(i), groupID(i / 2), src}
			m, there := n.members[k]
			is(t, "Member", s.Member(k), m, there)
		}
	}
}

func (n naive) checkGrants(t *rapid.T, s *Set) {
	after := grantID(rapid.IntRange(-1, 200).Draw(t, "grants after"))
	same(t, "GrantsAfter", s.GrantsAfter(after), all(n.grants, lessBytes, func(g Grant) bool { return lessBytes(g.ID, after) > 0 }))
	for i := range 20 {
		g, there := n.grants[grantID(i)]
		is(t, "Grant", s.Grant(grantID(i)), g, there)
	}
	for _, typ := range types {
		for _, res := range resources {
			to := all(n.grants, lessBytes, func(g Grant) bool { return g.Type == typ && g.Resource == res })
			slices.SortFunc(to, func(a, b Grant) int { return lessBytes(a.Group, b.Group) })
			same(t, "GrantsTo", s.GrantsTo(typ, res), to)
			group := groupID(rapid.IntRange(0, 5).Draw(t, "group"))
			g, there := one(slices.DeleteFunc(to, func(g Grant) bool { return g.Group != group }))
			is(t, "GrantFor", s.GrantFor(group, typ, res), g, there)
		}
	}
}

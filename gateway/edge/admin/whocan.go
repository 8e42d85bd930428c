package admin

import (
	"bytes"
	"iter"
	"maps"
	"net/http"
	"slices"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/registry/access"
)

func (a *api) whoCan(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	q := rest.ReadQuery(r, "resource_type", "resource_id", "limit", "cursor")
	limit, after := q.Limit(), listWhoCan.afterID(q)
	for _, name := range []string{"resource_type", "resource_id"} {
		if q.Get(name) == "" {
			q.Add("%s is missing", name)
		}
	}
	if err := q.Err(); err != nil {
		return err
	}
	typ := q.Get("resource_type")
	resource, err := a.Types.CheckGrant(typ, q.Get("resource_id"))
	if err != nil {
		return err
	}
	set := a.set()
	groups := a.opening(set, a.Types.Type(typ), resource)
	var out HolderPage
	out.Items, out.NextCursor = page(listWhoCan, holders(set, groups, after, limit), limit,
		func(u *access.User) string { return u.ID.String() },
		func(u *access.User) (Holder, bool) { return renderHolder(set, u, groups), true })
	return rest.WriteJSON(w, http.StatusOK, out)
}

// opening are the groups whose members may reach a resource: by a grant in force
// on it, on what implies it or on all of its type, and Admin.
func (a *api) opening(set *access.Set, t *authz.Type, resource string) map[access.ID]*access.Group {
	resources := []string{resource}
	if more, ok := t.Implied[resource]; ok {
		resources = append(resources, more)
	}
	if t.Wildcard {
		resources = append(resources, authz.Wildcard)
	}
	now, open := a.Clock(), map[access.ID]*access.Group{}
	for _, one := range resources {
		for grant := range set.GrantsTo(t.Key, one) {
			if g := set.Group(grant.Group); g != nil && grant.InForce(now) {
				open[g.ID] = g
			}
		}
	}
	if g := set.GroupByName(access.Admin); g != nil && g.System {
		open[g.ID] = g
	}
	return open
}

// holders are active users behind an id who are members of at least one of the
// groups, by id: enough of them for a page of limit and one more, if there are.
func holders(set *access.Set, groups map[access.ID]*access.Group, after access.ID, limit int) iter.Seq[*access.User] {
	found := map[access.ID]*access.User{}
	for _, g := range groups {
		taken := 0
		for u := range usersOf(set, g, after) {
			if !u.Active {
				continue
			}
			found[u.ID] = u
			if taken++; taken > limit {
				break // the first of the union are among the first of each
			}
		}
	}
	byID := func(a, b *access.User) int { return bytes.Compare(a.ID[:], b.ID[:]) }
	return slices.Values(slices.SortedFunc(maps.Values(found), byID))
}

// usersOf are the members of a group behind an id, each once, by id.
func usersOf(set *access.Set, g *access.Group, after access.ID) iter.Seq[*access.User] {
	if isEveryone(g) {
		return set.UsersAfter(after)
	}
	return func(yield func(*access.User) bool) {
		last := after
		for m := range set.MembersOf(g.ID, access.MemberKey{User: after, Group: g.ID}) {
			if m.User == last {
				continue // by another source, or the one that the page before ended with
			}
			last = m.User
			if u := set.User(m.User); u != nil && !yield(u) {
				return
			}
		}
	}
}

func renderHolder(set *access.Set, u *access.User, groups map[access.ID]*access.Group) Holder {
	out := Holder{UserID: u.ID.String(), Email: u.Email, Username: u.Username, Name: u.Name}
	for m := range set.GroupsOf(u.ID) {
		if g := groups[m.Group]; g != nil && !isEveryone(g) {
			out.ViaGroups = append(out.ViaGroups, via(g))
		}
	}
	for _, g := range groups {
		if isEveryone(g) {
			out.ViaGroups = append(out.ViaGroups, via(g))
		}
	}
	out.ViaGroups = byName(out.ViaGroups)
	return out
}

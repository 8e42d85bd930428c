package admin

import (
	"cmp"
	"context"
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// userFilter is what a list of users asks for; zero values ask for everything.
type userFilter struct {
	email, username, search string
	active                  *bool
}

// takes reports whether a user passes.
func (f *userFilter) takes(u *access.User) bool {
	if f.active != nil && u.Active != *f.active ||
		f.email != "" && access.FoldEmail(u.Email) != f.email ||
		f.username != "" && access.FoldEmail(u.Username) != f.username {
		return false
	}
	if f.search == "" {
		return true
	}
	return slices.ContainsFunc([]string{u.Email, u.Username, u.Name}, func(s string) bool {
		return strings.Contains(access.FoldEmail(s), f.search)
	})
}

func (a *api) listUsers(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	q := rest.ReadQuery(r, "email", "username", "search", "active", "limit", "cursor")
	limit, after := q.Limit(), listUsers.afterID(q)
	f := userFilter{
		email: access.FoldEmail(q.Get("email")), username: access.FoldEmail(q.Get("username")),
		search: access.FoldEmail(q.Get("search")), active: q.Flag("active"),
	}
	for _, name := range []string{"email", "username"} {
		if q.Has(name) && access.FoldEmail(q.Get(name)) == "" {
			q.Add("%s is blank; leave it out to list all users", name)
		}
	}
	if err := q.Err(); err != nil {
		return err
	}
	set := a.set()
	users := set.UsersAfter(after)
	if f.email != "" { // an index, of few
		users = func(yield func(*access.User) bool) {
			for u := range set.UsersByEmail(f.email) {
				if slices.Compare(u.ID[:], after[:]) > 0 && !yield(u) {
					return
				}
			}
		}
	}
	var out UserPage
	out.Items, out.NextCursor = page(listUsers, users, limit,
		func(u *access.User) string { return u.ID.String() },
		func(u *access.User) (User, bool) {
			if !f.takes(u) {
				return User{}, false
			}
			return renderUser(set, u), true
		})
	return rest.WriteJSON(w, http.StatusOK, out)
}

// user finds the user of the path in one set.
func user(set *access.Set, r *http.Request) (*access.User, error) {
	id, err := pathID(r, "id", noUser)
	if err != nil {
		return nil, err
	}
	u := set.User(id)
	if u == nil {
		return nil, noUser()
	}
	return u, nil
}

func (a *api) getUser(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	set := a.set()
	u, err := user(set, r)
	if err != nil {
		return err
	}
	return rest.WriteJSON(w, http.StatusOK, renderUser(set, u))
}

func (a *api) deactivateUser(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	return a.changeUser(w, r, who, a.Registry.DeactivateUser)
}

func (a *api) activateUser(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	return a.changeUser(w, r, who, a.Registry.ActivateUser)
}

func (a *api) changeUser(w http.ResponseWriter, r *http.Request, who rest.Caller,
	change func(context.Context, registry.Actor, access.ID, registry.Change) (access.User, error),
) error {
	id, c, err := target(r, "id", noUser)
	if err != nil {
		return err
	}
	u, err := change(r.Context(), who.Actor, id, c)
	if err != nil {
		return err
	}
	return rest.WriteJSON(w, http.StatusOK, renderUser(a.set(), &u))
}

func (a *api) listMemberships(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	q := rest.ReadQuery(r, "limit", "cursor")
	limit, after := q.Limit(), listMemberships.after(q)
	if err := q.Err(); err != nil {
		return err
	}
	set := a.set()
	u, err := user(set, r)
	if err != nil {
		return err
	}
	var out MembershipPage
	out.Items, out.NextCursor = page(listMemberships, memberships(set, u, after), limit, membershipKey,
		func(m Membership) (Membership, bool) { return m, true })
	return rest.WriteJSON(w, http.StatusOK, out)
}

func membershipKey(m Membership) string { return m.GroupName + between + m.Source }

// memberships are those of a user behind a key, by group name and source; Everyone
// is among them.
func memberships(set *access.Set, u *access.User, after string) iter.Seq[Membership] {
	var all []Membership
	for m := range set.GroupsOf(u.ID) {
		if g := set.Group(m.Group); g != nil && !isEveryone(g) {
			all = append(all, renderMembership(g, m))
		}
	}
	if g := set.GroupByName(access.Everyone); g != nil && isEveryone(g) {
		all = append(all, renderMembership(g, inEveryone(u, g)))
	}
	slices.SortFunc(all, func(a, b Membership) int { return cmp.Compare(membershipKey(a), membershipKey(b)) })
	return func(yield func(Membership) bool) {
		for _, m := range all {
			if membershipKey(m) > after && !yield(m) {
				return
			}
		}
	}
}

func (a *api) addMembership(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	u, c, err := target(r, "id", noUser)
	if err != nil {
		return err
	}
	raw, err := a.rest.ReadBody(w, r, rest.MaxBody, rest.MediaJSON)
	if err != nil {
		return err
	}
	text, err := readOne(raw, "group_id")
	if err != nil {
		return err
	}
	id, ok := parseID(text)
	if !ok {
		return noGroup()
	}
	m, _, err := a.Registry.AddMember(r.Context(), who.Actor, id, u.String(), c)
	if err != nil {
		return err
	}
	g := a.set().Group(id)
	if g == nil {
		g = &access.Group{ID: id} // deleted right after: what was done is told all the same
	}
	return rest.WriteJSON(w, http.StatusCreated, renderMembership(g, &m))
}

func (a *api) removeMembership(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	return a.remove(w, r, who, "group_id", "id")
}

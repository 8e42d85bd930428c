package admin

import (
	"iter"
	"net/http"
	"slices"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/registry/access"
)

func (a *api) listGroups(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	q := rest.ReadQuery(r, "name", "limit", "cursor")
	limit, after := q.Limit(), listGroups.after(q)
	if err := q.Err(); err != nil {
		return err
	}
	set := a.set()
	groups := set.GroupsAfter(after)
	if q.Has("name") {
		groups = oneOrNone(set.GroupByName(q.Get("name")))
	}
	var out GroupPage
	out.Items, out.NextCursor = page(listGroups, groups, limit,
		func(g *access.Group) string { return g.Name },
		func(g *access.Group) (Group, bool) { return renderGroup(set, g), true })
	return rest.WriteJSON(w, http.StatusOK, out)
}

// oneOrNone is the sequence of what was found, if anything was.
func oneOrNone[T any](found *T) iter.Seq[*T] {
	if found == nil {
		return slices.Values([]*T{})
	}
	return slices.Values([]*T{found})
}

func (a *api) createGroup(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	c, err := onlyDryRun(r)
	if err != nil {
		return err
	}
	var g access.Group
	err = a.body(w, r, func(body []byte) error { g, err = readGroup(body); return err }, rest.MediaJSON)
	if err != nil {
		return err
	}
	if g, err = a.Registry.CreateGroup(r.Context(), who.Actor, g, c); err != nil {
		return err
	}
	if !c.DryRun {
		w.Header().Set("Location", Root+"/groups/"+g.ID.String())
	}
	return rest.WriteRecord(w, http.StatusCreated, g.Revision, renderGroup(a.set(), &g))
}

// group finds the group of the path in one set.
func group(set *access.Set, r *http.Request) (*access.Group, error) {
	id, err := pathID(r, "id", noGroup)
	if err != nil {
		return nil, err
	}
	g := set.Group(id)
	if g == nil {
		return nil, noGroup()
	}
	return g, nil
}

func (a *api) getGroup(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	set := a.set()
	g, err := group(set, r)
	if err != nil {
		return err
	}
	return rest.WriteRecord(w, http.StatusOK, g.Revision, renderGroup(set, g))
}

func (a *api) updateGroup(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	id, c, err := target(r, "id", noGroup)
	if err != nil {
		return err
	}
	raw, err := a.rest.ReadBody(w, r, rest.MaxBody, rest.MediaJSON, rest.MediaMergePatch)
	if err != nil {
		return err
	}
	patch, err := readGroupPatch(raw)
	if err != nil {
		return err
	}
	g, err := a.Registry.UpdateGroup(r.Context(), who.Actor, id, patch, c)
	if err != nil {
		return err
	}
	return rest.WriteRecord(w, http.StatusOK, g.Revision, renderGroup(a.set(), &g))
}

func (a *api) deleteGroup(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	id, c, err := target(r, "id", noGroup)
	if err != nil {
		return err
	}
	if err := a.Registry.DeleteGroup(r.Context(), who.Actor, id, c); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) listMembers(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	q := rest.ReadQuery(r, "limit", "cursor")
	limit := q.Limit()
	user, source := listMembers.afterPair(q)
	if err := q.Err(); err != nil {
		return err
	}
	set := a.set()
	g, err := group(set, r)
	if err != nil {
		return err
	}
	after := access.MemberKey{User: user, Group: g.ID, Source: access.Source(source)}
	var out MemberPage
	out.Items, out.NextCursor = page(listMembers, members(set, g, after), limit,
		func(m *access.Member) string { return m.User.String() + between + string(m.Source) },
		func(m *access.Member) (Member, bool) { return renderMember(set.User(m.User), m) })
	return rest.WriteJSON(w, http.StatusOK, out)
}

// sourceEveryone is shown as the source of memberships in Everyone, which has
// every user as a member without rows.
const sourceEveryone access.Source = "everyone"

// members are a group's memberships, by user and source.
func members(set *access.Set, g *access.Group, after access.MemberKey) iter.Seq[*access.Member] {
	if !isEveryone(g) {
		return set.MembersOf(g.ID, after)
	}
	return func(yield func(*access.Member) bool) {
		for u := range set.UsersAfter(after.User) {
			if !yield(inEveryone(u, g)) {
				return
			}
		}
	}
}

func isEveryone(g *access.Group) bool { return g.System && g.Name == access.Everyone }

func inEveryone(u *access.User, g *access.Group) *access.Member {
	key := access.MemberKey{User: u.ID, Group: g.ID, Source: sourceEveryone}
	return &access.Member{MemberKey: key, AddedAt: u.CreatedAt, AddedBy: "muster"}
}

func (a *api) addMember(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	id, c, err := target(r, "id", noGroup)
	if err != nil {
		return err
	}
	raw, err := a.rest.ReadBody(w, r, rest.MaxBody, rest.MediaJSON)
	if err != nil {
		return err
	}
	email, err := readOne(raw, "email")
	if err != nil {
		return err
	}
	m, u, err := a.Registry.AddMember(r.Context(), who.Actor, id, email, c)
	if err != nil {
		return err
	}
	record, _ := renderMember(&u, &m)
	return rest.WriteJSON(w, http.StatusCreated, record)
}

func (a *api) removeMember(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	return a.remove(w, r, who, "id", "user_id")
}

// remove ends a membership, whose group and user are in the path under names.
func (a *api) remove(w http.ResponseWriter, r *http.Request, who rest.Caller, groupName, userName string) error {
	id, c, err := target(r, groupName, noGroup)
	if err != nil {
		return err
	}
	user, err := pathID(r, userName, noUser)
	if err != nil {
		return err
	}
	remaining, err := a.Registry.RemoveMember(r.Context(), who.Actor, id, user, c)
	switch {
	case err != nil:
		return err
	case len(remaining) == 0:
		w.WriteHeader(http.StatusNoContent)
		return nil
	default:
		return rest.WriteJSON(w, http.StatusOK, Remaining{Sources: remaining})
	}
}

package registry

import (
	"context"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/access"
)

// sources are all there are, in the order in which they are told.
func sources() []access.Source {
	return []access.Source{access.SourceAdmin, access.SourceSync, access.SourceSeed, access.SourceBreakGlass}
}

// AddMember makes a user a member of a group by the source admin. The user is told
// by e-mail address or id. already_member when there is such a membership; one by
// another source is none.
func (s *Service) AddMember(
	ctx context.Context, a Actor, group access.ID, who string, c Change,
) (m access.Member, u access.User, err error) {
	err = s.changeAccess(ctx, a, c.DryRun, func(x *decision) error {
		g, err := x.group(group, c.IfMatch)
		if err != nil {
			return err
		}
		if g.Name == access.Everyone && g.System {
			return systemGroup(g, "given members: everybody is one")
		}
		user, err := findUser(x.set, who)
		if err != nil {
			return err
		}
		u = *user
		key := access.MemberKey{User: u.ID, Group: g.ID, Source: access.SourceAdmin}
		if x.set.Member(key) != nil {
			return fault.New(fault.Conflict, "already_member", "user %s is a member of %s already", u.ID, shown(g.Name))
		}
		m = x.addMember(key, ActionMemberAdded)
		return nil
	})
	if err != nil {
		return access.Member{}, access.User{}, err
	}
	return m, u, nil
}

// addMember stores a membership that is not there.
func (x *decision) addMember(key access.MemberKey, action string) access.Member {
	m := access.Member{MemberKey: key, AddedAt: x.now, AddedBy: x.by()}
	x.do(access.Delta{Members: []access.Member{m}})
	x.note(action, groupResource(key.Group), nil, memberForAudit(x.set, &m))
	return m
}

// findUser finds a user by e-mail address or id. Of several bound users with one
// address the one who is active is meant.
func findUser(set *access.Set, who string) (*access.User, error) {
	who = strings.TrimSpace(who)
	if !strings.Contains(who, "@") {
		id, err := uuid.Parse(who)
		if err != nil || len(who) != len(uuid.Nil.String()) {
			return nil, fault.New(fault.NotFound, codeNoUser, "%s is neither an e-mail address nor the id of a user", shown(who))
		}
		if u := set.User(id); u != nil {
			return u, nil
		}
		return nil, noUser(id)
	}
	all := usersByEmail(set, who)
	switch active := slices.DeleteFunc(slices.Clone(all), func(u *access.User) bool { return !u.Active }); {
	case len(all) == 0:
		return nil, fault.New(fault.NotFound, codeNoUser,
			"there is no user with the e-mail address %s; who has not logged in yet is not known", shown(who))
	case len(active) == 1:
		return active[0], nil
	case len(all) == 1:
		return all[0], nil
	default:
		return nil, fault.New(fault.Conflict, "ambiguous_user",
			"%d users have the e-mail address %s; give the id instead: %s", len(all), shown(who), idsOf(all))
	}
}

// idsOf lists the first ids.
func idsOf(all []*access.User) string {
	const few = 5
	var list []string
	for _, u := range all[:min(len(all), few)] {
		list = append(list, u.ID.String())
	}
	if len(all) > few {
		list = append(list, "…")
	}
	return strings.Join(list, ", ")
}

// usersByEmail are all users with an address.
func usersByEmail(set *access.Set, email string) []*access.User {
	return slices.Collect(set.UsersByEmail(access.FoldEmail(email)))
}

// RemoveMember ends a user's membership by the source admin. remaining are the
// sources by which they still are a member; not_admin_source when there was none
// but those. The last member of Admin stays (last_admin).
func (s *Service) RemoveMember(
	ctx context.Context, a Actor, group, user access.ID, c Change,
) (remaining []access.Source, err error) {
	err = s.changeAccess(ctx, a, c.DryRun, func(x *decision) error {
		remaining = nil
		g, err := x.group(group, c.IfMatch)
		if err != nil {
			return err
		}
		if x.set.User(user) == nil {
			return noUser(user)
		}
		var own *access.Member
		own, remaining = x.memberships(group, user)
		switch {
		case own == nil && len(remaining) == 0:
			return fault.New(fault.NotFound, "not_found", "user %s is no member of %s", user, shown(g.Name))
		case own == nil:
			return fault.New(fault.Conflict, "not_admin_source",
				"user %s is a member of %s by %s, which only that can end", user, shown(g.Name), joinSources(remaining))
		}
		was := x.set
		before := memberForAudit(was, own)
		x.do(access.Delta{GoneMembers: []access.MemberKey{own.MemberKey}})
		x.note(ActionMemberRemoved, groupResource(group), before, nil)
		return keepsAdmin(was, x.set, "taken out of the group "+access.Admin)
	})
	return remaining, err
}

// memberships are a user's in a group: the one by an admin, and the other sources.
func (x *decision) memberships(group, user access.ID) (own *access.Member, others []access.Source) {
	for _, source := range sources() {
		m := x.set.Member(access.MemberKey{User: user, Group: group, Source: source})
		switch {
		case m == nil:
		case source == access.SourceAdmin:
			own = m
		default:
			others = append(others, source)
		}
	}
	return own, others
}

func joinSources(all []access.Source) string {
	list := make([]string, len(all))
	for i, s := range all {
		list[i] = string(s)
	}
	return strings.Join(list, ", ")
}

// keepsAdmin refuses a change after which nobody is left who is stored as an
// admin and active, when there was somebody before.
func keepsAdmin(before, after *access.Set, what string) error {
	if activeAdmin(after) || !activeAdmin(before) && (anyAdmin(after) || !anyAdmin(before)) {
		return nil
	}
	return fault.New(fault.Conflict, "last_admin",
		"the last admin cannot be %s; make somebody else a member of %s first", what, access.Admin)
}

// activeAdmin reports whether somebody active is stored as a member of Admin.
func activeAdmin(set *access.Set) bool {
	g := set.GroupByName(access.Admin)
	if g == nil {
		return false
	}
	for m := range set.MembersOf(g.ID, access.MemberKey{}) {
		if u := set.User(m.User); u != nil && u.Active {
			return true
		}
	}
	return false
}

// anyAdmin reports whether anybody at all is.
func anyAdmin(set *access.Set) bool {
	g := set.GroupByName(access.Admin)
	return g != nil && set.MemberCount(g.ID) > 0
}

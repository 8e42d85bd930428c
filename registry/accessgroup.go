package registry

import (
	"context"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/access"
)

// The makers of groups that nobody asked for, as Group.CreatedBy has them.
const (
	// CreatedBySystem made the system groups.
	CreatedBySystem = "system:seed"
	// CreatedBySync made a group because a token named it.
	CreatedBySync = "system:idp-sync"
)

// GroupPatch is a change of a group; nil keeps what is.
type GroupPatch struct {
	Name, Description *string
}

// CreateGroup makes a group of g's name and description; group_exists when there
// is one of that name.
func (s *Service) CreateGroup(ctx context.Context, a Actor, g access.Group, c Change) (made access.Group, err error) {
	if err := checkGroup(&g.Name, &g.Description); err != nil {
		return access.Group{}, err
	}
	err = s.changeAccess(ctx, a, c.DryRun, func(x *decision) error {
		if err := matchesNone("the group", c.IfMatch); err != nil {
			return err
		}
		if x.set.GroupByName(g.Name) != nil {
			return groupTaken(g.Name)
		}
		made, err = x.newGroup(g.Name, g.Description, x.by(), false)
		return err
	})
	if err != nil {
		return access.Group{}, err
	}
	return made, nil
}

// newGroup makes a group whose name is free.
func (x *decision) newGroup(name, description, by string, system bool) (access.Group, error) {
	id, err := newAccessID()
	if err != nil {
		return access.Group{}, err
	}
	g := access.Group{
		ID: id, Name: name, Description: description, System: system,
		CreatedAt: x.now, UpdatedAt: x.now, CreatedBy: by, Revision: 1,
	}
	x.do(access.Delta{Groups: []access.Group{g}})
	x.note(ActionGroupCreated, groupResource(id), nil, groupForAudit(&g))
	return g, nil
}

// UpdateGroup changes a group's name or description. A system group keeps its
// name. What is the same already is no change.
func (s *Service) UpdateGroup(ctx context.Context, a Actor, id access.ID, p GroupPatch, c Change) (now access.Group, err error) {
	if err := checkGroup(p.Name, p.Description); err != nil {
		return access.Group{}, err
	}
	err = s.changeAccess(ctx, a, c.DryRun, func(x *decision) error {
		before, err := x.group(id, c.IfMatch)
		if err != nil {
			return err
		}
		now = *before
		if p.Name != nil && *p.Name != before.Name {
			if before.System {
				return systemGroup(before, "renamed")
			}
			if x.set.GroupByName(*p.Name) != nil {
				return groupTaken(*p.Name)
			}
			now.Name = *p.Name
		}
		if p.Description != nil {
			now.Description = *p.Description
		}
		if now == *before {
			return nil
		}
		x.updateGroup(before, &now)
		return nil
	})
	if err != nil {
		return access.Group{}, err
	}
	return now, nil
}

// updateGroup stores after, which is another than before.
func (x *decision) updateGroup(before, after *access.Group) {
	after.UpdatedAt = x.now
	after.Revision++
	x.do(access.Delta{Groups: []access.Group{*after}})
	x.note(ActionGroupUpdated, groupResource(after.ID), groupForAudit(before), groupForAudit(after))
}

// DeleteGroup removes a group with its memberships and grants, all at once. The
// audit log tells how many there were, and a digest of which.
func (s *Service) DeleteGroup(ctx context.Context, a Actor, id access.ID, c Change) error {
	return s.changeAccessWithin(ctx, accessTimeout, a, c.DryRun, func(x *decision) error {
		g, err := x.group(id, c.IfMatch)
		if err != nil {
			return err
		}
		if g.System {
			return systemGroup(g, "deleted")
		}
		before := groupForAudit(g)
		before.Members, before.Grants = membersDigest(x.set, id), grantsDigest(x.set, id)
		x.do(access.Delta{GoneGroups: []access.ID{id}})
		x.note(ActionGroupDeleted, groupResource(id), before, nil)
		return nil
	})
}

// checkGroup finds everything that is wrong with a name and a description.
func checkGroup(name, description *string) error {
	var v violations
	if name != nil {
		if err := access.CheckGroupName(*name); err != nil {
			v.add("bad_name", "/name", "%v", err)
		}
	}
	if description != nil {
		if err := access.CheckDescription(*description); err != nil {
			v.add("bad_description", "/description", "%v", err)
		}
	}
	return v.err()
}

func groupTaken(name string) error {
	return fault.New(fault.Conflict, "group_exists", "there is a group named %s already", shown(name))
}

func systemGroup(g *access.Group, what string) error {
	return fault.New(fault.Conflict, "system_group", "%s is a system group and cannot be %s", shown(g.Name), what)
}

// seedGroups makes sure that the system groups are there. A group of such a name
// becomes one.
func (x *decision) seedGroups() error {
	for _, seed := range []struct{ name, description string }{
		{access.Admin, "May do everything."},
		{access.Everyone, "Has every user as a member."},
	} {
		switch g := x.set.GroupByName(seed.name); {
		case g == nil:
			if _, err := x.newGroup(seed.name, seed.description, CreatedBySystem, true); err != nil {
				return err
			}
		case !g.System:
			now := *g
			now.System = true
			x.updateGroup(g, &now)
		}
	}
	return nil
}

// seeded reports whether there is nothing for seedGroups to do.
func seeded(set *access.Set) bool {
	for _, name := range []string{access.Admin, access.Everyone} {
		if g := set.GroupByName(name); g == nil || !g.System {
			return false
		}
	}
	return true
}

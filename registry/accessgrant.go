package registry

import (
	"context"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/access"
)

// CreateGrant lets the members of a group reach a resource, until g.Expires unless
// that is zero. What g.Type and g.Resource may be the caller has found out;
// grant_exists when the group has it already.
func (s *Service) CreateGrant(ctx context.Context, a Actor, g access.Grant, c Change) (made access.Grant, err error) {
	g.Expires = stored(g.Expires)
	if err := s.checkGrant(&g); err != nil {
		return access.Grant{}, err
	}
	err = s.changeAccess(ctx, a, c.DryRun, func(x *decision) error {
		group, err := x.group(g.Group, c.IfMatch)
		if err != nil {
			return err
		}
		if old := x.set.GrantFor(g.Group, g.Type, g.Resource); old != nil {
			return grantTaken(group, old, x.now)
		}
		made = access.Grant{
			Group: g.Group, Type: g.Type, Resource: g.Resource, Expires: g.Expires, AssignedAt: x.now, AssignedBy: x.by(),
		}
		if made.ID, err = newAccessID(); err != nil {
			return err
		}
		x.do(access.Delta{Grants: []access.Grant{made}})
		x.note(ActionGrantCreated, grantResource(made.ID), nil, grantForAudit(x.set, &made))
		return nil
	})
	if err != nil {
		return access.Grant{}, err
	}
	return made, nil
}

// checkGrant refuses what no store could keep, and an end that has come.
func (s *Service) checkGrant(g *access.Grant) error {
	var v violations
	for _, text := range []struct{ code, pointer, is string }{
		{"bad_resource_type", "/resource_type", g.Type}, {"bad_resource_id", "/resource_id", g.Resource},
	} {
		why := badText(text.is)
		if text.is == "" {
			why = "is missing"
		}
		if why != "" {
			v.add(text.code, text.pointer, "%s", why)
		}
	}
	if !g.Expires.IsZero() && !g.Expires.After(s.now()) {
		v.add("bad_expires_at", "/expires_at", "is in the past; leave it out for a grant without end")
	}
	return v.err()
}

func grantTaken(group *access.Group, old *access.Grant, now time.Time) error {
	hint := ""
	if !old.InForce(now) {
		hint = ", which has expired: delete it first"
	}
	return fault.New(fault.Conflict, "grant_exists", "the group %s has this grant already, as %s%s", shown(group.Name), old.ID, hint)
}

// DeleteGrant takes a grant back.
func (s *Service) DeleteGrant(ctx context.Context, a Actor, id access.ID, c Change) error {
	return s.changeAccess(ctx, a, c.DryRun, func(x *decision) error {
		g := x.set.Grant(id)
		if g == nil {
			return fault.New(fault.NotFound, "not_found", "there is no grant with the id %s", id)
		}
		if err := matchesAccess("the grant", 1, c.IfMatch); err != nil {
			return err
		}
		before := grantForAudit(x.set, g)
		x.do(access.Delta{GoneGrants: []access.ID{id}})
		x.note(ActionGrantDeleted, grantResource(id), before, nil)
		return nil
	})
}

// stored is a time as stores give it back; the zero time stays zero.
func stored(at time.Time) time.Time {
	if at.IsZero() {
		return time.Time{}
	}
	return at.UTC().Truncate(time.Microsecond)
}

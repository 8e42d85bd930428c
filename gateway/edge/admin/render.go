package admin

import (
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

func renderGroup(set *access.Set, g *access.Group) Group {
	out := Group{
		ID: g.ID.String(), Name: g.Name, Description: g.Description, IsSystem: g.System, Origin: origin(g),
		CreatedAt: g.CreatedAt.UTC(), CreatedBy: g.CreatedBy,
		MemberCount: set.MemberCount(g.ID), GrantCount: set.GrantCount(g.ID),
	}
	if isEveryone(g) {
		out.MemberCount = set.UserCount()
	}
	return out
}

// The origins of groups.
const (
	originSystem = "system"
	originAdmin  = "admin"
	originSync   = "idp_sync"
)

func origin(g *access.Group) string {
	switch {
	case g.System:
		return originSystem
	case g.CreatedBy == registry.CreatedBySync:
		return originSync
	default:
		return originAdmin
	}
}

// renderMember is false for a user who is no more, whose memberships go along.
func renderMember(u *access.User, m *access.Member) (Member, bool) {
	if u == nil {
		return Member{}, false
	}
	return Member{
		UserID: u.ID.String(), Email: u.Email, Username: u.Username, Name: u.Name, Active: u.Active,
		Source: string(m.Source), AddedAt: m.AddedAt.UTC(), AddedBy: m.AddedBy,
	}, true
}

func renderMembership(g *access.Group, m *access.Member) Membership {
	return Membership{
		GroupID: g.ID.String(), GroupName: g.Name, IsSystem: g.System,
		Source: string(m.Source), AddedAt: m.AddedAt.UTC(), AddedBy: m.AddedBy,
	}
}

func renderGrant(set *access.Set, g *access.Grant) Grant {
	out := Grant{
		ID: g.ID.String(), GroupID: g.Group.String(), ResourceType: g.Type, ResourceID: g.Resource,
		ExpiresAt: timeOrNil(g.Expires), AssignedAt: g.AssignedAt.UTC(), AssignedBy: g.AssignedBy,
	}
	if of := set.Group(g.Group); of != nil {
		out.GroupName = of.Name
	}
	return out
}

func renderUser(set *access.Set, u *access.User) User {
	return User{
		ID: u.ID.String(), Issuer: u.Issuer, Subject: u.Subject, Email: u.Email, Username: u.Username, Name: u.Name,
		Active: u.Active, IsAdmin: set.IsAdmin(stored(u)), DeactivatedAt: timeOrNil(u.DeactivatedAt),
		DeactivatedBy: u.DeactivatedBy, SyncedAt: timeOrNil(u.SyncedAt), CreatedAt: u.CreatedAt.UTC(), UpdatedAt: u.UpdatedAt.UTC(),
	}
}

// stored is a user as what is stored tells, logins apart: the groups that the
// identity provider gave with the last one count.
func stored(u *access.User) *access.Who { return &access.Who{User: u, Sync: true} }

func via(g *access.Group) ViaGroup { return ViaGroup{GroupID: g.ID.String(), GroupName: g.Name} }

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

package registry

import (
	"context"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/access"
)

// DeactivateUser shuts a user out until ActivateUser, and revokes their personal
// access tokens for good. The last active admin stays (last_admin). Who is
// inactive already stays so, without a change.
func (s *Service) DeactivateUser(ctx context.Context, a Actor, id access.ID, c Change) (access.User, error) {
	return s.changeUser(ctx, a, id, c, func(x *decision, u *access.User) error {
		if !u.Active {
			return nil
		}
		was, before := x.set, *u
		u.Active, u.DeactivatedAt, u.DeactivatedBy = false, x.now, x.by()
		revoked, ids := x.revokeAll(id)
		x.updateUser(u, access.Delta{Tokens: revoked})
		after := userForAudit(u)
		after.RevokedTokens = idsDigest(ids)
		x.note(ActionUserDeactivated, userResource(id), userForAudit(&before), after)
		return keepsAdmin(was, x.set, "deactivated")
	})
}

// ActivateUser lets a deactivated user in again. Their memberships are as they
// were; their tokens stay revoked.
func (s *Service) ActivateUser(ctx context.Context, a Actor, id access.ID, c Change) (access.User, error) {
	return s.changeUser(ctx, a, id, c, func(x *decision, u *access.User) error {
		if !u.Active {
			x.activate(u)
		}
		return nil
	})
}

// changeUser makes a change to one user; edit changes the copy that it gets.
func (s *Service) changeUser(
	ctx context.Context, a Actor, id access.ID, c Change, edit func(x *decision, u *access.User) error,
) (now access.User, err error) {
	err = s.changeAccess(ctx, a, c.DryRun, func(x *decision) error {
		u := x.set.User(id)
		if u == nil {
			return noUser(id)
		}
		if err := matchesAccess("the user", u.Revision, c.IfMatch); err != nil {
			return err
		}
		now = *u
		return edit(x, &now)
	})
	if err != nil {
		return access.User{}, err
	}
	return now, nil
}

// updateUser stores a changed user, with what else changes.
func (x *decision) updateUser(u *access.User, with access.Delta) {
	u.UpdatedAt = x.now
	u.Revision++
	with.Users = append(with.Users, *u)
	x.do(with)
}

func (x *decision) activate(u *access.User) {
	before := *u
	u.Active, u.DeactivatedAt, u.DeactivatedBy = true, time.Time{}, ""
	x.updateUser(u, access.Delta{})
	x.note(ActionUserActivated, userResource(u.ID), userForAudit(&before), userForAudit(u))
}

// revokeAll are the tokens of a user that were good, revoked.
func (x *decision) revokeAll(user access.ID) (revoked []access.Token, ids []access.ID) {
	for t := range x.set.TokensOf(user) {
		if t.RevokedAt.IsZero() {
			gone := *t
			gone.RevokedAt, gone.RevokedBy = x.now, x.by()
			revoked, ids = append(revoked, gone), append(ids, t.ID)
		}
	}
	return revoked, ids
}

// SeedAdmin makes sure that the user with this e-mail address is there and a member
// of Admin by the source system_seed. It changes nothing the second time.
func (s *Service) SeedAdmin(ctx context.Context, email string) error {
	return s.changeAccess(ctx, Muster(), false, func(x *decision) error {
		u, err := x.userByEmail(email)
		if err != nil {
			return err
		}
		return x.makeAdmin(u, access.SourceSeed, ActionSeedAdmin)
	})
}

// BreakGlass makes the user with this e-mail address an active admin by the source
// break_glass, whoever they are; already says that they were one, by a source that
// no token takes away. It is for the store itself, when nobody can log in who
// may do it otherwise.
func (s *Service) BreakGlass(ctx context.Context, a Actor, email string) (now access.User, already bool, err error) {
	err = s.changeAccess(ctx, a, false, func(x *decision) error {
		u, err := x.userByEmail(email)
		if err != nil {
			return err
		}
		already = u.Active && lastingAdmin(x.set, u.ID)
		now = *u
		if already {
			// Somebody did break the glass.
			x.note(ActionBreakGlass, userResource(u.ID), nil, userForAudit(u))
			return nil
		}
		if !u.Active {
			x.activate(&now)
		}
		return x.makeAdmin(&now, access.SourceBreakGlass, ActionBreakGlass)
	})
	if err != nil {
		return access.User{}, false, err
	}
	return now, already, nil
}

// lastingAdmin reports whether a user is an admin by another source than the
// identity provider.
func lastingAdmin(set *access.Set, user access.ID) bool {
	g := set.GroupByName(access.Admin)
	if g == nil {
		return false
	}
	for _, source := range sources() {
		if source != access.SourceSync && set.Member(access.MemberKey{User: user, Group: g.ID, Source: source}) != nil {
			return true
		}
	}
	return false
}

// makeAdmin gives a user a membership in Admin unless there is one by this source.
func (x *decision) makeAdmin(u *access.User, source access.Source, action string) error {
	g := x.set.GroupByName(access.Admin)
	if g == nil {
		return fault.New(fault.Internal, "internal", "there is no group %s", access.Admin)
	}
	key := access.MemberKey{User: u.ID, Group: g.ID, Source: source}
	if x.set.Member(key) != nil {
		return nil
	}
	x.addMember(key, action)
	return nil
}

// userByEmail is the user with this address, who is made when there is none. One
// who has not logged in yet is preferred: the address was given for them.
func (x *decision) userByEmail(email string) (*access.User, error) {
	if err := access.CheckEmail(email); err != nil {
		return nil, fault.New(fault.Unprocessable, "bad_email", "the e-mail address %s %v", shown(email), err)
	}
	if u := x.set.UnboundByEmail(access.FoldEmail(email)); u != nil {
		return u, nil
	}
	u, err := findUser(x.set, email)
	if err == nil || !fault.Is(err, codeNoUser) {
		return u, err
	}
	id, err := newAccessID()
	if err != nil {
		return nil, err
	}
	made := access.User{ID: id, Email: email, Active: true, CreatedAt: x.now, UpdatedAt: x.now, Revision: 1}
	x.do(access.Delta{Users: []access.User{made}})
	x.note(ActionUserCreated, userResource(id), nil, userForAudit(&made))
	return &made, nil
}

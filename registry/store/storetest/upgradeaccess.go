package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// fixtureAccess are the records of a fixture from the fourth schema on: of every
// kind, with what may be there and with what may lack.
func fixtureAccess() access.Delta {
	gone, unbound := userOf(2), userOf(3)
	gone.Active, gone.DeactivatedAt, gone.DeactivatedBy = false, noon.Add(time.Hour), "ümläut \"quoted\""
	gone.SyncedAt, gone.ConfirmedAt = noon, noon.Add(time.Minute)
	unbound.Issuer, unbound.Subject, unbound.Username = "", "", ""
	described := groupOf(1)
	described.Description = "two\nlines"
	ends := grantOf(2, 2)
	ends.Type, ends.Resource, ends.Expires = "dataset", "*", noon.AddDate(1, 0, 0)
	revoked := tokenOf(2, 1)
	revoked.Scopes, revoked.Expires, revoked.RevokedAt, revoked.RevokedBy = []string{"read", "worker:x"}, time.Time{}, noon, "admin"
	revoked.LastUsed, revoked.LastAddress = noon, "192.0.2.1"
	return access.Delta{
		Users:  []access.User{userOf(1), gone, unbound},
		Groups: []access.Group{described, groupOf(2)},
		Members: []access.Member{
			memberOf(1, 1, access.SourceAdmin), memberOf(1, 1, access.SourceSync), memberOf(3, 2, access.SourceSeed),
		},
		Grants: []access.Grant{grantOf(1, 1), ends},
		Tokens: []access.Token{tokenOf(1, 1), revoked},
	}
}

// fillAccess makes fixtureAccess, and records of each kind that are removed again;
// each change has its audit row.
func fillAccess(t testing.TB, s registry.Store) {
	t.Helper()
	for n, d := range []access.Delta{
		{
			Users: []access.User{userOf(9)}, Groups: []access.Group{groupOf(9)}, Members: []access.Member{memberOf(9, 9, access.SourceAdmin)},
			Grants: []access.Grant{grantOf(9, 9)}, Tokens: []access.Token{tokenOf(9, 9)},
		},
		{GoneUsers: []access.ID{accessID('u', 9)}, GoneGroups: []access.ID{accessID('g', 9)}},
		fixtureAccess(),
	} {
		write(t, s, func(ctx context.Context, tx registry.Tx) error {
			e := entry(2 + n)
			e.Action, e.Resource, e.Actor.User, e.Actor.Token = actionAccess, "access", accessID('u', 1).String(), accessID('t', 1).String()
			return errors.Join(tx.ApplyAccess(ctx, &d), tx.Audit(ctx, e))
		})
	}
}

// checkAccess looks for what fillAccess made. What was made by the system is beside
// it.
func checkAccess(t testing.TB, s registry.Store) {
	t.Helper()
	got := accessOf(t, s, 0)
	var own []access.Group
	for _, g := range got.Groups {
		if !g.System {
			own = append(own, g)
		}
	}
	got.Groups = own
	equalDeep(t, "access", got, ordered(fixtureAccess()))
}

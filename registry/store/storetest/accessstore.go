package storetest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

func accessStoreTests() map[string]func(*testing.T, Backend) {
	return map[string]func(*testing.T, Backend){
		"every field of access comes back":        testAccessFields,
		"a group takes along what it has":         testGroupCascades,
		"a user takes along what they have":       testUserCascades,
		"nobody is a member of nothing":           testAccessParents,
		"deletions of access are told":            testAccessDeletions,
		"deletions of access are forgotten":       testAccessForgotten,
		"a group that is back is gone before":     testGroupBack,
		"a change of access that fails is not":    testAccessRollback,
		"more rows of access than one part holds": testManyGrants,
		"random histories of access":              testAccessHistories,
	}
}

// accessID is the nth id of a kind.
func accessID(kind byte, n int) access.ID {
	return uuid.MustParse(fmt.Sprintf("01900000-00%02x-7000-8000-%012x", kind, n))
}

func userOf(n int) access.User {
	return access.User{
		ID: accessID('u', n), Issuer: "https://issuer", Subject: fmt.Sprint("subject-", n), Username: fmt.Sprint("user-", n),
		Email: fmt.Sprintf("User-%d@example.org", n), Active: true, CreatedAt: noon, UpdatedAt: noon, Revision: 1,
	}
}

func groupOf(n int) access.Group {
	return access.Group{ID: accessID('g', n), Name: fmt.Sprintf("group %03d", n), CreatedAt: noon, UpdatedAt: noon, CreatedBy: "admin", Revision: 1}
}

func memberOf(user, group int, source access.Source) access.Member {
	return access.Member{
		MemberKey: access.MemberKey{User: accessID('u', user), Group: accessID('g', group), Source: source}, AddedAt: noon, AddedBy: "admin",
	}
}

func grantOf(n, group int) access.Grant {
	return access.Grant{
		ID: accessID('r', n), Group: accessID('g', group), Type: "worker", Resource: string(uuidOf(n)), AssignedAt: noon, AssignedBy: "admin",
	}
}

func tokenOf(n, user int) access.Token {
	return access.Token{
		ID: accessID('t', n), User: accessID('u', user), Name: fmt.Sprint("token ", n), Digest: sha256.Sum256(fmt.Append(nil, n)),
		Prefix: fmt.Sprintf("%08d", n), Scopes: []string{"read"}, CreatedAt: noon, Expires: noon.AddDate(0, 3, 0),
	}
}

func applyAccess(t testing.TB, s registry.Store, d access.Delta) registry.Revision {
	t.Helper()
	return write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.ApplyAccess(ctx, &d) })
}

// accessOf is what a load tells of access, in the order of keys.
func accessOf(t testing.TB, s registry.Store, since registry.Revision) access.Delta {
	t.Helper()
	c := load(t, s, since)
	if c.Access == nil {
		return access.Delta{}
	}
	return ordered(*c.Access)
}

func ordered(d access.Delta) access.Delta {
	id := func(a, b access.ID) int { return cmp.Compare(a.String(), b.String()) }
	key := func(a, b access.MemberKey) int {
		return cmp.Or(id(a.User, b.User), id(a.Group, b.Group), cmp.Compare(a.Source, b.Source))
	}
	slices.SortFunc(d.Users, func(a, b access.User) int { return id(a.ID, b.ID) })
	slices.SortFunc(d.Groups, func(a, b access.Group) int { return id(a.ID, b.ID) })
	slices.SortFunc(d.Members, func(a, b access.Member) int { return key(a.MemberKey, b.MemberKey) })
	slices.SortFunc(d.Grants, func(a, b access.Grant) int { return id(a.ID, b.ID) })
	slices.SortFunc(d.Tokens, func(a, b access.Token) int { return id(a.ID, b.ID) })
	slices.SortFunc(d.GoneMembers, key)
	for _, ids := range [][]access.ID{d.GoneUsers, d.GoneGroups, d.GoneGrants, d.GoneTokens} {
		slices.SortFunc(ids, id)
	}
	return d
}

func wantAccess(t testing.TB, s registry.Store, since registry.Revision, want access.Delta) {
	t.Helper()
	if got := accessOf(t, s, since); !reflect.DeepEqual(got, ordered(want)) {
		t.Errorf("since %d loaded\n%+v, not\n%+v", since, got, want)
	}
}

func testAccessFields(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	if c := load(t, s, 0); c.Access != nil {
		t.Errorf("an empty store has %+v", c.Access)
	}
	plain := access.User{ID: accessID('u', 2), CreatedAt: noon, UpdatedAt: noon, Active: true, Email: "bob@example.org"}
	full := userOf(1)
	full.Email, full.Username, full.Name = " Zoë'\"@Example.ORG", "日本\\", "Z. 'quoted'"
	full.Active, full.DeactivatedAt, full.DeactivatedBy = false, noon.Add(time.Microsecond), "admin"
	full.SyncedAt, full.ConfirmedAt, full.UpdatedAt, full.Revision = noon, noon.Add(time.Hour), noon.Add(1e9), 1<<40
	group := groupOf(1)
	group.Name, group.Description, group.System = "/Zürich/it's", "a\nb", true
	member := memberOf(1, 1, access.SourceBreakGlass)
	grant := grantOf(1, 1)
	grant.Resource, grant.Expires = "*", noon.Add(time.Minute)
	token := tokenOf(1, 1)
	token.Scopes, token.RevokedAt, token.RevokedBy = []string{"worker:x", `"a,b"`}, noon, "bob"
	token.LastUsed, token.LastAddress = noon.Add(2*time.Minute), "2001:db8::1"
	endless := tokenOf(2, 2)
	endless.Expires = time.Time{}
	all := access.Delta{
		Users: []access.User{full, plain}, Groups: []access.Group{group, groupOf(2)}, Members: []access.Member{member, memberOf(1, 1, access.SourceAdmin)},
		Grants: []access.Grant{grant, grantOf(2, 2)}, Tokens: []access.Token{token, endless},
	}
	applyAccess(t, s, all)
	wantAccess(t, s, 0, all)
	wantAccess(t, s, 1, access.Delta{})
	// The other way round: what was set is not, and what was not is.
	full2, group2, member2, grant2, token2 := plain, groupOf(1), memberOf(1, 1, access.SourceBreakGlass), grantOf(1, 1), tokenOf(1, 1)
	full2.ID, full2.Email = full.ID, ""
	member2.AddedBy, member2.AddedAt = "bob", noon.Add(1e9)
	token2.LastUsed, token2.LastAddress = token.LastUsed, token.LastAddress
	changed := access.Delta{
		Users: []access.User{full2}, Groups: []access.Group{group2}, Members: []access.Member{member2}, Grants: []access.Grant{grant2},
		Tokens: []access.Token{token2},
	}
	applyAccess(t, s, changed)
	wantAccess(t, s, 1, changed)
	if c := load(t, s, 1); c.Full {
		t.Error("everything was loaded")
	}
	wantAccess(t, s, 0, access.Delta{
		Users: []access.User{full2, plain}, Groups: []access.Group{group2, groupOf(2)},
		Members: []access.Member{memberOf(1, 1, access.SourceAdmin), member2},
		Grants:  []access.Grant{grant2, grantOf(2, 2)}, Tokens: []access.Token{token2, endless},
	})
}

func testGroupCascades(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	applyAccess(t, s, access.Delta{
		Users: []access.User{userOf(1), userOf(2)}, Groups: []access.Group{groupOf(1), groupOf(2)},
		Members: []access.Member{memberOf(1, 1, access.SourceAdmin), memberOf(1, 1, access.SourceSync), memberOf(1, 2, access.SourceAdmin),
			memberOf(2, 1, access.SourceSeed)},
		Grants: []access.Grant{grantOf(1, 1), grantOf(2, 1), grantOf(3, 2)}, Tokens: []access.Token{tokenOf(1, 1)},
	})
	applyAccess(t, s, access.Delta{GoneGroups: []access.ID{accessID('g', 1)}})
	left := access.Delta{
		Users: []access.User{userOf(1), userOf(2)}, Groups: []access.Group{groupOf(2)}, Members: []access.Member{memberOf(1, 2, access.SourceAdmin)},
		Grants: []access.Grant{grantOf(3, 2)}, Tokens: []access.Token{tokenOf(1, 1)},
	}
	wantAccess(t, s, 0, left)
	wantAccess(t, s, 1, access.Delta{GoneGroups: []access.ID{accessID('g', 1)}})
}

func testUserCascades(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	applyAccess(t, s, access.Delta{
		Users: []access.User{userOf(1), userOf(2)}, Groups: []access.Group{groupOf(1)},
		Members: []access.Member{memberOf(1, 1, access.SourceAdmin), memberOf(2, 1, access.SourceAdmin)},
		Grants:  []access.Grant{grantOf(1, 1)}, Tokens: []access.Token{tokenOf(1, 1), tokenOf(2, 2)},
	})
	applyAccess(t, s, access.Delta{GoneUsers: []access.ID{accessID('u', 1)}})
	wantAccess(t, s, 0, access.Delta{
		Users: []access.User{userOf(2)}, Groups: []access.Group{groupOf(1)}, Members: []access.Member{memberOf(2, 1, access.SourceAdmin)},
		Grants: []access.Grant{grantOf(1, 1)}, Tokens: []access.Token{tokenOf(2, 2)},
	})
	wantAccess(t, s, 1, access.Delta{GoneUsers: []access.ID{accessID('u', 1)}})
}

func testAccessParents(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	applyAccess(t, s, access.Delta{Users: []access.User{userOf(1)}, Groups: []access.Group{groupOf(1)}})
	for name, d := range map[string]access.Delta{
		"a member of no group":      {Members: []access.Member{memberOf(1, 2, access.SourceAdmin)}},
		"a member who is nobody":    {Members: []access.Member{memberOf(2, 1, access.SourceAdmin)}},
		"a grant to no group":       {Grants: []access.Grant{grantOf(1, 2)}},
		"a token of nobody":         {Tokens: []access.Token{tokenOf(1, 2)}},
		"one of several":            {Grants: []access.Grant{grantOf(1, 1), grantOf(2, 2)}},
		"the group goes by the way": {GoneGroups: []access.ID{accessID('g', 1)}, Grants: []access.Grant{grantOf(1, 1)}},
	} {
		_, err := s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error { return tx.ApplyAccess(ctx, &d) })
		if !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantAccess(t, s, 0, access.Delta{Users: []access.User{userOf(1)}, Groups: []access.Group{groupOf(1)}})
}

func testAccessRollback(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	before := access.Delta{
		Users: []access.User{userOf(1)}, Groups: []access.Group{groupOf(1)}, Members: []access.Member{memberOf(1, 1, access.SourceAdmin)},
		Grants: []access.Grant{grantOf(1, 1)}, Tokens: []access.Token{tokenOf(1, 1)},
	}
	applyAccess(t, s, before)
	_, err := s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error {
		return errors.Join(tx.ApplyAccess(ctx, &access.Delta{
			GoneGroups: []access.ID{accessID('g', 1)}, GoneTokens: []access.ID{accessID('t', 1)}, Users: []access.User{userOf(2)},
		}), errGiveUp)
	})
	if !errors.Is(err, errGiveUp) {
		t.Fatal(err)
	}
	wantAccess(t, s, 0, before)
	// The keys are as good as before.
	applyAccess(t, s, access.Delta{GoneGroups: []access.ID{accessID('g', 1)}})
	applyAccess(t, s, access.Delta{Groups: before.Groups, Members: before.Members, Grants: before.Grants, Users: []access.User{userOf(2)}})
	before.Users = append(before.Users, userOf(2))
	wantAccess(t, s, 0, before)
}

package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

func testSources(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	g := makeGroup(t, s, "Staff")
	alice := see(t, s, tokenBy("alice", 1, "Staff"))
	bob := see(t, s, tokenBy("bob", 1))
	remove := func(user *access.User) (string, error) {
		left, err := s.RemoveMember(t.Context(), admin, g.ID, user.ID, sure)
		return fmt.Sprint(left), err
	}
	left, err := remove(alice)
	if e := refused(t, err, "not_admin_source"); e.Kind != fault.Conflict || !strings.Contains(e.Detail, "idp_sync") || left != "[idp_sync]" {
		t.Errorf("%v, %s", e, left)
	}
	// Each source writes its own row.
	join(t, s, "Staff", "alice")
	join(t, s, "Staff", "bob")
	if got := membersOf(t, s, "Staff"); got != "alice:admin,idp_sync bob:admin" {
		t.Fatal(got)
	}
	_, _, err = s.AddMember(t.Context(), admin, g.ID, bob.ID.String(), sure)
	refused(t, err, "already_member")
	if left, err := remove(alice); err != nil || left != "[idp_sync]" {
		t.Errorf("%s %v", left, err)
	}
	if left, err := remove(bob); err != nil || left != "[]" {
		t.Errorf("%s %v", left, err)
	}
	if got := membersOf(t, s, "Staff"); got != "alice:idp_sync" {
		t.Error(got)
	}
	_, err = remove(bob)
	if e := refused(t, err, "not_found"); e.Kind != fault.NotFound {
		t.Errorf("%v", e)
	}
	_, err = s.RemoveMember(t.Context(), admin, g.ID, uuid.New(), sure)
	refused(t, err, "user_not_found")
	_, err = s.RemoveMember(t.Context(), admin, uuid.New(), bob.ID, sure)
	refused(t, err, "not_found")
}

func testAddMember(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	g := makeGroup(t, s, "Staff")
	alice := see(t, s, tokenBy("alice", 1))
	m, u, err := s.AddMember(t.Context(), admin, g.ID, " ALICE@Example.ORG ", sure)
	if err != nil || u != *alice || m.User != alice.ID || m.Group != g.ID || m.Source != access.SourceAdmin || m.AddedBy != "admin" {
		t.Fatalf("%+v %+v %v", m, u, err)
	}
	if got := s.Snapshot().Access.Member(m.MemberKey); got == nil || *got != m {
		t.Errorf("%+v", got)
	}
	for _, unknown := range []string{"", "alice", "bob@example.org", uuid.NewString(), "{" + alice.ID.String() + "}"} {
		_, _, err := s.AddMember(t.Context(), admin, g.ID, unknown, sure)
		if e := refused(t, err, "user_not_found"); e.Kind != fault.NotFound {
			t.Errorf("%q: %v", unknown, e)
		}
	}
	_, _, err = s.AddMember(t.Context(), admin, uuid.New(), alice.ID.String(), sure)
	refused(t, err, "not_found")

	// Somebody whose account was made anew has the same address under another
	// subject: the address alone does not say who is meant.
	twin := tokenBy("alice", 2)
	twin.Subject, twin.Username = "sub-twin", "twin"
	second := see(t, s, twin)
	other := makeGroup(t, s, "Other")
	_, _, err = s.AddMember(t.Context(), admin, other.ID, "alice@example.org", sure)
	if e := refused(t, err, "ambiguous_user"); !strings.Contains(e.Detail, second.ID.String()) || !strings.Contains(e.Detail, alice.ID.String()) {
		t.Errorf("%v", e)
	}
	if _, err := s.DeactivateUser(t.Context(), admin, alice.ID, sure); err != nil {
		t.Fatal(err)
	}
	if _, u, err := s.AddMember(t.Context(), admin, other.ID, "alice@example.org", sure); err != nil || u.ID != second.ID {
		t.Errorf("%+v %v", u, err)
	}
}

func testGrants(t *testing.T, b Backend) {
	c := &clock{at: noon}
	s := service(t, b.New(t), newFleet(), func(o *registry.Options) { o.Clock = c.now })
	g := makeGroup(t, s, "Staff")
	wish := access.Grant{Group: g.ID, Type: "worker", Resource: "*", Expires: noon.Add(time.Hour + time.Nanosecond)}
	made, err := s.CreateGrant(t.Context(), admin, wish, sure)
	if err != nil || made.ID == (access.ID{}) || made.Expires != noon.Add(time.Hour) || made.AssignedBy != "admin" || made.AssignedAt != noon {
		t.Fatalf("%+v %v", made, err)
	}
	if got := s.Snapshot().Access.GrantFor(g.ID, "worker", "*"); got == nil || *got != made {
		t.Errorf("%+v", got)
	}
	_, err = s.CreateGrant(t.Context(), admin, wish, sure)
	if e := refused(t, err, "grant_exists"); e.Kind != fault.Conflict || strings.Contains(e.Detail, "expired") {
		t.Errorf("%v", e)
	}
	c.advance(2 * time.Hour)
	wish.Expires = time.Time{}
	_, err = s.CreateGrant(t.Context(), admin, wish, sure)
	if e := refused(t, err, "grant_exists"); !strings.Contains(e.Detail, "expired") {
		t.Errorf("%v", e)
	}
	if err := s.DeleteGrant(t.Context(), admin, made.ID, sure); err != nil {
		t.Fatal(err)
	}
	refused(t, s.DeleteGrant(t.Context(), admin, made.ID, sure), "not_found")
	again, err := s.CreateGrant(t.Context(), admin, wish, sure)
	if err != nil || again.ID == made.ID || !again.Expires.IsZero() {
		t.Errorf("%+v %v", again, err)
	}
	_, err = s.CreateGrant(t.Context(), admin, access.Grant{Group: uuid.New(), Type: "worker", Resource: "*"}, sure)
	refused(t, err, "not_found")
	_, err = s.CreateGrant(t.Context(), admin, access.Grant{Group: g.ID, Type: "a\x00", Expires: c.now()}, sure)
	if e := refused(t, err, "bad_resource_type"); e.Kind != fault.Unprocessable || len(e.Violations) != 3 {
		t.Errorf("%+v", e)
	}
}

func testLastAdmin(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	group := groupNamed(t, s, access.Admin).ID
	alice, bob := see(t, s, tokenBy("alice", 1)), see(t, s, tokenBy("bob", 1))
	join(t, s, access.Admin, "alice")
	remove := func(u *access.User) error {
		_, err := s.RemoveMember(t.Context(), admin, group, u.ID, sure)
		return err
	}
	deactivate := func(u *access.User) error {
		_, err := s.DeactivateUser(t.Context(), admin, u.ID, sure)
		return err
	}
	for _, err := range []error{remove(alice), deactivate(alice)} {
		if e := refused(t, err, "last_admin"); e.Kind != fault.Conflict {
			t.Errorf("%v", e)
		}
	}
	join(t, s, access.Admin, "bob")
	if err := deactivate(bob); err != nil { // alice is left
		t.Fatal(err)
	}
	// Bob is a member still, but cannot come in.
	refused(t, remove(alice), "last_admin")
	if err := remove(bob); err != nil {
		t.Fatal(err)
	}
	refused(t, remove(alice), "last_admin")
	// Who stays a member by another source goes nowhere.
	if err := s.SeedAdmin(t.Context(), "alice@example.org"); err != nil {
		t.Fatal(err)
	}
	if err := remove(alice); err != nil || membersOf(t, s, access.Admin) != "alice:system_seed" {
		t.Errorf("%v, %s", err, membersOf(t, s, access.Admin))
	}
	refused(t, deactivate(alice), "last_admin")
	refused(t, remove(alice), "not_admin_source")
	// A member by a mapped role is stored like any other.
	if _, err := s.ActivateUser(t.Context(), admin, bob.ID, sure); err != nil {
		t.Fatal(err)
	}
	see(t, s, tokenBy("bob", 2, access.Admin))
	if err := deactivate(alice); err != nil {
		t.Errorf("%v: bob is left", err)
	}
}

func testDeactivate(t *testing.T, b Backend) {
	c := &clock{at: noon}
	s := service(t, b.New(t), newFleet(), func(o *registry.Options) { o.Clock = c.now })
	makeGroup(t, s, "Staff")
	alice := see(t, s, tokenBy("alice", 1))
	join(t, s, "Staff", "alice")
	in := tokenInput(alice.ID, 1)
	in.Expires = time.Time{}
	live, err := s.CreateToken(t.Context(), admin, in, sure)
	if err != nil {
		t.Fatal(err)
	}
	in.Digest[0]++
	revoked, err := s.CreateToken(t.Context(), admin, in, sure)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeToken(t.Context(), admin, revoked.ID, sure); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Minute)
	rows := len(audited(t, s))
	u, err := s.DeactivateUser(t.Context(), admin, alice.ID, sure)
	if err != nil || u.Active || u.DeactivatedAt != noon.Add(time.Minute) || u.DeactivatedBy != "admin" || u.Revision != 2 || *userNamed(t, s, "alice") != u {
		t.Fatalf("%+v %v", u, err)
	}
	set := s.Snapshot().Access
	if k := set.Token(live.ID); k.RevokedAt != noon.Add(time.Minute) || k.RevokedBy != "admin" {
		t.Errorf("%+v", k)
	}
	if k := set.Token(revoked.ID); k.RevokedAt != noon {
		t.Errorf("%+v: it was revoked before", k)
	}
	told := accessRows(t, s, rows)
	if len(told) != 1 || told[0].Action != registry.ActionUserDeactivated || said(t, told[0].After, "revoked_tokens", "count") != 1.0 ||
		said(t, told[0].Before, "active") != true || said(t, told[0].After, "active") != false {
		t.Errorf("%+v", told)
	}
	if again, err := s.DeactivateUser(t.Context(), admin, alice.ID, sure); err != nil || again != u || len(audited(t, s)) != rows+1 {
		t.Errorf("%+v %v: once is enough", again, err)
	}
	_, err = s.CreateToken(t.Context(), admin, tokenInput(alice.ID, 9), sure)
	refused(t, err, "user_inactive")
	// The identity provider does not let anybody in again.
	see(t, s, tokenBy("alice", 5, "Staff"))
	if userNamed(t, s, "alice").Active {
		t.Error("a token has activated its user")
	}
	back, err := s.ActivateUser(t.Context(), admin, alice.ID, sure)
	if err != nil || !back.Active || !back.DeactivatedAt.IsZero() || back.DeactivatedBy != "" || lastAction(t, s) != registry.ActionUserActivated {
		t.Errorf("%+v %v", back, err)
	}
	if k := s.Snapshot().Access.Token(live.ID); k.RevokedAt.IsZero() {
		t.Error("a revoked token is good again")
	}
	if got := membersOf(t, s, "Staff"); got != "alice:admin,idp_sync" {
		t.Error(got)
	}
	_, err = s.DeactivateUser(t.Context(), admin, uuid.New(), sure)
	refused(t, err, "user_not_found")
	_, err = s.ActivateUser(t.Context(), admin, uuid.New(), sure)
	refused(t, err, "user_not_found")
}

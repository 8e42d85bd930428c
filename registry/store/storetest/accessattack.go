package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// accessAttackTests are what somebody may try who wants more than they have.
func accessAttackTests() map[string]func(*testing.T, Backend) {
	return map[string]func(*testing.T, Backend){
		"an address of another issuer":            testForeignAddress,
		"addresses that look alike":               testLookAlikes,
		"an address of an old token":              testOldAddress,
		"claims that are called like the system":  testSystemClaims,
		"names like the system's":                 testSystemNames,
		"a group that is made anew":               testGroupAnew,
		"a claim does not bring a group back":     testClaimOfGoneGroup,
		"nobody comes in again by logging in":     testShutOut,
		"the instant at which a grant ends":       testExpiry,
		"a clock that goes back":                  testClockBack,
		"what was only tried has no revision":     testTriedRevision,
		"a replica that hears nothing":            testStaleDecisions,
		"who was seen at a replica that is late":  testStaleSeen,
		"uses at a replica that is late":          shared(testStaleUses),
		"replicas do not fork the chain either":   testServicesUnforked,
		"a large group goes at once":              testLargeGroup,
		"a deactivation reaches the other":        testRevokedElsewhere,
		"members come and go at both replicas":    testMemberChurn,
		"two who bind the same record":            testBindTogether,
		"the last admins all go at the same time": testAllAdminsGo,
	}
}

// may reports what somebody may do by what is stored, of idp_sync as well, and by
// the groups that a token names.
func may(s *registry.Service, u *access.User, resource string, named ...string) bool {
	who := &access.Who{User: u, Named: named, Sync: true}
	set := s.Snapshot().Access
	return set.IsAdmin(who) || set.Allows(who, "rule_step", resource, true, noon)
}

func testForeignAddress(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	made := byEmail(t, s, "alice")
	foreign := tokenBy("alice", 1)
	foreign.Issuer, foreign.Primary = "https://elsewhere", false
	for range 2 { // as somebody new, and as somebody known
		if err := s.SeenUser(t.Context(), foreign); err != nil {
			t.Fatal(err)
		}
		foreign.IssuedAt = foreign.IssuedAt.Add(time.Minute)
		foreign.Groups = []string{"Staff"}
	}
	set := s.Snapshot().Access
	mallory := set.UserOf(foreign.Issuer, foreign.Subject)
	if mallory == nil || mallory.ID == made.ID || mallory.Email != "" || set.User(made.ID).Bound() {
		t.Fatalf("%+v, %+v", mallory, set.User(made.ID))
	}
	// What is given to the address is not given to them, now or after it is bound.
	for range 2 {
		_, u, err := s.AddMember(t.Context(), admin, groupNamed(t, s, "Staff").ID, "alice@example.org", sure)
		if err != nil && !fault.Is(err, "already_member") || err == nil && u.ID != made.ID {
			t.Errorf("%+v %v", u, err)
		}
		if alice := see(t, s, tokenBy("alice", 3)); alice.ID != made.ID {
			t.Errorf("%+v", alice)
		}
	}
	if may(s, mallory, "x") {
		t.Error("another issuer's word made an admin")
	}
}

func testLookAlikes(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	made := byEmail(t, s, "kate.smith")
	for i, address := range []string{
		"\u212Aate.smith@example.org", "kate.\u017Fmith@example.org", "k\u0430te.smith@example.org", "kate.smith@example.org.",
		"kate.smith@ex\u0430mple.org", "kate.sm\u0131th@example.org", "kate.smith@example.org@evil.example", "\"kate.smith\"@example.org",
		"kate.smith\u200b@example.org", "kate.smith @example.org", "kate.smith@example.org\x00", "kate.smith@example.org,kate@evil.example",
		"kate.smith+x@example.org", "\uff4bate.smith@example.org",
	} {
		seen := tokenBy(fmt.Sprint("mallory", i), 1)
		seen.Email = address
		if u := see(t, s, seen); u.ID == made.ID {
			t.Fatalf("%+q binds the record of kate.smith@example.org", address)
		}
		_, u, err := s.AddMember(t.Context(), admin, groupNamed(t, s, access.Admin).ID, address, tried)
		if err == nil && u.ID == made.ID {
			t.Errorf("%+q stands for kate.smith@example.org", address)
		}
	}
	seen := tokenBy("kate", 1)
	seen.Email = "KATE.Smith@Example.ORG"
	if u := see(t, s, seen); u.ID != made.ID {
		t.Errorf("%+v: her own address in capitals", u)
	}
}

// testOldAddress has a record made for an address that somebody had, and shows a
// token from then.
func testOldAddress(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	old := tokenBy("bob", 3, "Staff")
	old.Email = "lead@example.org"
	now := tokenBy("bob", 5, "Staff")
	see(t, s, now)
	made := byEmail(t, s, "lead")
	bob := see(t, s, old)
	if bob.Email != "bob@example.org" || may(s, bob, "x") || s.Snapshot().Access.User(made.ID) == nil {
		t.Errorf("%+v took the record of an address that was his", bob)
	}
	now.Email, now.IssuedAt = "lead@example.org", now.IssuedAt.Add(time.Minute)
	if bob = see(t, s, now); !may(s, bob, "x") {
		t.Errorf("%+v: the address is his again", bob)
	}
}

func testSystemClaims(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	giveGrant(t, s, access.Everyone, "for all")
	names := []string{
		" Admin", "Admin ", "Admin\u200b", "Ad\u00admin", "Admin\x00", "admin", "ADMIN", "\u0410dmin", "\uff21dmin", "/Admin", access.Everyone, "everyone", "",
	}
	alice := see(t, s, tokenBy("alice", 1, names...))
	set := s.Snapshot().Access
	if may(s, alice, "x", names...) || set.MemberCount(groupNamed(t, s, access.Admin).ID) != 0 || !may(s, alice, "for all") {
		t.Errorf("%s", told(set))
	}
	for g := range set.GroupsAfter("") {
		if err := access.CheckGroupName(g.Name); err != nil || g.System != (g.Name == access.Admin || g.Name == access.Everyone) {
			t.Errorf("%+q %v", g.Name, err)
		}
	}
	if set.MemberCount(groupNamed(t, s, access.Everyone).ID) != 0 {
		t.Error("a claim gave Everyone a member")
	}
}

func testSystemNames(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	g := makeGroup(t, s, "Staff")
	mallory := see(t, s, tokenBy("mallory", 1, "Staff"))
	for _, try := range [][2]string{
		{access.Admin, "group_exists"}, {access.Everyone, "group_exists"}, {" Admin", "bad_name"}, {"Admin\u200b", "bad_name"},
		{"Admin\n", "bad_name"}, {"admin", ""}, {"\u0410dmin", ""}, {"Staff", ""},
	} {
		name, code := try[0], try[1]
		now, err := s.UpdateGroup(t.Context(), admin, g.ID, registry.GroupPatch{Name: &name}, sure)
		if code != "" {
			refused(t, err, code)
			_, err = s.CreateGroup(t.Context(), admin, access.Group{Name: name, System: true}, sure)
			refused(t, err, code)
		}
		if code == "" && (err != nil || now.System) || may(s, mallory, "x", name) && name != access.Admin || may(s, mallory, "x") {
			t.Errorf("%+q: %+v %v", name, now, err)
		}
	}
	made, err := s.CreateGroup(t.Context(), admin, access.Group{Name: "Other", System: true, Revision: 77}, sure)
	if err != nil || made.System || made.Revision != 1 {
		t.Errorf("%+v %v", made, err)
	}
}

// testGroupAnew gives a removed group's name, and the room it had, to others.
func testGroupAnew(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	old := makeGroup(t, s, "Ops")
	mallory, eve := see(t, s, tokenBy("mallory", 1, "Ops")), see(t, s, tokenBy("eve", 1))
	join(t, s, "Ops", "eve")
	kept := giveGrant(t, s, "Ops", "secret")
	if !may(s, mallory, "secret") || !may(s, eve, "secret") || !may(s, nil, "secret", "Ops") {
		t.Fatal("the grant does not work")
	}
	if err := s.DeleteGroup(t.Context(), admin, old.ID, sure); err != nil {
		t.Fatal(err)
	}
	makeGroup(t, s, "Other")
	giveGrant(t, s, "Other", "secret")
	again := makeGroup(t, s, "Ops")
	giveGrant(t, s, "Ops", "plain")
	for _, u := range []*access.User{mallory, eve} {
		if may(s, u, "secret", "Ops") || may(s, u, "plain") {
			t.Errorf("%s has what the removed group had, or what the new one has", u.Username)
		}
	}
	set := s.Snapshot().Access
	if again.ID == old.ID || set.Grant(kept.ID) != nil || set.GrantFor(again.ID, "rule_step", "secret") != nil || !may(s, nil, "plain", "Ops") {
		t.Errorf("%s", told(set))
	}
	reopened(t, s, open)
}

func testClaimOfGoneGroup(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	g := makeGroup(t, s, "Ops")
	none := tokenBy("mallory", 1, "Ops")
	none.Admits = nil
	mallory := see(t, s, none)
	if membersOf(t, s, "Ops") != "mallory:idp_sync" {
		t.Errorf("%s: a group that is there needs nobody to admit it", membersOf(t, s, "Ops"))
	}
	if err := s.DeleteGroup(t.Context(), admin, g.ID, sure); err != nil {
		t.Fatal(err)
	}
	for minute, admits := range []func(string) bool{nil, func(string) bool { return false }} {
		seen := tokenBy("mallory", 2+minute, "Ops")
		seen.Admits = admits
		see(t, s, seen)
		if set := s.Snapshot().Access; set.GroupByName("Ops") != nil || set.GroupCount() != 2 {
			t.Fatalf("%s", told(set))
		}
	}
	if u := userNamed(t, s, "mallory"); u.SyncedAt.Equal(mallory.SyncedAt) {
		t.Error("the claim was passed over")
	}
}

// testShutOut has somebody who was deactivated try to come in by what they prove.
func testShutOut(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	mallory := see(t, s, tokenBy("mallory", 1, access.Admin))
	see(t, s, tokenBy("alice", 1, access.Admin))
	k := giveToken(t, s, mallory.ID, 1)
	if _, err := s.DeactivateUser(t.Context(), admin, mallory.ID, sure); err != nil {
		t.Fatal(err)
	}
	// By a newer token, by a record made for the address, by a use, by a new one.
	for minute := range 3 {
		seen := tokenBy("mallory", 2+minute, access.Admin)
		seen.Username = fmt.Sprint("mallory", minute)
		if err := s.SeenUser(t.Context(), seen); err != nil {
			t.Fatal(err)
		}
		if err := s.SeedAdmin(t.Context(), "mallory@example.org"); err != nil {
			t.Fatal(err)
		}
		s.TokenUsed(k.ID, time.Now(), "192.0.2.66")
	}
	_, err := s.CreateToken(t.Context(), admin, tokenInput(mallory.ID, 2), sure)
	refused(t, err, "user_inactive")
	set := s.Snapshot().Access
	if u := set.User(mallory.ID); u.Active || set.UserCount() != 2 || set.Token(k.ID).RevokedAt.IsZero() {
		t.Errorf("%+v", u)
	}
	// Who is shut out before they were ever seen stays so.
	made := byEmail(t, s, "eve")
	if _, err := s.DeactivateUser(t.Context(), admin, made.ID, sure); err != nil {
		t.Fatal(err)
	}
	if eve := see(t, s, tokenBy("eve", 1)); eve.ID != made.ID || eve.Active {
		t.Errorf("%+v", eve)
	}
}

func testExpiry(t *testing.T, b Backend) {
	c := &clock{at: noon}
	open := b.New(t)
	s := service(t, open, newFleet(), func(o *registry.Options) { o.Clock = c.now })
	g := makeGroup(t, s, "Staff")
	wish := access.Grant{Group: g.ID, Type: "rule_step", Resource: "nightly", Expires: noon}
	for _, past := range []time.Time{noon, noon.Add(-time.Nanosecond), noon.Add(999 * time.Nanosecond), time.Unix(0, 0)} {
		wish.Expires = past
		_, err := s.CreateGrant(t.Context(), admin, wish, sure)
		refused(t, err, "bad_expires_at")
	}
	end := noon.Add(time.Hour + 500*time.Millisecond)
	wish.Expires = end
	made, err := s.CreateGrant(t.Context(), admin, wish, sure)
	if err != nil {
		t.Fatal(err)
	}
	reopened(t, s, open)
	who := &access.Who{Named: []string{"Staff"}}
	for at, want := range map[time.Time]bool{
		end.Add(-time.Second): true, end.Add(-time.Nanosecond): true, end: false, end.Add(time.Nanosecond): false, end.Add(time.Hour): false,
	} {
		set := s.Snapshot().Access
		vias := 0
		for range set.Via(who, "rule_step", "nightly", true, at) {
			vias++
		}
		if got := set.Allows(who, "rule_step", "nightly", true, at); got != want || made.InForce(at) != want || (vias == 1) != want {
			t.Errorf("%s before the end: %t, by %d grants", end.Sub(at), got, vias)
		}
	}
}

func testClockBack(t *testing.T, b Backend) {
	c := &clock{at: noon.Add(2 * time.Hour)}
	s := service(t, b.New(t), newFleet(), func(o *registry.Options) { o.Clock = c.now })
	alice := see(t, s, tokenBy("alice", 60, "A"))
	k := giveToken(t, s, alice.ID, 1)
	made := giveGrant(t, s, "A", "x")
	rev := s.Snapshot().Revision
	c.advance(-2 * time.Hour)
	later := see(t, s, tokenBy("alice", 90, "B"))
	if later.SyncedAt != noon.Add(90*time.Minute) || later.ConfirmedAt.Before(alice.ConfirmedAt) || later.UpdatedAt.After(alice.UpdatedAt) {
		t.Errorf("%+v after %+v", later, alice)
	}
	old := see(t, s, tokenBy("alice", 30, "A"))
	if old.SyncedAt != later.SyncedAt || membersOf(t, s, "A") != "" || membersOf(t, s, "B") != "alice:idp_sync" {
		t.Errorf("%+v: an older claim counts", old)
	}
	if err := s.RevokeToken(t.Context(), admin, k.ID, sure); err != nil || s.Snapshot().Access.Token(k.ID).RevokedAt.IsZero() {
		t.Errorf("%v: revoked before it was made", err)
	}
	if g, err := s.UpdateGroup(t.Context(), admin, made.Group, registry.GroupPatch{Name: ptr("C")}, registry.Change{IfMatch: "1"}); err != nil || g.Revision != 2 {
		t.Errorf("%+v %v", g, err)
	}
	if now := s.Snapshot().Revision; now != rev+3 {
		t.Errorf("revision %d after %d", now, rev)
	}
	if r, err := s.VerifyAudit(t.Context(), nil, nil); err != nil || !r.OK {
		t.Errorf("%+v %v", r, err)
	}
}

// testTriedRevision holds that what was given up leaves no revision to decide over.
func testTriedRevision(t *testing.T, b Backend) {
	all := services(t, b)
	g := makeGroup(t, all[0], "Staff")
	rev := all[0].Snapshot().Revision
	rows := len(audited(t, all[0]))
	for n := range 6 {
		s := all[n%2]
		p := registry.GroupPatch{Description: ptr(fmt.Sprint("told ", n))}
		now, err := s.UpdateGroup(t.Context(), admin, g.ID, p, tried)
		if err != nil || now.Revision != g.Revision+1 {
			t.Fatalf("%+v %v", now, err)
		}
		_, err = s.UpdateGroup(t.Context(), admin, g.ID, p, registry.Change{IfMatch: fmt.Sprint(now.Revision)})
		refused(t, err, "revision_mismatch")
		_, err = s.CreateGroup(t.Context(), admin, access.Group{Name: "Staff"}, sure)
		refused(t, err, "group_exists")
		if g, err = all[(n+1)%2].UpdateGroup(t.Context(), admin, g.ID, p, registry.Change{IfMatch: fmt.Sprint(g.Revision)}); err != nil || g.Revision != now.Revision {
			t.Fatalf("%+v %v", g, err)
		}
		if got := all[(n+1)%2].Snapshot().Revision; got != rev+registry.Revision(n)+1 {
			t.Errorf("revision %d, %d changes after %d", got, n+1, rev)
		}
	}
	told := accessRows(t, all[0], rows)
	if want := strings.TrimSpace(strings.Repeat(registry.ActionGroupUpdated+" ", 6)); actionsOf(told) != want {
		t.Errorf("%s", actionsOf(told))
	}
	if r, err := all[0].VerifyAudit(t.Context(), nil, nil); err != nil || !r.OK {
		t.Errorf("%+v %v", r, err)
	}
}

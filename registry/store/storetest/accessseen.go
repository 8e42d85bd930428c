package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// byEmail has a record made by e-mail, in Admin.
func byEmail(t testing.TB, s *registry.Service, name string) *access.User {
	t.Helper()
	if err := s.SeedAdmin(t.Context(), name+"@example.org"); err != nil {
		t.Fatal(err)
	}
	u := s.Snapshot().Access.UnboundByEmail(name + "@example.org")
	if u == nil {
		t.Fatalf("nobody is made for %s", name)
	}
	return u
}

func testBinding(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	made := byEmail(t, s, "alice")
	if made.Bound() || !made.Active || made.Username != "" {
		t.Errorf("%+v", made)
	}
	rows := len(audited(t, s))
	seen := tokenBy("alice", 1)
	seen.Email, seen.Name = "Alice@EXAMPLE.org", "Alice A."
	bound := see(t, s, seen)
	if bound.ID != made.ID || bound.Issuer != issuer || bound.Subject != "sub-alice" || bound.Email != "Alice@EXAMPLE.org" ||
		bound.Name != "Alice A." || bound.Revision != 2 || !bound.SyncedAt.IsZero() {
		t.Errorf("%+v", bound)
	}
	if got := membersOf(t, s, access.Admin); got != "alice:system_seed" {
		t.Error(got)
	}
	told := accessRows(t, s, rows)
	if actionsOf(told) != registry.ActionUserBound || told[0].Actor.Subject != "sub-alice" || told[0].Actor.User != made.ID.String() ||
		said(t, told[0].Before, "subject") != nil || said(t, told[0].After, "subject") != "sub-alice" {
		t.Errorf("%+v", told)
	}
	// Once: another subject with the same address is somebody else.
	twin := tokenBy("alice", 2)
	twin.Subject, twin.Username = "sub-twin", "twin"
	if other := see(t, s, twin); other.ID == made.ID || lastAction(t, s) != registry.ActionUserCreated {
		t.Errorf("%+v", other)
	}
	before := whole(t, s)
	see(t, s, seen)
	if whole(t, s) != before {
		t.Error("the same token again has changed something")
	}
}

func testNoBinding(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	made := byEmail(t, s, "alice")
	for name, change := range map[string]func(seen *registry.Seen){
		"not verified":  func(seen *registry.Seen) { seen.EmailVerified = false },
		"other issuer":  func(seen *registry.Seen) { seen.Primary = false },
		"no address":    func(seen *registry.Seen) { seen.Email = "" },
		"other address": func(seen *registry.Seen) { seen.Email = "bob@example.org" },
		"no such thing": func(seen *registry.Seen) { seen.Email = "alice" },
	} {
		seen := tokenBy("alice", 1)
		seen.Subject, seen.Username = "sub-"+name, name
		change(&seen)
		other := see(t, s, seen)
		if other.ID == made.ID || s.Snapshot().Access.UnboundByEmail("alice@example.org") == nil {
			t.Errorf("%s: bound", name)
		}
		// Who cannot prove an address does not get it, nor what others give it.
		if want := map[string]string{"other address": "bob@example.org"}[name]; other.Email != want {
			t.Errorf("%s: the address %q", name, other.Email)
		}
	}
	if got := membersOf(t, s, access.Admin); got != "alice@example.org:system_seed" {
		t.Error(got)
	}
	for _, seen := range []registry.Seen{
		{Issuer: issuer, IssuedAt: noon}, {Subject: "x", IssuedAt: noon}, {Issuer: issuer, Subject: "a\x00", IssuedAt: noon},
		{Issuer: issuer, Subject: strings.Repeat("x", 1001), IssuedAt: noon},
	} {
		before := whole(t, s)
		refused(t, s.SeenUser(t.Context(), seen), "bad_user")
		if whole(t, s) != before {
			t.Error("something was kept all the same")
		}
	}
}

func testMerging(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	makeGroup(t, s, "Staff")
	early := tokenBy("alice", 1, "Staff")
	early.EmailVerified = false
	alice := see(t, s, early)
	made := byEmail(t, s, "alice")
	if _, _, err := s.BreakGlass(t.Context(), admin, "alice@example.org"); err != nil {
		t.Fatal(err)
	}
	join(t, s, "Staff", "alice")
	rows := len(audited(t, s))
	if again := see(t, s, tokenBy("alice", 2, "Staff")); again.ID != alice.ID || again.Email != "alice@example.org" {
		t.Errorf("%+v", again)
	}
	if s.Snapshot().Access.User(made.ID) != nil {
		t.Error("the record made by e-mail is still there")
	}
	if got := membersOf(t, s, access.Admin) + " " + membersOf(t, s, "Staff"); got != "alice:system_seed alice:admin,idp_sync" {
		t.Error(got)
	}
	told := accessRows(t, s, rows)
	if actionsOf(told) != registry.ActionUserBound || said(t, told[0].After, "merged") != made.ID.String() || said(t, told[0].Before, "id") != made.ID.String() {
		t.Errorf("%s", told[0].After)
	}
	// A record that was shut out lets nobody in through another.
	second := see(t, s, func() registry.Seen { b := tokenBy("bob", 1); b.EmailVerified = false; return b }())
	shut := byEmail(t, s, "bob")
	if _, err := s.DeactivateUser(t.Context(), admin, shut.ID, sure); err != nil {
		t.Fatal(err)
	}
	see(t, s, tokenBy("bob", 2))
	if set := s.Snapshot().Access; set.User(shut.ID) == nil || set.MemberCount(groupNamed(t, s, access.Admin).ID) != 2 || !set.User(second.ID).Active {
		t.Errorf("%s", membersOf(t, s, access.Admin))
	}
	reopened(t, s, open)
}

func testProfile(t *testing.T, b Backend) {
	c := &clock{at: noon}
	s := service(t, b.New(t), newFleet(), func(o *registry.Options) { o.Clock = c.now })
	alice := see(t, s, tokenBy("alice", -1))
	if lastAction(t, s) != registry.ActionUserCreated || alice.Revision != 1 || alice.CreatedAt != noon {
		t.Errorf("%+v", alice)
	}
	rows := len(audited(t, s))
	check := func(what string, change func(seen *registry.Seen), minute int, want string, told int) {
		t.Helper()
		seen := tokenBy("alice", minute)
		change(&seen)
		if err := s.SeenUser(t.Context(), seen); err != nil {
			t.Fatal(err)
		}
		u := s.Snapshot().Access.User(alice.ID)
		if got := u.Username + " " + u.Email; got != want || len(audited(t, s)) != rows+told {
			t.Errorf("%s: %s, not %s; %s", what, got, want, actionsOf(accessRows(t, s, rows)))
		}
	}
	same := func(*registry.Seen) {}
	check("the same", same, 1, "alice alice@example.org", 0)
	check("before the record was changed", func(seen *registry.Seen) { seen.Username = "old" }, -1, "alice alice@example.org", 0)
	c.advance(3 * time.Minute)
	check("another name", func(seen *registry.Seen) { seen.Username = "alice2" }, 2, "alice2 alice@example.org", 1)
	check("an older token with the old name", same, 1, "alice2 alice@example.org", 1)
	check("nothing said", func(seen *registry.Seen) { seen.Username, seen.Email = "", "" }, 5, "alice2 alice@example.org", 1)
	check("no longer verified", func(seen *registry.Seen) { seen.Username, seen.EmailVerified = "alice2", false }, 6, "alice2 ", 2)
	check("text that no store could keep", func(seen *registry.Seen) { seen.Username = "a\x00b" }, 7, "a\uFFFDb alice@example.org", 3)
	if got := actionsOf(accessRows(t, s, rows)); strings.ReplaceAll(got, registry.ActionUserUpdated, "") != "  " {
		t.Error(got)
	}
}

func testSync(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	alice := see(t, s, tokenBy("alice", 1, "A", "B", access.Everyone, "A"))
	join(t, s, "B", "alice")
	in := func() string {
		set := s.Snapshot().Access
		var all []string
		for g := range set.GroupsAfter("") {
			for _, source := range []access.Source{access.SourceAdmin, access.SourceSync} {
				if set.Member(access.MemberKey{User: alice.ID, Group: g.ID, Source: source}) != nil {
					all = append(all, g.Name+":"+string(source))
				}
			}
		}
		return strings.Join(all, " ")
	}
	check := func(what string, seen registry.Seen, want string, told int) {
		t.Helper()
		rows := len(audited(t, s))
		see(t, s, seen)
		if got := in(); got != want || len(audited(t, s)) != rows+told {
			t.Errorf("%s: %s, not %s; %s", what, got, want, actionsOf(accessRows(t, s, rows)))
		}
	}
	check("an absent claim", tokenBy("alice", 2), "A:idp_sync B:admin B:idp_sync", 0)
	check("a removed group", tokenBy("alice", 3, "A"), "A:idp_sync B:admin", 1)
	row := lastOf(t, s)
	if row.Action != registry.ActionGroupsSynced || row.Resource != "user:"+alice.ID.String() ||
		fmt.Sprint(said(t, row.Before, "groups")) != "[A B]" || fmt.Sprint(said(t, row.After, "groups")) != "[A]" {
		t.Errorf("%s %s %s", row.Action, row.Before, row.After)
	}
	check("the same again", tokenBy("alice", 4, "A"), "A:idp_sync B:admin", 0)
	if u := userNamed(t, s, "alice"); u.SyncedAt != noon.Add(4*time.Minute) || u.Revision != 1 {
		t.Errorf("%+v", u)
	}
	check("another and one anew", tokenBy("alice", 5, "B", "C"), "B:admin B:idp_sync C:idp_sync", 2)
	empty := tokenBy("alice", 6)
	empty.Groups = []string{}
	check("an empty claim", empty, "B:admin", 1)
	check("a mapped role", tokenBy("alice", 7, access.Admin), "Admin:idp_sync B:admin", 1)
	reopened(t, s, open)
}

func lastOf(t testing.TB, s *registry.Service) registry.AuditEntry {
	t.Helper()
	all := audited(t, s)
	return all[len(all)-1]
}

func testOldClaim(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	see(t, s, tokenBy("alice", 5, "New"))
	for minute, name := range []string{1: "Older", 5: "Same"} {
		if name == "" {
			continue
		}
		before := whole(t, s)
		old := tokenBy("alice", minute, name)
		old.Username = "other" // it says nothing of the user either
		if err := s.SeenUser(t.Context(), old); err != nil || whole(t, s) != before {
			t.Errorf("minute %d: %v", minute, err)
		}
	}
	// A token from the future is as good as any other, but confirms nothing to come.
	ahead := tokenBy("alice", 0, "New")
	ahead.IssuedAt = time.Now().Add(time.Hour)
	u := see(t, s, ahead)
	if u.ConfirmedAt.After(time.Now()) || !u.SyncedAt.Equal(ahead.IssuedAt.Truncate(time.Microsecond)) {
		t.Errorf("%+v", u)
	}
}

func testClaimedGroups(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	makeGroup(t, s, "There")
	seen := tokenBy("alice", 1, "There", "/team/a", "/other", "bad\x00name", "")
	seen.Admits = func(name string) bool { return !strings.HasPrefix(name, "/other") }
	see(t, s, seen)
	var names []string
	for g := range s.Snapshot().Access.GroupsAfter("") {
		names = append(names, g.Name+" by "+g.CreatedBy)
	}
	if got := strings.Join(names, ", "); got != "/team/a by system:idp-sync, Admin by system:seed, Everyone by system:seed, There by admin" {
		t.Error(got)
	}
	if got := membersOf(t, s, "There") + membersOf(t, s, "/team/a"); got != "alice:idp_syncalice:idp_sync" {
		t.Error(got)
	}
}

func testSeenMany(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	before := s.Snapshot().Revision
	var all []registry.Seen
	for n := range 300 {
		all = append(all, tokenBy(fmt.Sprint("u", n), 1, fmt.Sprint("G", n%10)))
	}
	all = append(all, tokenBy("u7", 3, "Newest"), tokenBy("u7", 2, "Older"), tokenBy("u7", 9), registry.Seen{Issuer: issuer})
	refused(t, s.SeenUsers(t.Context(), all), "bad_user")
	set := s.Snapshot().Access
	if set.UserCount() != 300 || set.GroupCount() != 13 || s.Snapshot().Revision != before+1 {
		t.Errorf("%d users, %d groups at revision %d", set.UserCount(), set.GroupCount(), s.Snapshot().Revision)
	}
	if got := membersOf(t, s, "Newest"); got != "u7:idp_sync" || s.Snapshot().Access.GroupByName("Older") != nil {
		t.Error(got)
	}
	if n := set.MemberCount(groupNamed(t, s, "G7").ID); n != 29 {
		t.Errorf("%d in G7", n)
	}
}

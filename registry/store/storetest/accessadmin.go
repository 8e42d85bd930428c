package storetest

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

func testSeedAdmin(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	rows := len(audited(t, s))
	if err := s.SeedAdmin(t.Context(), "Alice@example.org"); err != nil {
		t.Fatal(err)
	}
	if got := membersOf(t, s, access.Admin); got != "Alice@example.org:system_seed" {
		t.Error(got)
	}
	if got := actionsOf(accessRows(t, s, rows)); got != "user.created seed_admin.grant_admin" {
		t.Error(got)
	}
	before := whole(t, s)
	if err := s.SeedAdmin(t.Context(), "alice@EXAMPLE.org"); err != nil || whole(t, s) != before {
		t.Errorf("%v: twice is once", err)
	}
	see(t, s, tokenBy("alice", 1))
	before = whole(t, s)
	if err := s.SeedAdmin(t.Context(), "alice@example.org"); err != nil || whole(t, s) != before {
		t.Errorf("%v: after the first login too", err)
	}
	err := s.SeedAdmin(t.Context(), "no address")
	if e := refused(t, err, "bad_email"); e.Kind != fault.Unprocessable {
		t.Errorf("%v", e)
	}
	// The seed is not taken back by the admin paths.
	_, err = s.RemoveMember(t.Context(), admin, groupNamed(t, s, access.Admin).ID, userNamed(t, s, "alice").ID, sure)
	refused(t, err, "not_admin_source")
}

func testBreakGlass(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	bob := see(t, s, tokenBy("bob", 1, access.Admin))
	see(t, s, tokenBy("carol", 1, access.Admin))
	if _, err := s.DeactivateUser(t.Context(), admin, bob.ID, sure); err != nil {
		t.Fatal(err)
	}
	rows := len(audited(t, s))
	u, already, err := s.BreakGlass(t.Context(), admin, "bob@example.org")
	if err != nil || already || u.ID != bob.ID || !u.Active || *userNamed(t, s, "bob") != u {
		t.Fatalf("%+v %t %v", u, already, err)
	}
	if got := membersOf(t, s, access.Admin); got != "bob:break_glass,idp_sync carol:idp_sync" {
		t.Error(got)
	}
	u, already, err = s.BreakGlass(t.Context(), admin, "bob@example.org")
	if err != nil || !already || u.ID != bob.ID {
		t.Errorf("%+v %t %v", u, already, err)
	}
	if u, already, err := s.BreakGlass(t.Context(), admin, "new@example.org"); err != nil || already || u.Bound() {
		t.Errorf("%+v %t %v", u, already, err)
	}
	want := "user.activated break_glass.grant_admin break_glass.grant_admin user.created break_glass.grant_admin"
	if got := actionsOf(accessRows(t, s, rows)); got != want {
		t.Errorf("%s, not %s", got, want)
	}
	_, _, err = s.BreakGlass(t.Context(), admin, "nobody")
	refused(t, err, "bad_email")
}

// mutations are all changes that may be tried, over alice, who is an admin in Staff
// with a grant and a token, and bob, who is deactivated.
func mutations(t testing.TB, s *registry.Service) map[string]func(c registry.Change) (any, error) {
	t.Helper()
	staff := makeGroup(t, s, "Staff")
	alice, bob := see(t, s, tokenBy("alice", 1)), see(t, s, tokenBy("bob", 1))
	join(t, s, "Staff", "alice")
	join(t, s, access.Admin, "alice")
	join(t, s, access.Admin, "bob")
	grant, token := giveGrant(t, s, "Staff", "nightly"), giveToken(t, s, alice.ID, 1)
	if _, err := s.DeactivateUser(t.Context(), admin, bob.ID, sure); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	return map[string]func(c registry.Change) (any, error){
		"a new group": func(c registry.Change) (any, error) {
			return s.CreateGroup(ctx, admin, access.Group{Name: "New"}, c)
		},
		"b other name": func(c registry.Change) (any, error) {
			return s.UpdateGroup(ctx, admin, staff.ID, registry.GroupPatch{Name: ptr("People")}, c)
		},
		"c new member": func(c registry.Change) (any, error) {
			m, u, err := s.AddMember(ctx, admin, staff.ID, bob.ID.String(), c)
			return fmt.Sprintf("%+v %+v", m, u), err
		},
		"d no member": func(c registry.Change) (any, error) {
			return s.RemoveMember(ctx, admin, staff.ID, alice.ID, c)
		},
		"e new grant": func(c registry.Change) (any, error) {
			return s.CreateGrant(ctx, admin, access.Grant{Group: staff.ID, Type: "rule_step", Resource: "x"}, c)
		},
		"f no grant": func(c registry.Change) (any, error) { return nil, s.DeleteGrant(ctx, admin, grant.ID, c) },
		"g new token": func(c registry.Change) (any, error) {
			return s.CreateToken(ctx, admin, tokenInput(alice.ID, 2), c)
		},
		"h no token":  func(c registry.Change) (any, error) { return nil, s.RevokeToken(ctx, admin, token.ID, c) },
		"i let in":    func(c registry.Change) (any, error) { return s.ActivateUser(ctx, admin, bob.ID, c) },
		"j shut out":  func(c registry.Change) (any, error) { return s.DeactivateUser(ctx, admin, alice.ID, c) },
		"k no group":  func(c registry.Change) (any, error) { return nil, s.DeleteGroup(ctx, admin, staff.ID, c) },
		"l last gone": func(c registry.Change) (any, error) { return s.DeactivateUser(ctx, admin, bob.ID, c) },
	}
}

// volatile is what differs between two answers to the same.
var volatile = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|\[(\d+ ){15}\d+\]|[0-9-]{10} [0-9:.]+ \+0000 UTC`)

func testAccessDryRuns(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	all := mutations(t, s)
	for _, name := range sortedKeys(all) {
		before, set := whole(t, s), s.Snapshot().Access
		answer, triedErr := all[name](tried)
		if whole(t, s) != before || s.Snapshot().Access != set {
			t.Fatalf("%s: trying it has changed something", name)
		}
		done, err := all[name](sure)
		if (err == nil) != (triedErr == nil) || err != nil && fault.From(err).Code != fault.From(triedErr).Code {
			t.Errorf("%s: %v, but tried %v", name, err, triedErr)
		}
		x, y := volatile.ReplaceAllString(fmt.Sprintf("%+v", answer), ""), volatile.ReplaceAllString(fmt.Sprintf("%+v", done), "")
		if x != y {
			t.Errorf("%s: answers\n%s\nbut tried\n%s", name, y, x)
		}
		if err == nil && whole(t, s) == before {
			t.Errorf("%s: doing it has changed nothing", name)
		}
	}
}

func testAccessIfMatch(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	all := mutations(t, s)
	matching := map[string]string{"a new group": "", "g new token": "", "b other name": `"1"`, "i let in": "2", "j shut out": "1"}
	for _, name := range sortedKeys(all) {
		before := whole(t, s)
		_, err := all[name](registry.Change{IfMatch: `"77"`})
		if e := refused(t, err, "revision_mismatch"); e.Kind != fault.Precondition || whole(t, s) != before {
			t.Errorf("%s: %v", name, e)
		}
		match, known := matching[name]
		if !known {
			match = "*"
		}
		if _, err := all[name](registry.Change{IfMatch: match}); err != nil && !fault.Is(err, "last_admin") {
			t.Errorf("%s with %s: %v", name, match, err)
		}
	}
}

func testAccessAudited(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	all := mutations(t, s)
	want := map[string]string{
		"a new group": "user_group.created -+", "b other name": "user_group.updated ++", "c new member": "user_group.member_added -+",
		"d no member": "user_group.member_removed +-", "e new grant": "resource_grant.created -+", "f no grant": "resource_grant.deleted +-",
		"g new token": "token.create -+", "h no token": "token.admin_revoke ++", "i let in": "user.activated ++",
		"j shut out": "user.deactivated ++", "k no group": "user_group.deleted +-",
	}
	snake := regexp.MustCompile(`"([A-Za-z_0-9]+)":`)
	for _, name := range sortedKeys(all) {
		rows := len(audited(t, s))
		rev := s.Snapshot().Revision
		if _, err := all[name](sure); err != nil {
			if len(audited(t, s)) != rows || s.Snapshot().Revision != rev {
				t.Errorf("%s: refused, but it left something", name)
			}
			continue
		}
		told := accessRows(t, s, rows)
		if len(told) != 1 {
			t.Fatalf("%s: %d rows", name, len(told))
		}
		e := told[0]
		sides := map[bool]string{true: "+", false: "-"}
		if got := e.Action + " " + sides[e.Before != nil] + sides[e.After != nil]; got != want[name] {
			t.Errorf("%s: %s", name, got)
		}
		kind, id, _ := strings.Cut(e.Resource, ":")
		if _, err := uuid.Parse(id); err != nil || !strings.Contains("group grant user token", kind) || e.Actor != admin || e.Result != "ok" || e.Revision != rev+1 {
			t.Errorf("%s: %+v", name, e)
		}
		for _, member := range snake.FindAllStringSubmatch(string(e.Before)+string(e.After), -1) {
			if strings.ToLower(member[1]) != member[1] || member[1] == "digest" {
				t.Errorf("%s: the member %s", name, member[1])
			}
		}
	}
}

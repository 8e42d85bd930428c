package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// foreign is access control as another store has it, with everything that can be
// wrong with it.
func foreign() *registry.Import {
	then := noon.Add(-1000 * time.Hour)
	return &registry.Import{
		From: "other.db",
		Users: []registry.ImportUser{
			{Key: "u1", Email: " Alice@example.org ", Name: "Alice", Active: true, CreatedAt: then},
			{Key: "u2", Email: "bob@example.org", DeactivatedAt: then, DeactivatedBy: "alice", CreatedAt: then},
			{Key: "u3", Email: "carol@example.org"},
			{Key: "u4", Email: "CAROL@example.org", Active: true},
			{Key: "u5", Email: ""},
			{Key: "u6", Email: "no address", Active: true},
			{Key: "u7", Email: "dave@example.org", Name: "Da\x00ve", Active: true, CreatedAt: noon.Add(1e6 * time.Hour)},
		},
		Groups: []registry.ImportGroup{
			{Key: "g1", Name: access.Admin}, {Key: "g2", Name: access.Everyone},
			{Key: "g3", Name: "Data team", Description: "of data", CreatedAt: then, CreatedBy: "alice"},
			{Key: "g4", Name: "a\x00b"}, {Key: "g5", Name: "Data team "}, {Key: "g6", Name: "Told badly", Description: "\x00"},
		},
		Members: []registry.ImportMember{
			{User: "u1", Group: "g1", Source: access.SourceAdmin, AddedAt: then, AddedBy: "bob"},
			{User: "u2", Group: "g1", Source: access.SourceSeed},
			{User: "u7", Group: "g1", Source: access.SourceBreakGlass},
			{User: "u4", Group: "g1", Source: access.SourceSync},
			{User: "u1", Group: "g2", Source: access.SourceSeed},
			{User: "u1", Group: "g3", Source: access.SourceSync},
			{User: "u3", Group: "g3", Source: access.SourceAdmin},
			{User: "gone", Group: "g3", Source: access.SourceAdmin},
			{User: "u1", Group: "gone", Source: access.SourceAdmin},
			{User: "u1", Group: "g6", Source: "unheard of"},
		},
		Grants: []registry.ImportGrant{
			{Key: "r1", Group: "g3", Type: "marketplace_plugin", Resource: "main/a", AssignedAt: then, AssignedBy: "alice"},
			{Key: "r2", Group: "g3", Type: "marketplace_plugin", Resource: "main/b"},
			{Key: "r3", Group: "gone", Type: "marketplace_plugin", Resource: "main/b"},
			{Key: "r4", Group: "g3", Type: "marketplace_plugin", Resource: "a\x00"},
		},
	}
}

// leftOf writes what was left out: "u5 has no e-mail address…".
func leftOf(r *registry.ImportReport) string {
	var b strings.Builder
	for _, l := range r.Left {
		b.WriteString(l.Kind + " " + l.Key + " " + l.Reason + "\n")
	}
	return b.String()
}

func testImport(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	before := whole(t, s)
	try, err := s.ImportAccess(t.Context(), admin, foreign(), tried)
	if err != nil || whole(t, s) != before {
		t.Fatalf("a dry run: %v", err)
	}
	rows := len(audited(t, s))
	r, err := s.ImportAccess(t.Context(), admin, foreign(), sure)
	if err != nil {
		t.Fatal(err)
	}
	if r.Users != (registry.ImportCount{Brought: 4}) || r.Groups != (registry.ImportCount{Brought: 2, Present: 2}) ||
		r.Members != (registry.ImportCount{Brought: 4}) || r.Grants != (registry.ImportCount{Brought: 2}) {
		t.Errorf("%+v", r)
	}
	if leftOf(try) != leftOf(r) || try.Users != r.Users || try.Members != r.Members {
		t.Errorf("the dry run said otherwise:\n%s\n%s", leftOf(try), leftOf(r))
	}
	for _, want := range []string{
		"user u5 has no e-mail", "user u6 has an e-mail address that must", "user u3 has the e-mail address of another user",
		"group g4 has a name that", "group g5 has the name of another group", "membership u4 in g1 is in Admin by the identity provider",
		"membership u1 in g2 is in Everyone", "membership u3 in g3 is of a user who", "membership gone in g3 is of a user who",
		"membership u1 in gone is in a group", "membership u1 in g6 has a source", "grant r3 is of a group", "grant r4 has a type",
	} {
		if !strings.Contains(leftOf(r), want) {
			t.Errorf("%q was not left out:\n%s", want, leftOf(r))
		}
	}
	if len(r.Left) != 13 {
		t.Errorf("%d were left out:\n%s", len(r.Left), leftOf(r))
	}
	testImported(t, s, rows)

	before = whole(t, s)
	again, err := s.ImportAccess(t.Context(), admin, foreign(), sure)
	if err != nil || whole(t, s) != before || len(audited(t, s)) != rows+13 {
		t.Fatalf("the second time: %v", err)
	}
	if again.Users.Brought+again.Groups.Brought+again.Members.Brought+again.Grants.Brought != 0 || again.Users.Present != 4 || again.Members.Present != 4 {
		t.Errorf("the second time: %+v", again)
	}
}

// testImported looks at what an import has made, with audit rows behind a number.
func testImported(t *testing.T, s *registry.Service, rows int) {
	t.Helper()
	if got := membersOf(t, s, access.Admin); got != "Alice@example.org:admin bob@example.org:system_seed dave@example.org:break_glass" {
		t.Error(got)
	}
	if got := membersOf(t, s, "Data team"); got != "Alice@example.org:idp_sync" {
		t.Error(got)
	}
	set := s.Snapshot().Access
	bob, dave := set.UnboundByEmail("bob@example.org"), set.UnboundByEmail("dave@example.org")
	if bob == nil || bob.Active || bob.DeactivatedBy != "alice" || !bob.DeactivatedAt.Equal(noon.Add(-1000*time.Hour)) || dave == nil || dave.Name != "" {
		t.Errorf("%+v %+v", bob, dave)
	}
	if g := groupNamed(t, s, "Data team"); g.CreatedBy != "alice" || g.Description != "of data" || g.System || set.GrantCount(g.ID) != 2 {
		t.Errorf("%+v", g)
	}
	if g := groupNamed(t, s, "Told badly"); g.Description != "" || g.CreatedBy != admin.Username {
		t.Errorf("%+v", g)
	}
	want := strings.Repeat("user.created ", 4) + strings.Repeat("user_group.created ", 2) + strings.Repeat("user_group.member_added ", 4) +
		strings.Repeat("resource_grant.created ", 2) + "access.imported"
	if got := actionsOf(accessRows(t, s, rows)); got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

// What is here already is taken for what comes, and stays as it is.
func testImportOver(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	see(t, s, tokenBy("alice", 1))
	bob := see(t, s, tokenBy("bob", 1))
	makeGroup(t, s, "Data team")
	r, err := s.ImportAccess(t.Context(), admin, foreign(), sure)
	if err != nil || r.Users != (registry.ImportCount{Brought: 2, Present: 2}) || r.Groups.Present != 3 {
		t.Fatalf("%+v %v", r, err)
	}
	if *userNamed(t, s, "bob") != *bob || groupNamed(t, s, "Data team").Description != "of Data team" {
		t.Error("what was here has changed")
	}
	if got := membersOf(t, s, access.Admin); got != "alice:admin bob:system_seed dave@example.org:break_glass" {
		t.Error(got)
	}
}

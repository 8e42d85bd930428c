package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

func accessServiceTests() map[string]func(*testing.T, Backend) {
	return map[string]func(*testing.T, Backend){
		"every fleet has the system groups":         testSystemGroups,
		"a group of a system group's name":          testPromotedGroup,
		"groups":                                    testGroups,
		"a deleted group takes all along":           testDeleteGroup,
		"a member by several sources":               testSources,
		"who is added to a group":                   testAddMember,
		"grants":                                    testGrants,
		"the last admin stays":                      testLastAdmin,
		"deactivation":                              testDeactivate,
		"tokens are kept and revoked":               testTokens,
		"what no token may be":                      testTokenMistakes,
		"dry runs change nothing":                   testAccessDryRuns,
		"If-Match of access":                        testAccessIfMatch,
		"every change of access is told":            testAccessAudited,
		"who was made by e-mail is bound once":      testBinding,
		"addresses that bind nobody":                testNoBinding,
		"seen before the record made by e-mail":     testMerging,
		"what a token says of its user":             testProfile,
		"the claim replaces what it gave":           testSync,
		"an older claim changes nothing":            testOldClaim,
		"which groups a claim makes":                testClaimedGroups,
		"many are seen at once":                     testSeenMany,
		"the seed admin":                            testSeedAdmin,
		"breaking the glass":                        testBreakGlass,
		"access out of another store":               testImport,
		"access out of another store, over what is": testImportOver,
		"refusals are told in the background":       testDenials,
		"a flood of refusals is counted":            testDenialFlood,
		"refusals wait for the store":               testDenialsWait,
		"uses of tokens are noted":                  testTokenUses,
		"two admins remove each other":              testMutualRemoval,
		"two replicas make the same group":          testSameGroup,
		"replicas see the same access":              testSameAccess,
		"random changes of access at two replicas":  testAccessRandom,
	}
}

func testSystemGroups(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	all, every := groupNamed(t, s, access.Admin), groupNamed(t, s, access.Everyone)
	if !all.System || !every.System || all.CreatedBy != registry.CreatedBySystem || s.Snapshot().Access.GroupCount() != 2 {
		t.Errorf("%+v %+v", all, every)
	}
	for _, g := range []*access.Group{all, every} {
		_, err := s.UpdateGroup(t.Context(), admin, g.ID, registry.GroupPatch{Name: ptr("Other")}, sure)
		refused(t, err, "system_group")
		refused(t, s.DeleteGroup(t.Context(), admin, g.ID, sure), "system_group")
		// Its own name is no renaming.
		now, err := s.UpdateGroup(t.Context(), admin, g.ID, registry.GroupPatch{Name: &g.Name, Description: ptr("Told anew.")}, sure)
		if err != nil || now.Description != "Told anew." || now.Revision != 2 {
			t.Errorf("%+v %v", now, err)
		}
	}
	see(t, s, tokenBy("alice", 1))
	_, _, err := s.AddMember(t.Context(), admin, every.ID, "alice@example.org", sure)
	refused(t, err, "system_group")
	reopened(t, s, open)
}

func testPromotedGroup(t *testing.T, b Backend) {
	open := b.New(t)
	store := opened(t, open)
	id := uuid.MustParse("01900000-0000-7000-8000-0000000000aa")
	plain := access.Group{ID: id, Name: access.Admin, Description: "ours", CreatedAt: noon, UpdatedAt: noon, CreatedBy: "alice", Revision: 3}
	applyAccess(t, store, access.Delta{Groups: []access.Group{plain}})
	if err := store.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := service(t, open, newFleet())
	if g := groupNamed(t, s, access.Admin); g.ID != id || !g.System || g.Description != "ours" || g.Revision != 4 {
		t.Errorf("%+v", g)
	}
	rows, err := s.AuditTrail(t.Context(), 0, 10)
	if err != nil || actionsOf(rows) != "gateway.uuid_set user_group.updated user_group.created" {
		t.Errorf("%s %v", actionsOf(rows), err)
	}
}

func testGroups(t *testing.T, b Backend) {
	c := &clock{at: noon}
	s := service(t, b.New(t), newFleet(), func(o *registry.Options) { o.Clock = c.now })
	g := makeGroup(t, s, "Staff")
	if g.Revision != 1 || g.CreatedBy != "admin" || g.CreatedAt != noon || g.System || *groupNamed(t, s, "Staff") != g {
		t.Errorf("%+v", g)
	}
	_, err := s.CreateGroup(t.Context(), admin, access.Group{Name: "Staff"}, sure)
	if e := refused(t, err, "group_exists"); e.Kind != fault.Conflict {
		t.Errorf("%v", e.Kind)
	}
	makeGroup(t, s, "staff") // names are compared exactly
	for _, bad := range []string{"", " x", "a\x00b", strings.Repeat("x", 300)} {
		_, err := s.CreateGroup(t.Context(), admin, access.Group{Name: bad, Description: "a\x00"}, sure)
		if e := refused(t, err, "bad_name"); e.Kind != fault.Unprocessable || len(e.Violations) != 2 || e.Violations[1].Pointer != "/description" {
			t.Errorf("%q: %+v", bad, e)
		}
	}
	c.advance(1e9)
	_, err = s.UpdateGroup(t.Context(), admin, g.ID, registry.GroupPatch{Name: ptr("staff")}, sure)
	refused(t, err, "group_exists")
	now, err := s.UpdateGroup(t.Context(), admin, g.ID, registry.GroupPatch{Name: ptr("People")}, sure)
	if err != nil || now.Name != "People" || now.Description != "of Staff" || now.Revision != 2 || now.UpdatedAt != noon.Add(1e9) || now.CreatedAt != noon {
		t.Errorf("%+v %v", now, err)
	}
	if s.Snapshot().Access.GroupByName("Staff") != nil {
		t.Error("the old name is still there")
	}
	before := whole(t, s)
	same, err := s.UpdateGroup(t.Context(), admin, g.ID, registry.GroupPatch{Name: ptr("People")}, sure)
	if err != nil || same != now || whole(t, s) != before {
		t.Errorf("%+v %v: the same is no change", same, err)
	}
	_, err = s.UpdateGroup(t.Context(), admin, uuid.New(), registry.GroupPatch{}, sure)
	refused(t, err, "not_found")
	refused(t, s.DeleteGroup(t.Context(), admin, uuid.New(), sure), "not_found")
}

func testDeleteGroup(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	g, other := makeGroup(t, s, "Staff"), makeGroup(t, s, "Other")
	for n := range 20 {
		name := fmt.Sprint("u", n)
		see(t, s, tokenBy(name, 1, "Staff", "Other"))
		join(t, s, "Staff", name)
		giveGrant(t, s, "Staff", name)
		giveGrant(t, s, "Other", name)
	}
	rows := len(audited(t, s))
	if err := s.DeleteGroup(t.Context(), admin, g.ID, sure); err != nil {
		t.Fatal(err)
	}
	set := s.Snapshot().Access
	if set.Group(g.ID) != nil || set.GrantCount(g.ID) != 0 || set.MemberCount(g.ID) != 0 || set.GrantCount(other.ID) != 20 || set.MemberCount(other.ID) != 20 {
		t.Errorf("%s", told(set))
	}
	told := accessRows(t, s, rows)
	if len(told) != 1 || told[0].Action != registry.ActionGroupDeleted || told[0].Resource != "group:"+g.ID.String() || told[0].After != nil {
		t.Fatalf("%+v", told)
	}
	before := told[0].Before
	if said(t, before, "members", "count") != 40.0 || said(t, before, "grants", "count") != 20.0 ||
		said(t, before, "members", "sha256") == said(t, before, "grants", "sha256") || len(said(t, before, "grants", "sha256").(string)) != 64 {
		t.Errorf("%s", before)
	}
	refused(t, s.DeleteGroup(t.Context(), admin, g.ID, sure), "not_found")
	// The name is free, and what comes next has nothing of what went.
	again := makeGroup(t, s, "Staff")
	if set := s.Snapshot().Access; set.GrantCount(again.ID)+set.MemberCount(again.ID) != 0 {
		t.Error("the new group has something already")
	}
	reopened(t, s, open)
}

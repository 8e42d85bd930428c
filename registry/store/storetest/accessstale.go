package storetest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// withDeaf are two replicas, of which the second hears nothing of the first unless
// it asks; one twice where only one can be.
func withDeaf(t testing.TB, b Backend, change ...func(*registry.Options)) (first, second *registry.Service) {
	t.Helper()
	open := b.New(t)
	first = service(t, open, newFleet(), append(change, never)...)
	if !b.Shared {
		return first, first
	}
	return first, service(t, deafly(open), newFleet(), append(change, never)...)
}

func deafly(open Open) Open {
	return func(ctx context.Context, log *slog.Logger) (registry.Store, error) {
		s, err := open(ctx, log)
		return deaf{s}, err
	}
}

// testStaleDecisions asks a replica for what is no longer so.
func testStaleDecisions(t *testing.T, b Backend) {
	s, late := withDeaf(t, b)
	g, gone := makeGroup(t, s, "Staff"), makeGroup(t, s, "Gone")
	alice, bob := see(t, s, tokenBy("alice", 1)), see(t, s, tokenBy("bob", 1))
	for _, name := range []string{"alice", "bob"} {
		join(t, s, access.Admin, name)
	}
	if _, err := late.UpdateGroup(t.Context(), admin, g.ID, registry.GroupPatch{}, sure); err != nil { // it knows all that was
		t.Fatal(err)
	}
	if _, err := s.DeactivateUser(t.Context(), admin, bob.ID, sure); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteGroup(t.Context(), admin, gone.ID, sure); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateGroup(t.Context(), admin, g.ID, registry.GroupPatch{Name: ptr("People")}, sure); err != nil {
		t.Fatal(err)
	}
	for _, try := range []struct {
		code string
		do   func(c registry.Change) error
	}{
		{"last_admin", func(c registry.Change) error {
			_, err := late.DeactivateUser(t.Context(), admin, alice.ID, c)
			return err
		}},
		{"last_admin", func(c registry.Change) error {
			_, err := late.RemoveMember(t.Context(), admin, groupNamed(t, s, access.Admin).ID, alice.ID, c)
			return err
		}},
		{"user_inactive", func(c registry.Change) error {
			_, err := late.CreateToken(t.Context(), admin, tokenInput(bob.ID, 1), c)
			return err
		}},
		{"not_found", func(c registry.Change) error {
			_, _, err := late.AddMember(t.Context(), admin, gone.ID, alice.ID.String(), c)
			return err
		}},
		{"not_found", func(c registry.Change) error {
			_, err := late.CreateGrant(t.Context(), admin, access.Grant{Group: gone.ID, Type: "worker", Resource: "*"}, c)
			return err
		}},
		{"group_exists", func(c registry.Change) error {
			_, err := late.CreateGroup(t.Context(), admin, access.Group{Name: "People"}, c)
			return err
		}},
		{"revision_mismatch", func(c registry.Change) error {
			c.IfMatch = "1"
			return late.DeleteGroup(t.Context(), admin, g.ID, c)
		}},
	} {
		refused(t, try.do(tried), try.code)
		refused(t, try.do(sure), try.code)
	}
}

// testStaleSeen shows tokens to a replica that knows less than the store.
func testStaleSeen(t *testing.T, b Backend) {
	s, late := withDeaf(t, b, func(o *registry.Options) { o.Clock = func() time.Time { return noon } })
	see(t, late, tokenBy("alice", 1))
	other := tokenBy("alice", 2)
	other.Username = "elsewhere"
	if err := s.SeenUser(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	// To the late one this is what it has.
	if got := see(t, late, tokenBy("alice", 3)); got.Username != "alice" || got.Revision != 3 {
		t.Errorf("%+v: the newest token does not count", got)
	}
	// A group that has gone meanwhile is not brought back, a claim that is older than
	// one seen elsewhere changes nothing.
	g := makeGroup(t, s, "Ops")
	if _, err := late.UpdateGroup(t.Context(), admin, g.ID, registry.GroupPatch{}, sure); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteGroup(t.Context(), admin, g.ID, sure); err != nil {
		t.Fatal(err)
	}
	if err := s.SeenUser(t.Context(), tokenBy("alice", 9, "New")); err != nil {
		t.Fatal(err)
	}
	before := whole(t, s)
	old := tokenBy("alice", 8, "Ops")
	old.Admits = nil
	if see(t, late, old); whole(t, s) != before || late.Snapshot().Access.GroupByName("Ops") != nil {
		t.Errorf("%s", told(late.Snapshot().Access))
	}
	// The store is asked, so that one that is gone is told of.
	if err := late.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := late.SeenUser(t.Context(), old); !isUnavailable(err) {
		t.Errorf("%v", err)
	}
}

// testStaleUses notes a token's uses at two replicas within a minute.
func testStaleUses(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	alice := see(t, s, tokenBy("alice", 1))
	k := giveToken(t, s, alice.ID, 1)
	late := service(t, deafly(open), newFleet(), never)
	rows := len(audited(t, s))
	at := time.Now().UTC().Truncate(time.Microsecond)
	s.TokenUsed(k.ID, at, "192.0.2.1")
	if err := s.Close(t.Context()); err != nil { // what waits is written
		t.Fatal(err)
	}
	late.TokenUsed(k.ID, at.Add(30*time.Second), "192.0.2.1")
	late.TokenUsed(k.ID, at.Add(-30*time.Second), "192.0.2.1")
	if err := late.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := service(t, open, newFleet())
	if u := again.Snapshot().Access.Token(k.ID); !u.LastUsed.Equal(at) || u.LastAddress != "192.0.2.1" || len(audited(t, again)) != rows {
		t.Errorf("%+v: two writes within a minute", u)
	}
}

// testServicesUnforked has replicas change access at once, and reads their one log.
func testServicesUnforked(t *testing.T, b Backend) {
	place, keys := b.Place(t), chainKeys(t, 1)
	open := func(ctx context.Context, log *slog.Logger) (registry.Store, error) {
		return b.Chained(ctx, place, log, keys)
	}
	all := []*registry.Service{service(t, open, newFleet())}
	if all = append(all, all[0]); b.Shared {
		all[1] = service(t, open, newFleet())
	}
	const each = 15
	var doing []func() error
	for i := range 6 {
		s := all[i%2]
		doing = append(doing, func() error {
			for n := range each {
				name := fmt.Sprint("group ", i, " ", n)
				if _, err := s.CreateGroup(t.Context(), admin, access.Group{Name: name}, sure); err != nil {
					return err
				}
				s.AuditRefused(admin, "user_group.deleted", name, "denied")
				s.CountRefusal(fmt.Sprintf("192.0.2.%d", n), "invalid_token")
			}
			return nil
		})
	}
	if got := strings.Join(atOnce(doing...), " "); got != "ok ok ok ok ok ok" {
		t.Fatal(got)
	}
	eventually(t, "the refusals are told", func() bool {
		rows, err := all[0].AuditFind(t.Context(), registry.AuditQuery{Result: "denied", Limit: 1000})
		return err == nil && len(rows) == 6*each
	})
	r, err := all[0].VerifyAudit(t.Context(), nil, nil)
	if err != nil || !r.OK || r.Looked.Rows < 2*6*each {
		t.Errorf("%+v %v", r, err)
	}
}

// testLargeGroup removes a group with 10,000 members and as many grants while
// others look.
func testLargeGroup(t *testing.T, b Backend) {
	open := b.New(t)
	store := opened(t, open)
	for _, o := range []accessOp{{Kind: opPeople}, {Kind: opTown}} {
		applyAccess(t, store, o.delta())
	}
	if err := store.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := []*registry.Service{service(t, open, newFleet())}
	if all = append(all, all[0]); b.Shared {
		all[1] = service(t, open, newFleet())
	}
	town := groupOf(townGroup)
	seen := all[1].Watch(t.Context())
	if err := all[0].DeleteGroup(t.Context(), admin, town.ID, tried); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- all[0].DeleteGroup(t.Context(), admin, town.ID, sure) }()
	late := time.After(time.Minute)
	for gone := false; !gone; {
		select {
		case snap := <-seen:
			set := snap.Access
			gone = set.Group(town.ID) == nil
			members, grants := set.MemberTotal(), set.GrantTotal()
			if want := map[bool]int{false: townSize, true: 0}[gone]; members != want || grants != want || set.UserCount() != townSize {
				t.Fatalf("half a group: %d members, %d grants", members, grants)
			}
		case <-late:
			t.Fatal("the group stays")
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	row := lastOf(t, all[0])
	if row.Action != registry.ActionGroupDeleted || said(t, row.Before, "members", "count") != float64(townSize) || said(t, row.Before, "grants", "count") != float64(townSize) {
		t.Errorf("%s %s", row.Action, row.Before)
	}
	reopened(t, all[0], func(ctx context.Context, log *slog.Logger) (registry.Store, error) {
		if all[1] != all[0] {
			if err := all[1].Close(ctx); err != nil {
				return nil, err
			}
		}
		return open(ctx, log)
	})
}

func testRevokedElsewhere(t *testing.T, b Backend) {
	all := services(t, b)
	alice := see(t, all[0], tokenBy("alice", 1, "Staff"))
	giveGrant(t, all[0], "Staff", "nightly")
	k := giveToken(t, all[0], alice.ID, 1)
	good := func() bool {
		set := all[1].Snapshot().Access
		token, u := set.TokenByDigest(k.Digest), set.User(alice.ID)
		return token != nil && token.RevokedAt.IsZero() && u.Active && may(all[1], u, "nightly")
	}
	eventually(t, "the token is good at the other", good)
	if _, err := all[0].DeactivateUser(t.Context(), admin, alice.ID, sure); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	eventually(t, "the token is useless at the other", func() bool { return !good() })
	t.Logf("after %s", time.Since(begun))
	if u := all[1].Snapshot().Access.User(alice.ID); u.Active {
		t.Errorf("%+v: the token went before its owner", u)
	}
}

// testMemberChurn has both replicas add and remove the same people.
func testMemberChurn(t *testing.T, b Backend) {
	all := services(t, b)
	g := makeGroup(t, all[0], "Staff")
	var ids []access.ID
	for n := range 4 {
		ids = append(ids, see(t, all[0], tokenBy(fmt.Sprint("u", n), 1)).ID)
	}
	added, removed := make([]int, 2), make([]int, 2)
	var doing []func() error
	for i, s := range all {
		doing = append(doing, func() error {
			for n := range 40 {
				id := ids[(n*7+i)%len(ids)]
				if _, _, err := s.AddMember(t.Context(), admin, g.ID, id.String(), sure); err == nil {
					added[i]++
				} else if !fault.Is(err, "already_member") {
					return err
				}
				if _, err := s.RemoveMember(t.Context(), admin, g.ID, ids[(n*5+i)%len(ids)], sure); err == nil {
					removed[i]++
				} else if !fault.Is(err, "not_found") {
					return err
				}
			}
			return nil
		})
	}
	if got := atOnce(doing...); got[0] != "ok" || got[1] != "ok" {
		t.Fatal(got)
	}
	rows := map[string]int{}
	for _, e := range audited(t, all[0]) {
		rows[e.Action]++
	}
	left := added[0] + added[1] - removed[0] - removed[1]
	eventually(t, "both have who is left", func() bool {
		return all[0].Snapshot().Access.MemberCount(g.ID) == left && all[1].Snapshot().Access.MemberCount(g.ID) == left
	})
	if rows[registry.ActionMemberAdded] != added[0]+added[1] || rows[registry.ActionMemberRemoved] != removed[0]+removed[1] {
		t.Errorf("%v of %v added and %v removed", rows, added, removed)
	}
}

// testBindTogether has two accounts with one address log in at once.
func testBindTogether(t *testing.T, b Backend) {
	all := services(t, b)
	for n := range 6 {
		name := fmt.Sprint("p", n)
		made := byEmail(t, all[0], name)
		var doing []func() error
		for i, s := range all {
			seen := tokenBy(name, 1)
			seen.Subject, seen.Username = fmt.Sprint(name, " ", i), fmt.Sprint(name, " ", i)
			doing = append(doing, func() error { return s.SeenUser(t.Context(), seen) })
		}
		if got := strings.Join(atOnce(doing...), " "); got != "ok ok" {
			t.Fatal(got)
		}
		eventually(t, "both replicas know both", func() bool {
			return all[0].Snapshot().Access.UserCount() == 2*n+2 && all[1].Snapshot().Access.UserCount() == 2*n+2
		})
		bound := 0
		for i := range all {
			u := all[0].Snapshot().Access.UserOf(issuer, fmt.Sprint(name, " ", i))
			if u != nil && u.ID == made.ID {
				bound++
			}
			if u == nil || may(all[0], u, "x") != (u.ID == made.ID) {
				t.Errorf("%+v", u)
			}
		}
		if bound != 1 {
			t.Errorf("%d of two accounts have the record", bound)
		}
	}
}

// testAllAdminsGo has every admin removed and deactivated at once, by others.
func testAllAdminsGo(t *testing.T, b Backend) {
	all := services(t, b)
	group := groupNamed(t, all[0], access.Admin).ID
	var doing []func() error
	const admins = 5
	for n := range admins {
		name := fmt.Sprint("a", n)
		id := see(t, all[0], tokenBy(name, 1)).ID
		join(t, all[0], access.Admin, name)
		doing = append(doing, func() error {
			_, err := all[n%2].RemoveMember(t.Context(), admin, group, id, sure)
			return err
		}, func() error {
			_, err := all[(n+1)%2].DeactivateUser(t.Context(), admin, id, sure)
			return err
		})
	}
	atOnce(doing...)
	if _, err := all[0].UpdateGroup(t.Context(), admin, group, registry.GroupPatch{}, sure); err != nil {
		t.Fatal(err)
	}
	set, active := all[0].Snapshot().Access, 0
	for m := range set.MembersOf(group, access.MemberKey{}) {
		if set.User(m.User).Active {
			active++
		}
	}
	if active != 1 {
		t.Errorf("%d active admins are left", active)
	}
}

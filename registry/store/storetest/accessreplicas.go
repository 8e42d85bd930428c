package storetest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// services are two replicas, or one twice where only one can be.
func services(t testing.TB, b Backend, change ...func(*registry.Options)) []*registry.Service {
	t.Helper()
	open := b.New(t)
	first := service(t, open, newFleet(), change...)
	if !b.Shared {
		return []*registry.Service{first, first}
	}
	return []*registry.Service{first, service(t, open, newFleet(), change...)}
}

// atOnce has each service do its own thing and returns the outcomes.
func atOnce(do ...func() error) []string {
	outcomes := make([]string, len(do))
	var wg sync.WaitGroup
	for i := range do {
		wg.Go(func() {
			outcomes[i] = "ok"
			if err := do[i](); err != nil {
				outcomes[i] = fault.From(err).Code
			}
		})
	}
	wg.Wait()
	return outcomes
}

func testMutualRemoval(t *testing.T, b Backend) {
	all := services(t, b)
	group := groupNamed(t, all[0], access.Admin).ID
	ids := []access.ID{see(t, all[0], tokenBy("alice", 1)).ID, see(t, all[0], tokenBy("bob", 1)).ID}
	for round := range 12 { // each has the other removed or deactivated, in all four ways
		var doing []func() error
		for i, s := range all {
			if _, _, err := s.AddMember(t.Context(), admin, group, ids[i].String(), sure); err != nil && !fault.Is(err, "already_member") {
				t.Fatal(err)
			}
			other := ids[1-i]
			doing = append(doing, func() error {
				if round>>i&1 == 0 {
					_, err := s.DeactivateUser(t.Context(), admin, other, sure)
					return err
				}
				_, err := s.RemoveMember(t.Context(), admin, group, other, sure)
				return err
			})
		}
		if got := atOnce(doing...); !slices.Equal(got, []string{"ok", "last_admin"}) && !slices.Equal(got, []string{"last_admin", "ok"}) {
			t.Fatalf("round %d: %v", round, got)
		}
		for _, id := range ids {
			if _, err := all[0].ActivateUser(t.Context(), admin, id, sure); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func testSameGroup(t *testing.T, b Backend) {
	all := services(t, b)
	for n := range 10 {
		name := fmt.Sprint("group ", n)
		var ids [2]access.ID
		doing := func(do func(i int, s *registry.Service) error) string {
			got := atOnce(func() error { return do(0, all[0]) }, func() error { return do(1, all[1]) })
			slices.Sort(got)
			return fmt.Sprint(got)
		}
		got := doing(func(i int, s *registry.Service) error {
			g, err := s.CreateGroup(t.Context(), admin, access.Group{Name: name}, sure)
			ids[i] = g.ID
			return err
		})
		if got != "[group_exists ok]" {
			t.Errorf("making: %s", got)
		}
		id := ids[0]
		if id == (access.ID{}) {
			id = ids[1]
		}
		got = doing(func(i int, s *registry.Service) error {
			_, err := s.UpdateGroup(t.Context(), admin, id, registry.GroupPatch{Description: ptr(fmt.Sprint(i))}, registry.Change{IfMatch: "1"})
			return err
		})
		if got != "[ok revision_mismatch]" {
			t.Errorf("changing: %s", got)
		}
		got = doing(func(_ int, s *registry.Service) error {
			_, err := s.CreateGrant(t.Context(), admin, access.Grant{Group: id, Type: "worker", Resource: "*"}, sure)
			return err
		})
		if got != "[grant_exists ok]" {
			t.Errorf("granting: %s", got)
		}
		got = doing(func(_ int, s *registry.Service) error {
			return s.SeenUser(t.Context(), tokenBy(fmt.Sprint("u", n), n, name))
		})
		if set := all[0].Snapshot().Access; got != "[ok ok]" {
			t.Errorf("seeing: %s %d", got, set.UserCount())
		}
		got = doing(func(_ int, s *registry.Service) error { return s.DeleteGroup(t.Context(), admin, id, sure) })
		if got != "[not_found ok]" {
			t.Errorf("deleting: %s", got)
		}
	}
	rows := map[string]int{}
	for _, e := range audited(t, all[0]) {
		rows[e.Action]++
	}
	if rows[registry.ActionUserCreated] != 10 || rows[registry.ActionGroupDeleted] != 10 || rows[registry.ActionGroupCreated] != 10 {
		t.Errorf("%v", rows)
	}
}

func testSameAccess(t *testing.T, b Backend) {
	all := services(t, b)
	changes := mutations(t, all[0])
	for _, name := range sortedKeys(changes) {
		if _, err := changes[name](sure); err != nil && !fault.Is(err, "last_admin") {
			t.Fatalf("%s: %v", name, err)
		}
	}
	see(t, all[1], tokenBy("alice", 2, "A", access.Admin))
	see(t, all[0], tokenBy("alice", 3, "B"))
	eventually(t, "both see the same", func() bool {
		x, y := all[0].Snapshot(), all[1].Snapshot()
		return x.Revision == y.Revision && told(x.Access) == told(y.Access)
	})
}

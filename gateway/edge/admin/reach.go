package admin

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/registry/access"
)

// reachKey names a resource, and orders what somebody may reach.
type reachKey struct{ typ, resource string }

func (k reachKey) compare(o reachKey) int {
	return cmp.Or(cmp.Compare(k.typ, o.typ), cmp.Compare(k.resource, o.resource))
}

// readReach reads the query of a list of what somebody may reach.
func readReach(r *http.Request) (after reachKey, limit int, err error) {
	q := rest.ReadQuery(r, "limit", "cursor")
	limit = q.Limit()
	if key := listEffective.after(q); key != "" {
		var ok bool
		if after.typ, after.resource, ok = strings.Cut(key, between); !ok {
			badCursor(q)
		}
	}
	return after, limit, q.Err()
}

func (a *api) userAccess(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	after, limit, err := readReach(r)
	if err != nil {
		return err
	}
	set := a.set()
	u, err := user(set, r)
	if err != nil {
		return err
	}
	out := EffectiveAccess{Items: []Reach{}}
	if u.Active { // others may do nothing until they are activated
		who := stored(u)
		if out.IsAdmin = set.IsAdmin(who); !out.IsAdmin {
			out.Items, out.NextCursor = pageOfReach(a.reach(set, who), after, limit)
		}
	}
	return rest.WriteJSON(w, http.StatusOK, out)
}

// reach gathers what grants in force let somebody reach, and by which groups.
func (a *api) reach(set *access.Set, who *access.Who) map[reachKey][]ViaGroup {
	now, found := a.Clock(), map[reachKey][]ViaGroup{}
	for g := range set.GroupsFor(who) {
		for grant := range set.GrantsOf(g.ID) {
			if grant.InForce(now) {
				k := reachKey{grant.Type, grant.Resource}
				found[k] = append(found[k], via(g))
			}
		}
	}
	return found
}

// pageOfReach is the page behind a resource.
func pageOfReach(found map[reachKey][]ViaGroup, after reachKey, limit int) ([]Reach, string) {
	keys := slices.SortedFunc(maps.Keys(found), reachKey.compare)
	at := 0
	if after != (reachKey{}) {
		at, _ = slices.BinarySearchFunc(keys, after, reachKey.compare)
		if at < len(keys) && keys[at] == after {
			at++
		}
	}
	return page(listEffective, slices.Values(keys[at:]), limit,
		func(k reachKey) string { return k.typ + between + k.resource },
		func(k reachKey) (Reach, bool) {
			return Reach{ResourceType: k.typ, ResourceID: k.resource, ViaGroups: byName(found[k])}, true
		})
}

// byName orders groups, each once.
func byName(groups []ViaGroup) []ViaGroup {
	slices.SortFunc(groups, func(a, b ViaGroup) int {
		return cmp.Or(cmp.Compare(a.GroupName, b.GroupName), cmp.Compare(a.GroupID, b.GroupID))
	})
	return slices.Compact(groups)
}

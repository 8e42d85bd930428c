package admin

import (
	"net/http"
	"strings"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/registry/access"
)

func (a *api) whoAmI(w http.ResponseWriter, r *http.Request, caller rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	set := a.set()
	out := Me{
		Issuer: caller.Issuer, Subject: caller.Subject, Username: caller.Username,
		IsAdmin: caller.Admin(), Groups: []ViaGroup{},
	}
	if u := a.stored(caller); u != nil {
		out.UserID, out.Email, out.Name = u.ID.String(), u.Email, u.Name
	}
	who := caller.Full()
	for g := range set.GroupsFor(&who) {
		out.Groups = append(out.Groups, via(g))
	}
	out.Groups = byName(out.Groups)
	if t := caller.Personal(); t != nil {
		used := renderToken(t)
		out.Token = &used
	}
	return rest.WriteJSON(w, http.StatusOK, out)
}

func (a *api) myAccess(w http.ResponseWriter, r *http.Request, caller rest.Caller) error {
	after, limit, err := readReach(r)
	if err != nil {
		return err
	}
	set := a.set()
	out := EffectiveAccess{IsAdmin: caller.Admin(), Items: []Reach{}}
	if !caller.Admin() {
		out.Items, out.NextCursor = pageOfReach(a.ownReach(set, caller), after, limit)
	}
	return rest.WriteJSON(w, http.StatusOK, out)
}

// ownReach is what somebody may reach with the credentials that they have shown:
// with a token for single resources, those of them that its owner still has.
func (a *api) ownReach(set *access.Set, caller rest.Caller) map[reachKey][]ViaGroup {
	who, t := caller.Full(), caller.Personal()
	if t == nil {
		return a.reach(set, &who)
	}
	found := map[reachKey][]ViaGroup{}
	for _, scope := range t.Scopes {
		typ, resource, typed := strings.Cut(scope, ":")
		if !typed {
			return a.reach(set, &who) // whatever the owner may
		}
		if caller.May(typ, resource) {
			found[reachKey{typ, resource}] = a.viaOf(set, &who, typ, resource)
		}
	}
	return found
}

// viaOf are the groups by which somebody may reach a resource.
func (a *api) viaOf(set *access.Set, who *access.Who, typ, resource string) []ViaGroup {
	open := a.opening(set, a.Types.Type(typ), resource)
	groups := []ViaGroup{}
	for g := range set.GroupsFor(who) {
		if open[g.ID] != nil {
			groups = append(groups, via(g))
		}
	}
	return groups
}

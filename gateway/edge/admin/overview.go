package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/registry/access"
)

const (
	// maxOverview bounds the groups and the grants of an overview.
	maxOverview = 10_000
	// directoryTimeout bounds how long the identity provider is waited for when it
	// is asked for suggestions.
	directoryTimeout = 10 * time.Second
)

func (a *api) resourceTypes(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	out := ResourceTypes{Items: []ResourceType{}}
	for _, t := range a.Types.All() {
		out.Items = append(out.Items, ResourceType{
			Key: t.Key, DisplayName: t.Display, Description: t.Description, IDFormat: t.IDFormat, Wildcard: t.Wildcard,
		})
	}
	return rest.WriteJSON(w, http.StatusOK, out)
}

func (a *api) accessOverview(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	var facts authz.Facts
	if a.Facts != nil {
		facts = a.Facts()
	}
	facts.Snapshot, facts.Tables = a.Registry.Snapshot(), a.Registry.Tables
	set := facts.Snapshot.Access
	var out Overview
	var moreGroups, moreGrants string
	out.Groups, moreGroups = page(listGroups, set.GroupsAfter(""), maxOverview,
		func(g *access.Group) string { return g.Name },
		func(g *access.Group) (Group, bool) { return renderGroup(set, g), true })
	out.Grants, moreGrants = page(listGrants, set.GrantsAfter(access.ID{}), maxOverview,
		func(g *access.Grant) string { return g.ID.String() },
		func(g *access.Grant) (Grant, bool) { return renderGrant(set, g), true })
	out.Complete = moreGroups == "" && moreGrants == ""
	out.Resources = []TypeResources{}
	for _, t := range a.Types.All() {
		blocks, err := t.Blocks(r.Context(), facts)
		if err != nil {
			return err
		}
		out.Resources = append(out.Resources, TypeResources{
			TypeKey: t.Key, TypeDisplay: t.Display, Blocks: append([]authz.Block{}, blocks...),
		})
	}
	return rest.WriteJSON(w, http.StatusOK, out)
}

func (a *api) groupSuggestions(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	q := rest.ReadQuery(r, "limit", "cursor")
	limit, after := q.Limit(), listSuggestions.after(q)
	if err := q.Err(); err != nil {
		return err
	}
	names, set := a.directoryGroups(r.Context()), a.set()
	slices.SortFunc(names, cmp.Compare[string])
	var out SuggestionPage
	out.Items, out.NextCursor = page(listSuggestions, slices.Values(slices.Compact(names)), limit,
		func(name string) string { return name },
		func(name string) (Suggestion, bool) {
			return Suggestion{Name: name, Source: "keycloak"}, name > after && set.GroupByName(name) == nil
		})
	return rest.WriteJSON(w, http.StatusOK, out)
}

// directoryGroups are the names of the identity provider's groups. When it cannot
// be asked there are none to suggest, which keeps nobody from making a group.
func (a *api) directoryGroups(ctx context.Context) []string {
	if a.Directory == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, directoryTimeout)
	defer cancel()
	names, err := a.Directory.Groups(ctx)
	if err != nil {
		a.Logger.WarnContext(ctx, "no groups can be suggested", "cause", err)
		return nil
	}
	return names
}

package admin

import (
	"bytes"
	"iter"
	"net/http"
	"time"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/access"
)

func (a *api) listGrants(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	q := rest.ReadQuery(r, "resource_type", "resource_id", "group_id", "limit", "cursor")
	limit, after := q.Limit(), listGrants.afterID(q)
	typ, resource := q.Get("resource_type"), q.Get("resource_id")
	if q.Has("resource_type") && a.Types.Type(typ) == nil {
		q.Add("resource_type is one of the keys of %s/resource-types", Root)
	}
	var of *access.ID
	if q.Has("group_id") {
		id, ok := parseID(q.Get("group_id"))
		if !ok {
			q.Add("group_id is a group's uuid")
		}
		of = &id
	}
	if err := q.Err(); err != nil {
		return err
	}
	set := a.set()
	var out GrantPage
	out.Items, out.NextCursor = page(listGrants, grants(set, of, after), limit,
		func(g *access.Grant) string { return g.ID.String() },
		func(g *access.Grant) (Grant, bool) {
			if typ != "" && g.Type != typ || resource != "" && g.Resource != resource {
				return Grant{}, false
			}
			return renderGrant(set, g), true
		})
	return rest.WriteJSON(w, http.StatusOK, out)
}

// grants are all grants, or those of one group, by id.
func grants(set *access.Set, of *access.ID, after access.ID) iter.Seq[*access.Grant] {
	if of == nil {
		return set.GrantsAfter(after)
	}
	return func(yield func(*access.Grant) bool) {
		for g := range set.GrantsOf(*of) {
			if bytes.Compare(g.ID[:], after[:]) > 0 && !yield(g) {
				return
			}
		}
	}
}

func (a *api) createGrant(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	c, err := onlyDryRun(r)
	if err != nil {
		return err
	}
	raw, err := a.rest.ReadBody(w, r, rest.MaxBody, rest.MediaJSON)
	if err != nil {
		return err
	}
	in, err := readGrant(raw)
	if err != nil {
		return err
	}
	g, err := a.grant(in)
	if err != nil {
		return err
	}
	if g, err = a.Registry.CreateGrant(r.Context(), who.Actor, g, c); err != nil {
		return err
	}
	return rest.WriteJSON(w, http.StatusCreated, renderGrant(a.set(), &g))
}

// grant checks what a grant is to be on and how long it is to hold.
func (a *api) grant(in grantInput) (access.Grant, error) {
	resource, err := a.Types.CheckGrant(in.typ, in.resource)
	if err != nil {
		return access.Grant{}, err
	}
	g := access.Grant{Type: in.typ, Resource: resource}
	if in.expires != nil {
		// Stores keep microseconds.
		g.Expires = in.expires.UTC().Truncate(time.Microsecond)
		if !g.InForce(a.Clock()) {
			return g, fault.New(fault.Unprocessable, codeBadExpiry, "expires_at is not in the future")
		}
	}
	var ok bool
	if g.Group, ok = parseID(in.group); !ok {
		return g, noGroup()
	}
	return g, nil
}

func (a *api) deleteGrant(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	id, c, err := target(r, "id", noGrant)
	if err != nil {
		return err
	}
	if err := a.Registry.DeleteGrant(r.Context(), who.Actor, id, c); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

package accessrules

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/gateway/probe"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

var states = []rule.State{rule.StateActive, rule.StateInactive, rule.StateOrphaned, rule.StateStaged}

// query is what a list asks for; zero values ask for everything.
type query struct {
	rule.Filter
	createdBy, run string
	limit          int
	cursor         string
	me             rule.Creator
}

func readQuery(r *http.Request, who rest.Caller) (query, error) {
	p := rest.ReadQuery(r, "namePrefix", "user", "group", "client", "createdBy", "run", "entity", "state", "limit", "cursor")
	q := query{
		Filter: rule.Filter{
			NamePrefix: p.Get("namePrefix"), User: p.Get("user"), Group: p.Get("group"), Client: p.Get("client"),
			State: rule.State(p.Get("state")),
		},
		createdBy: p.Get("createdBy"), run: p.Get("run"), me: creatorOf(who),
	}
	for name, key := range map[string]string{
		"user": rule.FoldUser(q.User), "group": rule.GroupKey(q.Group), "client": rule.ClientOf(q.Client),
	} {
		// Without this an empty name would be no filter at all.
		if p.Has(name) && key == "" {
			p.Add("the query parameter %s names nobody", name)
		}
	}
	if p.Has("entity") {
		var id rule.ID
		if !readID([]byte(p.Get("entity")), &id) {
			p.Add("entity has to be %s", wantID)
		}
		q.Entity = &id
	}
	if q.State != "" && !slices.Contains(states, q.State) {
		p.Add("state is one of active, inactive, orphaned, staged, not %q", probe.Printable(string(q.State), 60))
	}
	q.limit = p.Limit()
	if c := p.Get("cursor"); c != "" {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(c)
		if err != nil || len(raw) == 0 {
			p.Add("cursor is not a cursor of this list; start again without one")
		}
		q.cursor = string(raw)
	}
	return q, p.Err()
}

func (a *api) listRules(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	q, err := readQuery(r, who)
	if who.CreatorOnly && q.createdBy != "me" {
		return needsGrant(authz.RulesRead + "; createdBy=me lists your own")
	}
	if err != nil {
		return err
	}
	s := a.Registry.Snapshot()
	if q.State == rule.StateStaged {
		return a.listStaged(w, r, s, q)
	}
	after, err := q.afterID()
	if err != nil {
		return err
	}
	items := []AccessRule{}
	for one := range s.Rules.Select(s.Model, q.Filter, after) {
		if !q.more(&one) {
			continue
		}
		if len(items) == q.limit {
			return rest.WriteJSON(w, http.StatusOK, AccessRules{items, cursorOf(strconv.FormatInt(items[len(items)-1].ID, 10))})
		}
		items = append(items, render(s.Model, &one))
	}
	return rest.WriteJSON(w, http.StatusOK, AccessRules{Items: items})
}

func (q *query) afterID() (int64, error) {
	if q.cursor == "" {
		return 0, nil
	}
	after, err := strconv.ParseInt(q.cursor, 10, 64)
	if err != nil || after < 0 {
		var p rest.Parameters
		p.Add("cursor is not a cursor of this list; start again without one")
		return 0, p.Err()
	}
	return after, nil
}

func (q *query) afterPlace() (registry.StagedPlace, error) {
	if q.cursor == "" {
		return registry.StagedPlace{}, nil
	}
	number, name, ok := strings.Cut(q.cursor, " ")
	n, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || n < 1 || !utf8.ValidString(name) {
		var p rest.Parameters
		p.Add("cursor is not a cursor of this list; start again without one")
		return registry.StagedPlace{}, p.Err()
	}
	return registry.StagedPlace{Generation: n, Name: name}, nil
}

func cursorOf(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// more reports whether a rule meets what rule.Filter does not know.
func (q *query) more(r *rule.Rule) bool {
	switch {
	case q.run != "" && r.Run != q.run:
		return false
	case q.createdBy == "":
		return true
	case q.createdBy == "me": // in whichever step
		return r.Creator.Issuer == q.me.Issuer && r.Creator.Subject == q.me.Subject
	default:
		return r.CreatedBy == q.createdBy || r.Creator.Subject == q.createdBy
	}
}

// listStaged lists the rules of generations that nobody has committed yet. They
// are in no snapshot.
func (a *api) listStaged(w http.ResponseWriter, r *http.Request, s *registry.Snapshot, q query) error {
	items := []AccessRule{}
	place, err := q.afterPlace()
	if err != nil {
		return err
	}
	for after := &place; after != nil; {
		staged, next, err := a.Registry.StagedRules(r.Context(), q.Filter, *after, rest.MaxLimit)
		if err != nil {
			return err
		}
		for i := range staged {
			one := &staged[i]
			if q.more(&one.Rule) {
				if len(items) == q.limit {
					return rest.WriteJSON(w, http.StatusOK, AccessRules{items, cursorOf(strconv.FormatInt(place.Generation, 10) + " " + place.Name)})
				}
				record := render(s.Model, &one.Rule)
				record.State, record.Generation = string(rule.StateStaged), one.Generation
				items = append(items, record)
			}
			place = one.Place
		}
		after = next
	}
	return rest.WriteJSON(w, http.StatusOK, AccessRules{Items: items})
}

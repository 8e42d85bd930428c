package transformations

import (
	"encoding/base64"
	"net/http"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/registry/run"
)

// listSteps lists the steps that the caller may run. How they are set up is the
// administrators'.
func (a *api) listSteps(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	q := rest.ReadQuery(r, "limit", "cursor")
	limit, after := q.Limit(), readCursor(q, func(s string) bool { return run.CheckName(s) == nil })
	if err := q.Err(); err != nil {
		return err
	}
	page := StepPage{Items: []Step{}}
	for {
		found, err := a.Registry.Steps(r.Context(), after, limit+1)
		if err != nil {
			return err
		}
		for _, s := range found {
			after = s.Name
			if !who.May(authz.TypeRuleStep, s.Name) {
				continue
			}
			if len(page.Items) == limit {
				page.NextCursor = cursor(page.Items[limit-1].Name)
				return rest.WriteJSON(w, http.StatusOK, page)
			}
			page.Items = append(page.Items, renderListed(s, who.Admin()))
		}
		if len(found) <= limit {
			return rest.WriteJSON(w, http.StatusOK, page)
		}
	}
}

func (a *api) getStep(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	s, err := a.Registry.Step(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return rest.WriteRecord(w, http.StatusOK, s.Revision, renderStep(s))
}

func (a *api) putStep(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	body, err := a.rest.ReadBody(w, r, rest.MaxBody, rest.MediaJSON)
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	in, err := readStep(name, body)
	if err != nil {
		return err
	}
	s, created, err := a.Registry.PutStep(r.Context(), who.Actor, in, rest.IfMatch(r))
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		w.Header().Set("Location", Root+"/"+s.Name)
		status = http.StatusCreated
	}
	return rest.WriteRecord(w, status, s.Revision, renderStep(&s))
}

func (a *api) deleteStep(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	open, err := a.Registry.DeleteStep(r.Context(), who.Actor, r.PathValue("name"), rest.IfMatch(r))
	if err != nil {
		return a.withRun(w, err, open)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// cursorVersion begins every cursor, so that the form can change.
const cursorVersion = "1"

// cursor is a place in a list: behind the entry of this key. Callers are to take
// it as opaque.
func cursor(key string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorVersion + key))
}

// readCursor reads the parameter cursor; empty when it is not given.
func readCursor(q *rest.Parameters, good func(key string) bool) string {
	given := q.Get("cursor")
	if given == "" {
		return ""
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(given)
	if err != nil || len(raw) < 2 || string(raw[:1]) != cursorVersion || !good(string(raw[1:])) {
		q.Add("cursor is not a cursor of this list; start again without one")
		return ""
	}
	return string(raw[1:])
}

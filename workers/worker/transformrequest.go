package worker

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/client"
)

// TransformRequest is what a step sends to a worker of type RuleTransformation. A
// list is nil when it was not sent (the step's configuration decides), and empty
// and not nil when it was sent empty: then there is none of the kind.
type TransformRequest struct {
	// Users are user names, Groups paths, Clients names of service accounts.
	Users   []string `json:"users"`
	Groups  []string `json:"groups"`
	Clients []string `json:"clients"`
	// Entities and Relationships are of the graph model.
	Entities      []TransformEntity       `json:"entities"`
	Relationships []TransformRelationship `json:"relationships"`
}

// TransformEntity is a kind of node; its title is the label.
type TransformEntity struct {
	ID         int64               `json:"id"`
	Title      string              `json:"title"`
	Properties []TransformProperty `json:"properties"`
}

// TransformProperty is a property of an entity.
type TransformProperty struct {
	ID    int64  `json:"id"`
	Title string `json:"title"`
}

// TransformRelationship is a kind of relationship; its alias is the type in the
// graph, and its ends are titles of entities.
type TransformRelationship struct {
	ID    int64  `json:"id"`
	From  string `json:"entityNameFrom"`
	To    string `json:"entityNameTo"`
	Name  string `json:"name"`
	Alias string `json:"alias"`
}

// ParseTransformRequest reads the body of a run strictly: names are compared
// exactly, duplicates and wrong types refused, ids whole numbers from 0 to 2^53-1,
// unique as in a graph model. Members that the contract does not name are ignored,
// and null is the same as absent. Its error is a *fault.Error listing every mistake
// of a body whose types are right.
func ParseTransformRequest(body []byte) (TransformRequest, error) {
	var r TransformRequest
	var wire wireTransform
	if err := json.Unmarshal(body, &wire); err != nil {
		var semantic *json.SemanticError
		if errors.As(err, &semantic) && semantic.JSONPointer != "" {
			return r, invalidTransform("%s has a value of the wrong type (%s)", semantic.JSONPointer, semantic.JSONKind).Wrap(err)
		}
		return r, invalidTransform("the body must be one JSON object with users, groups, clients, entities and relationships, " +
			"each a list or absent, no name twice, in UTF-8").Wrap(err)
	}
	r, bad := wire.request()
	bad = append(bad, r.names()...)
	bad = append(bad, r.entities()...)
	bad = append(bad, r.relationships()...)
	if len(bad) == 0 {
		return r, nil
	}
	const most = 20
	if n := len(bad); n > most {
		bad = append(bad[:most], fmt.Sprintf("and %d more", n-most))
	}
	return r, invalidTransform("%s", strings.Join(bad, "; "))
}

// The wire's forms, which tell an id that is absent from 0.
type (
	wireTransform struct {
		Users         []string           `json:"users"`
		Groups        []string           `json:"groups"`
		Clients       []string           `json:"clients"`
		Entities      []wireEntity       `json:"entities"`
		Relationships []wireRelationship `json:"relationships"`
	}
	wireEntity struct {
		ID         *int64         `json:"id"`
		Title      string         `json:"title"`
		Properties []wireProperty `json:"properties"`
	}
	wireProperty struct {
		ID    *int64 `json:"id"`
		Title string `json:"title"`
	}
	wireRelationship struct {
		ID *int64 `json:"id"`
		TransformRelationship
	}
)

// request makes the author's form, with a word on every id that is absent.
func (w *wireTransform) request() (r TransformRequest, bad []string) {
	r.Users, r.Groups, r.Clients = w.Users, w.Groups, w.Clients
	need := func(id *int64, format string, args ...any) int64 {
		if id == nil {
			bad = append(bad, fmt.Sprintf(format, args...)+"/id is absent")
			return 0
		}
		return *id
	}
	if w.Entities != nil {
		r.Entities = make([]TransformEntity, len(w.Entities))
	}
	for i, e := range w.Entities {
		out := TransformEntity{ID: need(e.ID, "/entities/%d", i), Title: e.Title}
		for j, p := range e.Properties {
			id := need(p.ID, "/entities/%d/properties/%d", i, j)
			out.Properties = append(out.Properties, TransformProperty{ID: id, Title: p.Title})
		}
		r.Entities[i] = out
	}
	if w.Relationships != nil {
		r.Relationships = make([]TransformRelationship, len(w.Relationships))
	}
	for i, l := range w.Relationships {
		r.Relationships[i] = l.TransformRelationship
		r.Relationships[i].ID = need(l.ID, "/relationships/%d", i)
	}
	return r, bad
}

func invalidTransform(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "invalid_request", format, args...)
}

func (r *TransformRequest) names() (bad []string) {
	for _, l := range []struct {
		name string
		list []string
	}{{"users", r.Users}, {"groups", r.Groups}, {"clients", r.Clients}} {
		for i, n := range l.list {
			if n == "" {
				bad = append(bad, fmt.Sprintf("/%s/%d is empty", l.name, i))
			}
		}
	}
	return bad
}

func (r *TransformRequest) entities() (bad []string) {
	ids, titles, properties := map[int64]bool{}, map[string]bool{}, map[int64]bool{}
	for i, e := range r.Entities {
		at := fmt.Sprintf("/entities/%d", i)
		bad = append(bad, identity(at, e.ID, e.Title, "title", ids)...)
		bad = append(bad, twice(at, e.Title, titles)...)
		own := map[string]bool{}
		for j, p := range e.Properties {
			at := fmt.Sprintf("%s/properties/%d", at, j)
			bad = append(bad, identity(at, p.ID, p.Title, "title", properties)...)
			bad = append(bad, twice(at, p.Title, own)...)
		}
	}
	return bad
}

func (r *TransformRequest) relationships() (bad []string) {
	ids := map[int64]bool{}
	for i, l := range r.Relationships {
		at := fmt.Sprintf("/relationships/%d", i)
		bad = append(bad, identity(at, l.ID, l.Alias, "alias", ids)...)
		if l.From == "" || l.To == "" {
			bad = append(bad, at+" lacks entityNameFrom or entityNameTo")
		}
	}
	return bad
}

func identity(at string, id int64, name, member string, seen map[int64]bool) (bad []string) {
	if id < 0 || id > client.MaxRuleID {
		bad = append(bad, fmt.Sprintf("%s/id is not from 0 to %d", at, int64(client.MaxRuleID)))
	}
	if seen[id] {
		bad = append(bad, fmt.Sprintf("%s/id %d is there twice", at, id))
	}
	seen[id] = true
	if name == "" {
		bad = append(bad, fmt.Sprintf("%s/%s is empty or absent", at, member))
	}
	return bad
}

func twice(at, title string, seen map[string]bool) (bad []string) {
	if title != "" && seen[title] {
		bad = append(bad, at+"/title is that of another one")
	}
	seen[title] = true
	return bad
}

package rules_test

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/muster-fleet/muster/registry/rule"
)

// The reference: the laws as they are written, slowly. It shares nothing with
// the engine but the nouns of rules, and reads elements with encoding/json.

type refNode struct {
	ID         string         `json:"elementId"`
	Labels     []string       `json:"labels"`
	Properties map[string]any `json:"properties"`
}

type refRelationship struct {
	ID         string         `json:"elementId"`
	Type       string         `json:"type"`
	Start      string         `json:"startNodeElementId"`
	End        string         `json:"endNodeElementId"`
	StartLabel *string        `json:"startNodeLabel"`
	EndLabel   *string        `json:"endNodeLabel"`
	Properties map[string]any `json:"properties"`
}

type reference struct {
	model *rule.Model
	rules []rule.Rule // that grant anything
}

// newReference leaves out the rules that are not active and those with a
// condition whose property is unknown or belongs to no entity that they list.
func newReference(m *rule.Model, rules []rule.Rule) *reference {
	ref := &reference{model: m}
	for _, r := range rules {
		good := r.Active
		for _, c := range r.Conditions {
			owner := ref.owner(c.Property)
			lists := owner != nil && slices.ContainsFunc(r.Entities, func(g rule.EntityGrant) bool { return g.ID == owner.ID })
			good = good && lists
		}
		if good {
			ref.rules = append(ref.rules, r)
		}
	}
	return ref
}

func (ref *reference) owner(property rule.ID) *rule.Entity {
	for i, e := range ref.model.Entities {
		if slices.ContainsFunc(e.Properties, func(p rule.Property) bool { return p.ID == property }) {
			return &ref.model.Entities[i]
		}
	}
	return nil
}

func (ref *reference) entity(id rule.ID) *rule.Entity {
	for i, e := range ref.model.Entities {
		if e.ID == id {
			return &ref.model.Entities[i]
		}
	}
	return nil
}

func title(e *rule.Entity, property rule.ID) (string, bool) {
	for _, p := range e.Properties {
		if p.ID == property {
			return p.Title, true
		}
	}
	return "", false
}

// node says whether a node is visible, with which properties, and by which rules.
func (ref *reference) node(n refNode) (visible bool, properties map[string]bool, by []int64) {
	properties = map[string]bool{}
	for _, r := range ref.rules {
		speaks := false
		for _, g := range r.Entities {
			e := ref.entity(g.ID)
			if e == nil || !slices.Contains(n.Labels, e.Title) || !ref.meets(r, e, n) {
				continue
			}
			speaks = true
			for _, id := range g.Properties {
				if name, known := title(e, id); known {
					if _, there := n.Properties[name]; there {
						properties[name] = true
					}
				}
			}
		}
		if speaks {
			visible = true
			by = append(by, r.ID)
		}
	}
	return visible, properties, by
}

// meets: OR among the values of one property, AND across properties.
func (ref *reference) meets(r rule.Rule, e *rule.Entity, n refNode) bool {
	wanted := map[string][]string{}
	for _, c := range r.Conditions {
		if name, of := title(e, c.Property); of {
			wanted[name] = append(wanted[name], c.Value)
		}
	}
	for name, values := range wanted {
		value, there := n.Properties[name]
		if !there || !slices.ContainsFunc(values, func(w string) bool { return equals(value, w) }) {
			return false
		}
	}
	return true
}

func equals(value any, wanted string) bool {
	switch v := value.(type) {
	case string:
		return v == wanted
	case json.Number:
		return string(v) == wanted
	case bool:
		return v && wanted == "true" || !v && wanted == "false"
	case []any:
		return slices.ContainsFunc(v, func(member any) bool { return equals(member, wanted) })
	default: // null, an object
		return false
	}
}

// relationship says whether some rule lists the relationship between these
// labels, and which.
func (ref *reference) relationship(from, kind, to string) (by []int64) {
	for _, r := range ref.rules {
		if slices.ContainsFunc(r.Relationships, func(id rule.ID) bool {
			return slices.ContainsFunc(ref.model.Relationships, func(m rule.Relationship) bool {
				return m.ID == id && m.From == from && m.Alias == kind && m.To == to
			})
		}) {
			by = append(by, r.ID)
		}
	}
	return by
}

// listed says whether some rule lists the entity of this title.
func (ref *reference) listed(label string) bool {
	return slices.ContainsFunc(ref.rules, func(r rule.Rule) bool {
		return slices.ContainsFunc(r.Entities, func(g rule.EntityGrant) bool {
			e := ref.entity(g.ID)
			return e != nil && e.Title == label
		})
	})
}

// alone judges a relationship of a relationships batch.
func (ref *reference) alone(r refRelationship) bool {
	return r.StartLabel != nil && r.EndLabel != nil && len(ref.relationship(*r.StartLabel, r.Type, *r.EndLabel)) > 0 &&
		ref.listed(*r.StartLabel) && ref.listed(*r.EndLabel)
}

// between judges a relationship of a graph; nodes are those that are visible. A
// label that was left out is any of the node's.
func (ref *reference) between(r refRelationship, visible map[string]refNode) bool {
	start, ok := visible[r.Start]
	if !ok {
		return false
	}
	end, ok := visible[r.End]
	if !ok {
		return false
	}
	from, to := start.Labels, end.Labels
	if r.StartLabel != nil {
		from = []string{*r.StartLabel}
	}
	if r.EndLabel != nil {
		to = []string{*r.EndLabel}
	}
	for _, a := range from {
		for _, b := range to {
			if len(ref.relationship(a, r.Type, b)) > 0 {
				return true
			}
		}
	}
	return false
}

func (ref *reference) function(id rule.ID) bool {
	return slices.ContainsFunc(ref.rules, func(r rule.Rule) bool { return slices.Contains(r.Functions, id) })
}

// decode reads an element with numbers as they are spelled.
func decode[T any](text []byte) T {
	var v T
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

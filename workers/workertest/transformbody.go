package workertest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/muster-fleet/muster/workers/client"
	"github.com/muster-fleet/muster/workers/element"
)

// rulesRequest is a body of accessRules.
type rulesRequest struct {
	strategy   client.Strategy
	generation string
	rules      []client.AccessRule
}

// ruleFlaws are what is wrong with a body: refused is what a gateway refuses it
// for, all has that too and what it would let pass.
type ruleFlaws struct{ all, refused []string }

func (f *ruleFlaws) refuse(format string, args ...any) {
	f.note(format, args...)
	f.refused = append(f.refused, fmt.Sprintf(format, args...))
}

func (f *ruleFlaws) note(format string, args ...any) {
	f.all = append(f.all, fmt.Sprintf(format, args...))
}

// readRules reads a body as the contract spells it, names exactly.
func readRules(body []byte) (req rulesRequest, f ruleFlaws) {
	top, ok := f.object("the body", body)
	if !ok {
		return req, f
	}
	req.strategy = client.Ignore
	var rules []json.RawMessage
	for name, raw := range top {
		switch name {
		case "ruleCreationStrategy":
			f.read("ruleCreationStrategy", raw, &req.strategy)
		case "generation":
			f.read("generation", raw, &req.generation)
		case "rules":
			f.read("rules", raw, &rules)
		default:
			f.note("the body has a member %q, which the contract does not name", clip(name))
		}
	}
	if !slices.Contains([]client.Strategy{client.Ignore, client.DeleteOnConflict, client.DeleteAllForUser}, req.strategy) {
		f.refuse("ruleCreationStrategy %q is not known", clip(string(req.strategy)))
	}
	if _, ok := top["rules"]; !ok {
		f.refuse("the body has no rules")
	}
	names := map[string]bool{}
	for i, raw := range rules {
		r := f.rule(fmt.Sprintf("rules[%d]", i), raw)
		if r.Name != "" && names[r.Name] {
			f.refuse("rules[%d]: the name %q is there twice in one request", i, clip(r.Name))
		}
		names[r.Name] = true
		req.rules = append(req.rules, r)
	}
	return req, f
}

// object reads a JSON object with no name twice.
func (f *ruleFlaws) object(at string, raw []byte) (map[string]json.RawMessage, bool) {
	members, err := element.ReadObject(raw, maxSinkBody)
	if err != nil {
		f.refuse("%s is not one JSON object with distinct names", at)
		return nil, false
	}
	out := map[string]json.RawMessage{}
	for _, m := range members {
		out[m.Name] = json.RawMessage(m.Value)
	}
	return out, true
}

func (f *ruleFlaws) read(at string, raw json.RawMessage, into any) {
	if err := json.Unmarshal(raw, into); err != nil {
		f.refuse("%s has a value of the wrong type", at)
	}
}

func (f *ruleFlaws) rule(at string, raw json.RawMessage) (r client.AccessRule) {
	m, ok := f.object(at, raw)
	if !ok {
		return r
	}
	var entities, conditions []json.RawMessage
	level, active := "", false
	known := map[string]any{
		"name": &r.Name, "accessLevel": &level, "active": &active, "users": &r.Users, "groups": &r.Groups,
		"clients": &r.Clients, "entities": &entities, "relationships": &r.Relationships,
		"propertyValueConditions": &conditions, "functions": &r.Functions,
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if into, ok := known[name]; ok {
			f.read(at+"."+name, m[name], into)
		} else {
			f.note("%s has a member %q, which the contract does not name", at, clip(name))
		}
	}
	r.Inactive = !active
	for _, name := range []string{"accessLevel", "active"} {
		if m[name] == nil {
			f.note("%s lacks %s; what another receiver takes for it is not known, so it is always sent", at, name)
		}
	}
	if level != client.ViewLevel && m["accessLevel"] != nil {
		f.refuse("%s: accessLevel %q is not known; view is", at, clip(level))
	}
	for i, e := range entities {
		r.Entities = append(r.Entities, f.entity(fmt.Sprintf("%s.entities[%d]", at, i), e))
	}
	for i, c := range conditions {
		r.Conditions = append(r.Conditions, f.condition(fmt.Sprintf("%s.propertyValueConditions[%d]", at, i), c))
	}
	f.whole(at, &r)
	return r
}

// whole looks at what a rule must have.
func (f *ruleFlaws) whole(at string, r *client.AccessRule) {
	switch {
	case r.Name == "":
		f.refuse("%s has no name", at)
	case len(r.Users)+len(r.Groups)+len(r.Clients) == 0:
		f.refuse("%s has no subject: neither user, group nor client", at)
	case len(r.Entities)+len(r.Relationships) == 0:
		f.refuse("%s has neither an entity nor a relationship", at)
	case len(r.Entities) == 0:
		f.note("%s has no entity; the published pages ask for one", at)
	}
	seen := map[int64]bool{}
	for _, c := range r.Conditions {
		if seen[c.Property] {
			f.note("%s has two conditions on one property; make a rule per alternative, for their combination is not specified", at)
		}
		seen[c.Property] = true
	}
}

func (f *ruleFlaws) entity(at string, raw json.RawMessage) (e client.EntityGrant) {
	m, ok := f.object(at, raw)
	if !ok {
		return e
	}
	if m["id"] == nil {
		f.refuse("%s lacks id", at)
	} else {
		f.read(at+".id", m["id"], &e.ID)
	}
	if m["properties"] != nil {
		f.read(at+".properties", m["properties"], &e.Properties)
	}
	return e
}

// condition demands the two members in their published spelling.
func (f *ruleFlaws) condition(at string, raw json.RawMessage) (c client.Condition) {
	m, ok := f.object(at, raw)
	if !ok {
		return c
	}
	members := []struct {
		name string
		into any
	}{{"PropertyId", &c.Property}, {"Value", &c.Value}}
	for _, member := range members {
		if m[member.name] == nil {
			f.refuse("%s lacks %s, spelled so (it has %s)", at, member.name, strings.Join(slices.Sorted(maps.Keys(m)), ", "))
			continue
		}
		f.read(at+"."+member.name, m[member.name], member.into)
	}
	return c
}

package accessrules

import (
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

// render shows a stored rule against the model of the same snapshot.
func render(m *rule.Model, r *rule.Rule) AccessRule {
	out := AccessRule{
		ID: r.ID, Name: r.Name, AccessLevel: "view", Active: r.Active,
		Users: filled(r.Users), Groups: filled(r.Groups), Clients: filled(r.Clients),
		Entities: []EntityGrant{}, Relationships: filled(r.Relationships), Conditions: []ConditionInput{}, Functions: filled(r.Functions),
		State: string(rule.StateActive), CreatedBy: renderCreator(r.Creator, r.CreatedBy), Run: r.Run,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Revision: r.Revision,
	}
	for _, e := range r.Entities {
		out.Entities = append(out.Entities, EntityGrant{e.ID, filled(e.Properties)})
	}
	for _, c := range r.Conditions {
		out.Conditions = append(out.Conditions, ConditionInput{c.Property, c.Value})
	}
	if o := m.Orphans(r); o.Any() {
		out.State, out.Orphans = string(rule.StateOrphaned), renderOrphans(o)
	}
	out.Warnings = renderWarnings(r.Warnings())
	if !r.Active {
		out.State = string(rule.StateInactive)
	}
	return out
}

// filled is a list that JSON writes as [] when it is empty.
func filled[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

func renderOrphans(o rule.Orphans) *Orphans {
	return &Orphans{filled(o.Entities), filled(o.Properties), filled(o.Relationships), o.Condition}
}

func renderCreator(c rule.Creator, username string) Creator {
	return Creator{Issuer: c.Issuer, Subject: c.Subject, Username: username, Step: c.Step}
}

func renderNamed(list []registry.Named) []Named {
	out := make([]Named, len(list))
	for i, n := range list {
		out[i] = Named{n.Name, renderCreator(n.CreatedBy.Creator, n.CreatedBy.Username)}
	}
	return out
}

func namesOf(list []registry.Named) []string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = n.Name
	}
	return out
}

func renderModel(m *rule.Model) GraphModel {
	out := GraphModel{Entities: []Entity{}, Relationships: []Relationship{}}
	if m == nil {
		return out
	}
	for _, e := range m.Entities {
		one := Entity{ID: e.ID, Title: e.Title, Properties: []Property{}}
		for _, p := range e.Properties {
			one.Properties = append(one.Properties, Property(p))
		}
		out.Entities = append(out.Entities, one)
	}
	for _, r := range m.Relationships {
		out.Relationships = append(out.Relationships, Relationship(r))
	}
	return out
}

func renderChange(c registry.ModelChange) ModelChanged {
	out := ModelChanged{Revision: int64(c.Revision), Orphaned: Orphaned{
		Entities: []rule.ID{}, Properties: []rule.ID{}, Relationships: []rule.ID{}, Rules: []RuleRef{}, Count: c.Orphaned.Count,
	}}
	to := map[rule.Kind]*[]rule.ID{
		rule.KindEntity: &out.Orphaned.Entities, rule.KindProperty: &out.Orphaned.Properties, rule.KindRelationship: &out.Orphaned.Relationships,
	}
	for _, ref := range c.Orphaned.IDs {
		*to[ref.Kind] = append(*to[ref.Kind], ref.ID)
	}
	for _, r := range c.Orphaned.Rules {
		out.Orphaned.Rules = append(out.Orphaned.Rules, RuleRef{r.ID, r.Name})
	}
	return out
}

func renderWarnings(all []fault.Violation) (out []Warning) {
	for _, v := range all {
		out = append(out, Warning(v))
	}
	return out
}

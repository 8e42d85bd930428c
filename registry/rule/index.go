package rule

import "slices"

// modelIndex finds the things of a model by their ids.
type modelIndex struct {
	bindings []Binding // in the model's order
	at       map[Ref]int
}

// index is built at the first use and kept.
func (m *Model) index() *modelIndex {
	if m == nil {
		return &modelIndex{}
	}
	if have := m.indexed.Load(); have != nil {
		return have
	}
	x := &modelIndex{at: make(map[Ref]int)}
	put := func(b Binding) {
		x.at[b.Ref] = len(x.bindings)
		x.bindings = append(x.bindings, b)
	}
	for i := range m.Entities {
		e := &m.Entities[i]
		put(Binding{Ref: Ref{KindEntity, e.ID}, Title: e.Title})
		for _, p := range e.Properties {
			// A property stands for its title in its entity: moved to another one it
			// would free the first of its conditions.
			put(Binding{Ref: Ref{KindProperty, p.ID}, Of: e.ID, Title: p.Title})
		}
	}
	for _, r := range m.Relationships {
		put(Binding{Ref: Ref{KindRelationship, r.ID}, From: r.From, Title: r.Alias, To: r.To})
	}
	m.indexed.Store(x)
	return x
}

// owner returns the entity of a property.
func (x *modelIndex) owner(property ID) (entity ID, known bool) {
	i, known := x.at[Ref{KindProperty, property}]
	if !known {
		return 0, false
	}
	return x.bindings[i].Of, true
}

// Has reports whether the model knows an id.
func (m *Model) Has(ref Ref) bool {
	_, known := m.index().at[ref]
	return known
}

// Equal reports whether two models say the same in the same order.
func (m *Model) Equal(o *Model) bool {
	if m == nil || o == nil {
		return m == o
	}
	return slices.EqualFunc(m.Entities, o.Entities, func(a, b Entity) bool {
		return a.ID == b.ID && a.Title == b.Title && slices.Equal(a.Properties, b.Properties)
	}) && slices.Equal(m.Relationships, o.Relationships)
}

// Orphans are the ids of a rule that grant nothing, since the model does not know
// them: relationships, entities with all their properties, and properties that
// are not of the entity that lists them.
type Orphans struct {
	Entities, Properties, Relationships []ID
	// Condition says that a condition's property is unknown, or of no entity that
	// the rule lists. Such a rule grants nothing at all.
	Condition bool
}

// Any reports whether the rule is orphaned in any part.
func (o Orphans) Any() bool {
	return o.Condition || len(o.Entities)+len(o.Properties)+len(o.Relationships) > 0
}

// Orphans finds what of a rule the model does not know. Functions are in no
// model. A nil model knows nothing.
func (m *Model) Orphans(r *Rule) Orphans {
	x := m.index()
	var o Orphans
	for _, e := range r.Entities {
		known := m.Has(Ref{KindEntity, e.ID})
		if !known {
			o.Entities = append(o.Entities, e.ID)
		}
		for _, p := range e.Properties {
			if owner, is := x.owner(p); !is || known && owner != e.ID {
				o.Properties = append(o.Properties, p)
			}
		}
	}
	for _, id := range r.Relationships {
		if !m.Has(Ref{KindRelationship, id}) {
			o.Relationships = append(o.Relationships, id)
		}
	}
	m.orphanedConditions(r, &o)
	return o
}

// orphanedConditions looks each condition's entity up among those that the rule
// lists; where both are many, in a map.
func (m *Model) orphanedConditions(r *Rule, o *Orphans) {
	x := m.index()
	lists := func(id ID) bool {
		return slices.ContainsFunc(r.Entities, func(e EntityGrant) bool { return e.ID == id })
	}
	told := func(id ID) bool { return slices.Contains(o.Properties, id) }
	if len(r.Conditions) > fewConditions {
		listed := make(map[ID]struct{}, len(r.Entities))
		for i := range r.Entities {
			listed[r.Entities[i].ID] = struct{}{}
		}
		lists = func(id ID) bool { _, is := listed[id]; return is }
		known := make(map[ID]struct{}, len(o.Properties))
		for _, id := range o.Properties {
			known[id] = struct{}{}
		}
		told = func(id ID) bool {
			_, is := known[id]
			known[id] = struct{}{}
			return is
		}
	}
	for _, c := range r.Conditions {
		owner, is := x.owner(c.Property)
		if is && lists(owner) {
			continue
		}
		o.Condition = true
		if !is && !told(c.Property) {
			o.Properties = append(o.Properties, c.Property)
		}
	}
}

// fewConditions is up to how many conditions are looked up one after the other.
const fewConditions = 8

// Uses lists what of a model the rule refers to, conditions included; a thing may
// come more than once.
func (r *Rule) Uses(visit func(Ref)) {
	for _, e := range r.Entities {
		visit(Ref{KindEntity, e.ID})
		for _, p := range e.Properties {
			visit(Ref{KindProperty, p})
		}
	}
	for _, id := range r.Relationships {
		visit(Ref{KindRelationship, id})
	}
	for _, c := range r.Conditions {
		visit(Ref{KindProperty, c.Property})
	}
}

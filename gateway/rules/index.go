package rules

import "github.com/muster-fleet/muster/registry/rule"

// index finds the parts of a model by their ids.
type index struct {
	entities  map[rule.ID]*entity
	owners    map[rule.ID][]rule.ID // entities that have a property; one in a model that was checked
	relations map[rule.ID]triple
}

type entity struct {
	title string
	props map[rule.ID]string
}

func newIndex(m *rule.Model) *index {
	count := 0
	for i := range m.Entities {
		count += len(m.Entities[i].Properties)
	}
	x := &index{
		entities:  make(map[rule.ID]*entity, len(m.Entities)),
		owners:    make(map[rule.ID][]rule.ID, count),
		relations: make(map[rule.ID]triple, len(m.Relationships)),
	}
	for i := range m.Entities {
		e := &m.Entities[i]
		props := make(map[rule.ID]string, len(e.Properties))
		for _, p := range e.Properties {
			props[p.ID] = p.Title
			x.owners[p.ID] = append(x.owners[p.ID], e.ID)
		}
		x.entities[e.ID] = &entity{e.Title, props}
	}
	for _, r := range m.Relationships {
		x.relations[r.ID] = triple{r.From, r.Alias, r.To}
	}
	return x
}

package rule

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/muster-fleet/muster/proto/fault"
)

// Check finds everything that is wrong with a model. Pointers are those of the
// body of PUT /api/graph-model: /entities/0/title.
func (m *Model) Check() []fault.Violation {
	out := mistakes{code: CodeBadModel}
	n := len(m.Entities) + len(m.Relationships)
	for i := range m.Entities {
		n += len(m.Entities[i].Properties)
	}
	if n > MaxModel {
		out.add("", "the model has %d entities, properties and relationships; at most %d are taken", n, MaxModel)
		return out.all()
	}
	titles := m.checkEntities(&out)
	m.checkRelationships(&out, titles)
	return out.all()
}

// checkEntities returns the titles that there are.
func (m *Model) checkEntities(out *mistakes) map[string]bool {
	ids, props := make(map[ID]int, len(m.Entities)), map[ID]ID{}
	titles := make(map[string]bool, len(m.Entities))
	for i := range m.Entities {
		e := &m.Entities[i]
		place := at("entities", i)
		checkID(out, place+"/id", "entities.id", e.ID)
		if first, twice := ids[e.ID]; twice {
			out.add(place+"/id", "entities.id: %d is also that of entity %d of this model; ids are unique", e.ID, first)
		} else {
			ids[e.ID] = i
		}
		checkTitle(out, place+"/title", "entities.title", e.Title)
		if titles[e.Title] && e.Title != "" {
			out.add(place+"/title", "entities.title: %s is another entity's title too; titles are labels and unique", shown(e.Title))
		}
		titles[e.Title] = true
		e.checkProperties(out, place, props)
	}
	return titles
}

// checkProperties gets the owners of the properties seen so far.
func (e *Entity) checkProperties(out *mistakes, place string, owners map[ID]ID) {
	titles := make(map[string]bool, len(e.Properties))
	for j, p := range e.Properties {
		spot := place + at("properties", j)
		checkID(out, spot+"/id", "properties.id", p.ID)
		if owner, taken := owners[p.ID]; taken {
			out.add(spot+"/id", "properties.id: %d belongs to entity %d already; a property's id belongs to one entity", p.ID, owner)
		} else {
			owners[p.ID] = e.ID
		}
		checkTitle(out, spot+"/title", "properties.title", p.Title)
		if titles[p.Title] && p.Title != "" {
			out.add(spot+"/title", "properties.title: %s comes twice in entity %d; titles are unique within their entity", shown(p.Title), e.ID)
		}
		titles[p.Title] = true
	}
}

func (m *Model) checkRelationships(out *mistakes, titles map[string]bool) {
	ids := make(map[ID]int, len(m.Relationships))
	for i := range m.Relationships {
		r := &m.Relationships[i]
		place := at("relationships", i)
		checkID(out, place+"/id", "relationships.id", r.ID)
		if first, twice := ids[r.ID]; twice {
			out.add(place+"/id", "relationships.id: %d is also that of relationship %d of this model; ids are unique", r.ID, first)
		} else {
			ids[r.ID] = i
		}
		for _, end := range []struct{ field, title string }{{"entityNameFrom", r.From}, {"entityNameTo", r.To}} {
			if !titles[end.title] || end.title == "" {
				out.add(place+"/"+end.field, "relationships.%s: %s is no entity's title in this model", end.field, shown(end.title))
			}
		}
		checkTitle(out, place+"/alias", "relationships.alias", r.Alias)
		if r.Name != "" {
			checkTitle(out, place+"/name", "relationships.name", r.Name)
		}
	}
}

func checkTitle(out *mistakes, pointer, field, title string) {
	switch {
	case title == "":
		out.add(pointer, "%s: is empty; it is how the graph calls it", field)
	case len(title) > MaxTitle:
		out.add(pointer, "%s: has %d bytes; at most %d are taken", field, len(title), MaxTitle)
	case !utf8.ValidString(title) || strings.ContainsRune(title, 0):
		out.add(pointer, "%s: is no UTF-8 or holds a NUL", field)
	}
}

// Kind is what an id is the id of.
type Kind string

// The kinds of ids in a model.
const (
	KindEntity       Kind = "entity"
	KindProperty     Kind = "property"
	KindRelationship Kind = "relationship"
)

// Ref names one thing of a model.
type Ref struct {
	Kind Kind
	ID   ID
}

// String writes the reference for people: entity 414.
func (r Ref) String() string { return fmt.Sprintf("%s %d", r.Kind, r.ID) }

// Compare orders references by kind, then by id.
func (r Ref) Compare(o Ref) int { return cmp.Or(cmp.Compare(r.Kind, o.Kind), cmp.Compare(r.ID, o.ID)) }

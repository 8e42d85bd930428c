package rules

import (
	"cmp"
	"slices"
	"sort"

	"github.com/muster-fleet/muster/registry/rule"
)

// index finds the parts of a model by their ids. It is made once for each model
// and holds sorted lists, which are made faster than maps and are as good.
type index struct {
	kinds     []kind
	entities  []entity // by id
	owners    []owner  // by property
	relations map[rule.ID]triple
	names     titles // of all properties
}

// kind is what entities with one title have in common; in a model that was
// checked there is one of each.
type kind struct {
	title string
	names []string // titles of their properties, sorted, each once
	// numbers are those of the names among all titles of properties.
	numbers []int32
}

type entity struct {
	id    rule.ID
	kind  int32
	props []property // by id
}

// property is a property's id and its place among the names of the kind.
type property struct {
	id   rule.ID
	name int32
}

// owner is an entity that has a property; one in a model that was checked.
type owner struct{ property, entity rule.ID }

func newIndex(m *rule.Model) *index {
	count := 0
	for i := range m.Entities {
		count += len(m.Entities[i].Properties)
	}
	x := &index{
		kinds:     make([]kind, 0, len(m.Entities)),
		entities:  make([]entity, 0, len(m.Entities)),
		owners:    make([]owner, 0, count),
		relations: make(map[rule.ID]triple, len(m.Relationships)),
	}
	numbers := make(map[string]int32, len(m.Entities))
	titles := make([]string, 0, count)
	for i := range m.Entities {
		e := &m.Entities[i]
		k, ok := numbers[e.Title]
		if !ok {
			k = int32(len(x.kinds))
			numbers[e.Title] = k
			x.kinds = append(x.kinds, kind{title: e.Title})
		}
		from := len(titles)
		titles = append(titles, x.kinds[k].names...)
		for _, p := range e.Properties {
			titles = append(titles, p.Title)
			x.owners = append(x.owners, owner{p.ID, e.ID})
		}
		names := titles[from:len(titles):len(titles)]
		slices.Sort(names)
		x.kinds[k].names = slices.Compact(names)
		x.entities = append(x.entities, entity{id: e.ID, kind: k})
	}
	x.place(m, count)
	x.number(count)
	for _, r := range m.Relationships {
		x.relations[r.ID] = triple{r.From, r.Alias, r.To}
	}
	return x
}

// number numbers the titles of all properties.
func (x *index) number(count int) {
	known := make(map[string]int32, len(x.kinds))
	numbers := make([]int32, 0, count)
	var texts []string
	for k := range x.kinds {
		from := len(numbers)
		for _, name := range x.kinds[k].names {
			n, is := known[name]
			if !is {
				n = int32(len(texts))
				known[name], texts = n, append(texts, name)
			}
			numbers = append(numbers, n)
		}
		x.kinds[k].numbers = numbers[from:len(numbers):len(numbers)]
	}
	x.names = newTitles(texts)
}

// place enters the properties' places, which are known when all names are, and
// sorts what is found by id. Of equal ids the last counts.
func (x *index) place(m *rule.Model, count int) {
	all := make([]property, 0, count)
	for i := range x.entities {
		e := &x.entities[i]
		from, names := len(all), x.kinds[e.kind].names
		for _, p := range m.Entities[i].Properties {
			at, _ := slices.BinarySearch(names, p.Title)
			all = append(all, property{p.ID, int32(at)})
		}
		e.props = all[from:len(all):len(all)]
		slices.SortStableFunc(e.props, func(a, b property) int { return cmp.Compare(a.id, b.id) })
	}
	slices.SortStableFunc(x.entities, func(a, b entity) int { return cmp.Compare(a.id, b.id) })
	slices.SortStableFunc(x.owners, func(a, b owner) int { return cmp.Compare(a.property, b.property) })
}

// entity returns the place of an entity; -1 when there is none with this id.
func (x *index) entity(id rule.ID) int {
	k := sort.Search(len(x.entities), func(k int) bool { return x.entities[k].id > id }) - 1
	if k < 0 || x.entities[k].id != id {
		return -1
	}
	return k
}

// name returns the place of a property's title; ok is false when the entity has
// no such property.
func (e *entity) name(id rule.ID) (name int32, ok bool) {
	k := sort.Search(len(e.props), func(k int) bool { return e.props[k].id > id }) - 1
	if k < 0 || e.props[k].id != id {
		return 0, false
	}
	return e.props[k].name, true
}

// ownersOf returns the entities that have a property.
func (x *index) ownersOf(id rule.ID) []owner {
	from, _ := slices.BinarySearchFunc(x.owners, id, func(o owner, id rule.ID) int { return cmp.Compare(o.property, id) })
	to := from
	for to < len(x.owners) && x.owners[to].property == id {
		to++
	}
	return x.owners[from:to]
}

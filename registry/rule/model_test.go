package rule

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func sample() *Model {
	return &Model{
		Entities: []Entity{
			{414, "Benchmark", []Property{{5303, "Benchmark_ID"}, {5296, "Title"}}},
			{500, "Part", []Property{{414, "Title"}}}, // the entity's own number, and another's title
		},
		Relationships: []Relationship{{414, "Benchmark", "Part", "PARTS", "HAS"}, {415, "Part", "Part", "", "IN"}},
	}
}

func TestModelMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		change func(m *Model)
		want   string
	}{
		"good":                  {func(*Model) {}, ""},
		"empty":                 {func(m *Model) { *m = Model{} }, ""},
		"entity twice":          {func(m *Model) { m.Entities[1].ID = 414 }, "/entities/1/id"},
		"negative entity":       {func(m *Model) { m.Entities[1].ID = -1 }, "/entities/1/id"},
		"title twice":           {func(m *Model) { m.Entities = append(m.Entities, Entity{1, "Part", nil}) }, "/entities/2/title"},
		"title empty":           {func(m *Model) { m.Entities = append(m.Entities, Entity{1, "", nil}, Entity{2, "", nil}) }, "/entities/2/title /entities/3/title"},
		"title long":            {func(m *Model) { m.Entities[0].Properties[0].Title = strings.Repeat("x", MaxTitle+1) }, "/entities/0/properties/0/title"},
		"title no UTF-8":        {func(m *Model) { m.Entities[0].Properties[0].Title = "\xff" }, "/entities/0/properties/0/title"},
		"property title twice":  {func(m *Model) { m.Entities[0].Properties[1].Title = "Benchmark_ID" }, "/entities/0/properties/1/title"},
		"property twice":        {func(m *Model) { m.Entities[0].Properties[1].ID = 5303 }, "/entities/0/properties/1/id"},
		"property of two":       {func(m *Model) { m.Entities[1].Properties[0].ID = 5303 }, "/entities/1/properties/0/id"},
		"property too large":    {func(m *Model) { m.Entities[1].Properties[0].ID = MaxID + 1 }, "/entities/1/properties/0/id"},
		"relationship twice":    {func(m *Model) { m.Relationships[1].ID = 414 }, "/relationships/1/id"},
		"negative relationship": {func(m *Model) { m.Relationships[1].ID = -5 }, "/relationships/1/id"},
		"unknown ends":          {func(m *Model) { m.Relationships[1].From, m.Relationships[1].To = "x", "" }, "/relationships/1/entityNameFrom /relationships/1/entityNameTo"},
		"no alias":              {func(m *Model) { m.Relationships[0].Alias = "" }, "/relationships/0/alias"},
		"name with NUL":         {func(m *Model) { m.Relationships[0].Name = "a\x00" }, "/relationships/0/name"},
		"too large":             {func(m *Model) { m.Relationships = make([]Relationship, MaxModel) }, ""},
	} {
		m := sample()
		c.change(m)
		all := m.Check()
		if got := pointers(all); got != c.want || name == "too large" && len(all) != 1 {
			t.Errorf("%s: %s\nnot %s", name, got, c.want)
		}
	}
}

// TestModelOfTheContract reads the published sample and writes it back.
func TestModelOfTheContract(t *testing.T) {
	data, err := os.ReadFile("../../examples/contract/transform-request.json")
	if err != nil {
		t.Fatal(err)
	}
	var m Model
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	// The sample's second relationship leads to an entity that it leaves out.
	if got := pointers(m.Check()); got != "/relationships/1/entityNameTo" {
		t.Error(got)
	}
	again, err := json.Marshal(&m)
	var back Model
	if err != nil || json.Unmarshal(again, &back) != nil || !back.Equal(&m) || m.Entities[0].Properties[5].ID != 5302 {
		t.Errorf("%s %v", again, err)
	}
	if empty, err := json.Marshal(&Model{}); err != nil || string(empty) != `{"entities":[],"relationships":[]}` {
		t.Errorf("%s %v", empty, err)
	}
	if json.Unmarshal([]byte(`{"entities":7}`), &m) == nil {
		t.Error("taken")
	}
}

func TestOrphans(t *testing.T) {
	for name, c := range map[string]struct {
		rule Rule
		want Orphans
	}{
		"none":                           {Rule{Entities: []EntityGrant{{414, []ID{5303}}}, Relationships: []ID{415}, Conditions: []Condition{{5296, "x"}}, Functions: []ID{9}}, Orphans{}},
		"entity and its properties":      {Rule{Entities: []EntityGrant{{9, []ID{8}}}}, Orphans{Entities: []ID{9}, Properties: []ID{8}}},
		"property":                       {Rule{Entities: []EntityGrant{{414, []ID{5303, 7}}}}, Orphans{Properties: []ID{7}}},
		"property of another entity":     {Rule{Entities: []EntityGrant{{500, []ID{5303}}}}, Orphans{Properties: []ID{5303}}},
		"relationship":                   {Rule{Relationships: []ID{415, 5303}}, Orphans{Relationships: []ID{5303}}},
		"condition on what is unknown":   {Rule{Entities: []EntityGrant{{414, nil}}, Conditions: []Condition{{7, "x"}}}, Orphans{Properties: []ID{7}, Condition: true}},
		"condition on an unlisted one":   {Rule{Entities: []EntityGrant{{500, nil}}, Conditions: []Condition{{5303, "x"}}}, Orphans{Condition: true}},
		"condition without an entity":    {Rule{Relationships: []ID{415}, Conditions: []Condition{{5303, "x"}}}, Orphans{Condition: true}},
		"an entity's id as a property's": {Rule{Entities: []EntityGrant{{500, []ID{500}}}}, Orphans{Properties: []ID{500}}},
	} {
		got := sample().Orphans(&c.rule)
		if fmt.Sprint(got) != fmt.Sprint(c.want) || got.Any() != (name != "none") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	var none *Model
	if o := none.Orphans(&Rule{Entities: []EntityGrant{{1, nil}}}); !o.Any() || none.Has(Ref{KindEntity, 1}) {
		t.Errorf("%+v", o)
	}
}

// TestRebinding replaces models at random: an id that rules use, whenever a model
// had it last, is told when it comes to stand for something else.
// TestOrphansOfManyConditions: what is looked up in a map for many conditions is
// what is found one after the other.
func TestOrphansOfManyConditions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &Model{}
		for e := range ID(6) {
			m.Entities = append(m.Entities, Entity{ID: e, Title: fmt.Sprint(e), Properties: []Property{{2 * e, "a"}, {2*e + 1, "b"}}})
		}
		id := rapid.Custom(func(t *rapid.T) ID { return ID(rapid.IntRange(0, 16).Draw(t, "id")) })
		var r Rule
		for range rapid.IntRange(0, 4).Draw(t, "entities") {
			r.Entities = append(r.Entities, EntityGrant{id.Draw(t, "entity"), rapid.SliceOfN(id, 0, 3).Draw(t, "properties")})
		}
		for _, p := range rapid.SliceOfN(id, 0, 3*fewConditions).Draw(t, "conditions") {
			r.Conditions = append(r.Conditions, Condition{p, "x"})
		}
		got := m.Orphans(&r)
		want := m.Orphans(&Rule{Entities: r.Entities})
		for _, c := range r.Conditions {
			one := m.Orphans(&Rule{Entities: r.Entities, Conditions: []Condition{c}})
			want.Condition = want.Condition || one.Condition
			if c.Property > 11 && !slices.Contains(want.Properties, c.Property) {
				want.Properties = append(want.Properties, c.Property)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v: %+v, not %+v", r, got, want)
		}
	})
}

func TestRebinding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		meaning := map[ID]string{} // of entities that are used
		var model *Model
		var retired []Binding
		used := map[Ref]bool{{KindEntity, 1}: true, {KindEntity, 2}: true}
		for range rapid.IntRange(1, 8).Draw(t, "models") {
			next := &Model{}
			var want []Ref
			for id := ID(1); id <= 3; id++ {
				title := rapid.SampledFrom([]string{"", "A", "B"}).Draw(t, "title")
				if title == "" {
					if !used[Ref{KindEntity, id}] {
						delete(meaning, id) // nobody remembers
					}
					continue
				}
				next.Entities = append(next.Entities, Entity{ID: id, Title: title + fmt.Sprint(id)})
				if old := meaning[id]; old != "" && old != title {
					want = append(want, Ref{KindEntity, id})
				}
				meaning[id] = title
			}
			if got := Rebound(model, retired, next); !slices.Equal(got, want) {
				t.Fatalf("%v, not %v", got, want)
			}
			retired = Retire(model, retired, next, func(r Ref) bool { return used[r] })
			model = next
		}
	})
}

func TestUses(t *testing.T) {
	r := Rule{
		Entities: []EntityGrant{{1, []ID{2, 3}}}, Relationships: []ID{4}, Conditions: []Condition{{5, "x"}}, Functions: []ID{6},
	}
	var all []string
	r.Uses(func(ref Ref) { all = append(all, ref.String()) })
	if got := strings.Join(all, ", "); got != "entity 1, property 2, property 3, relationship 4, property 5" {
		t.Error(got)
	}
}

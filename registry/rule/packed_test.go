package rule

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// anyRule draws a rule that may be stored.
func anyRule() *rapid.Generator[Rule] {
	id := rapid.Custom(func(t *rapid.T) ID {
		return ID(rapid.OneOf(rapid.Int64Range(0, 300), rapid.Just(int64(MaxID))).Draw(t, "id"))
	})
	ids := rapid.Custom(func(t *rapid.T) []ID {
		if list := rapid.SliceOfN(id, 0, 5).Draw(t, "ids"); len(list) > 0 {
			return list
		}
		return nil
	})
	names := rapid.Custom(func(t *rapid.T) []string {
		if list := rapid.SliceOfN(rapid.SampledFrom([]string{"alice", "Bob", "/a/b", "a/b", "c", "ädmin"}), 0, 3).Draw(t, "names"); len(list) > 0 {
			return list
		}
		return nil
	})
	return rapid.Custom(func(t *rapid.T) Rule {
		r := Rule{
			ID: rapid.Int64Range(1, 50).Draw(t, "id"), Name: rapid.StringN(1, 10, 40).Draw(t, "name"),
			Active: rapid.Bool().Draw(t, "active"), Users: names.Draw(t, "users"), Groups: names.Draw(t, "groups"),
			Clients: names.Draw(t, "clients"), Relationships: ids.Draw(t, "relationships"), Functions: ids.Draw(t, "functions"),
			Creator:   Creator{"https://issuer", rapid.SampledFrom([]string{"s1", "s2"}).Draw(t, "subject"), rapid.SampledFrom([]string{"", "step"}).Draw(t, "step")},
			CreatedBy: rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "by"), Run: rapid.SampledFrom([]string{"", "run-1"}).Draw(t, "run"),
			CreatedAt: noon.Add(time.Duration(rapid.Int64Range(-1e6, 1e6).Draw(t, "at")) * time.Microsecond), UpdatedAt: noon,
			Revision: rapid.Int64Range(0, 1<<40).Draw(t, "revision"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "entities") {
			r.Entities = append(r.Entities, EntityGrant{id.Draw(t, "entity"), ids.Draw(t, "properties")})
		}
		for range rapid.IntRange(0, 2).Draw(t, "conditions") {
			r.Conditions = append(r.Conditions, Condition{id.Draw(t, "property"), rapid.String().Draw(t, "value")})
		}
		return r
	})
}

func TestPackedSaysTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRule().Draw(t, "rule")
		p := Pack(&r)
		if got := p.Rule(); !reflect.DeepEqual(got, r) {
			t.Fatalf("packed %+v\nunpacked %+v", r, got)
		}
		if p.ID() != r.ID || p.Name() != r.Name || p.Active() != r.Active || p.Owner() != (Owner{r.Creator, r.CreatedBy}) {
			t.Fatalf("%+v", p)
		}
		again, err := PackRecord(p.Record())
		if err != nil || !reflect.DeepEqual(again.Rule(), r) || !again.SameContent(p) {
			t.Fatalf("as a row: %+v %v", again, err)
		}
		later := p.As(r.ID+1, noon.Add(time.Hour), 7)
		want := r
		want.ID, want.CreatedAt, want.UpdatedAt, want.Revision = r.ID+1, noon.Add(time.Hour), noon.Add(time.Hour), 7
		if !reflect.DeepEqual(later.Rule(), want) || !later.SameContent(p) {
			t.Fatalf("as another: %+v", later.Rule())
		}
	})
}

// TestGrantsAreReadIntoOneRule: whatever was read before.
func TestGrantsAreReadIntoOneRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var into Rule
		for _, r := range rapid.SliceOfN(anyRule(), 1, 5).Draw(t, "rules") {
			Pack(&r).Grants(&into)
			if into.ID != r.ID || into.Active != r.Active || !slices.Equal(into.Relationships, r.Relationships) ||
				!slices.Equal(into.Conditions, r.Conditions) || !slices.Equal(into.Functions, r.Functions) ||
				!slices.EqualFunc(into.Entities, r.Entities, func(a, b EntityGrant) bool {
					return a.ID == b.ID && slices.Equal(a.Properties, b.Properties)
				}) {
				t.Fatalf("%+v was read as %+v", r, into)
			}
			if into.Name != "" || into.Users != nil {
				t.Fatalf("more than what it grants: %+v", into)
			}
		}
	})
}

func TestSameContent(t *testing.T) {
	base := Rule{
		ID: 1, Name: "n", Active: true, Users: []string{"alice"}, Entities: []EntityGrant{{1, []ID{2, 3}}},
		Conditions: []Condition{{2, "x"}}, Creator: Creator{"i", "s", ""}, CreatedBy: "alice",
	}
	for name, change := range map[string]func(r *Rule){
		"name":      func(r *Rule) { r.Name = "m" },
		"active":    func(r *Rule) { r.Active = false },
		"kind":      func(r *Rule) { r.Users, r.Groups = nil, r.Users },
		"order":     func(r *Rule) { r.Entities = []EntityGrant{{1, []ID{3, 2}}} },
		"nesting":   func(r *Rule) { r.Entities = []EntityGrant{{1, nil}, {2, []ID{3}}} },
		"condition": func(r *Rule) { r.Conditions = []Condition{{2, "y"}} },
		"function":  func(r *Rule) { r.Functions = []ID{1} },
		"step":      func(r *Rule) { r.Creator.Step = "s" },
		"username":  func(r *Rule) { r.CreatedBy = "bob" },
	} {
		other := base
		change(&other)
		if Pack(&base).SameContent(Pack(&other)) {
			t.Errorf("another %s is not noticed", name)
		}
	}
	same := base
	same.ID, same.Run, same.Revision, same.UpdatedAt = 2, "run", 5, noon
	if !Pack(&base).SameContent(Pack(&same)) {
		t.Error("who wrote it and when is no content")
	}
}

func TestBodiesThatAreNone(t *testing.T) {
	good := body(&Rule{Active: true, Users: []string{"alice"}, Entities: []EntityGrant{{1, []ID{300}}}})
	for name, data := range map[string][]byte{
		"empty": {}, "short": {1}, "newer": append([]byte{2}, good[1:]...), "unknown flag": append([]byte{1, 2}, good[2:]...),
		"cut": good[:len(good)-1], "longer": append(bytes.Clone(good), 0),
		"count too large": {1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}, "long form": {1, 0, 0x80, 0x00, 0, 0, 0, 0, 0, 0},
		"id too large": {1, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0},
		"overflow":     {1, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0},
	} {
		if _, err := PackRecord(Record{ID: 1, Name: "n", Body: data}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := PackRecord(Record{ID: 1, Name: "n", Body: good}); err != nil {
		t.Error(err)
	}
}

// FuzzBody holds that what is taken for a body says one thing only: written again
// it is the same bytes.
func FuzzBody(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(body(&Rule{
		Active: true, Users: []string{"alice", ""}, Groups: []string{"/a/b"}, Clients: []string{"c"},
		Entities: []EntityGrant{{414, []ID{5303, 5296}}, {1, nil}}, Relationships: []ID{415},
		Conditions: []Condition{{5303, "2500"}}, Functions: []ID{12, MaxID},
	}))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := PackRecord(Record{ID: 1, Name: "n", Body: data})
		if err != nil {
			return
		}
		r := p.Rule()
		if again := body(&r); !bytes.Equal(again, data) {
			t.Fatalf("%x is read as %+v and written as %x", data, r, again)
		}
		p.subjects(func(kind subjectKind, key string) {
			if key == "" || kind >= subjectKinds {
				t.Fatalf("kind %d, key %q", kind, key)
			}
		})
	})
}

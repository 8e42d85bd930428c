package accessrules

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/rule"
)

// The readers know exactly the members of the Go types that the OpenAPI
// description is made from.
func TestBodiesAreReadAsDescribed(t *testing.T) {
	known := func(mistakes []fault.Violation, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range mistakes {
			if _, list, ok := strings.Cut(v.Detail, "known are "); ok {
				return list
			}
		}
		return ""
	}
	_, post, err1 := readPost([]byte(`{"?":1}`))
	_, inRule, err2 := readPost([]byte(`{"rules":[{"?":1}]}`))
	_, grant, err3 := readPost([]byte(`{"rules":[{"entities":[{"?":1}]}]}`))
	_, inModel, err4 := readModel([]byte(`{"?":1}`))
	_, entity, err5 := readModel([]byte(`{"entities":[{"?":1}]}`))
	_, property, err6 := readModel([]byte(`{"entities":[{"properties":[{"?":1}]}]}`))
	_, relationship, err7 := readModel([]byte(`{"relationships":[{"?":1}]}`))
	_, _, check := readCheck([]byte(`{"?":1}`))
	for _, c := range []struct {
		of  reflect.Type
		got string
	}{
		{reflect.TypeFor[PostInput](), known(post, err1)},
		{reflect.TypeFor[RuleInput](), known(inRule, err2)},
		{reflect.TypeFor[EntityGrant](), known(grant, err3)},
		{reflect.TypeFor[ModelRecord](), known(inModel, err4)},
		{reflect.TypeFor[Entity](), known(entity, err5)},
		{reflect.TypeFor[Property](), known(property, err6)},
		{reflect.TypeFor[Relationship](), known(relationship, err7)},
		{reflect.TypeFor[CheckInput](), known(fault.From(check).Violations, nil)},
	} {
		var want []string
		for _, f := range reflect.VisibleFields(c.of) {
			if !f.Anonymous {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				want = append(want, name)
			}
		}
		slices.Sort(want)
		if c.got != strings.Join(want, ", ") {
			t.Errorf("%s: read are %s, described are %s", c.of.Name(), c.got, strings.Join(want, ", "))
		}
	}
}

func FuzzReadPost(f *testing.F) {
	f.Add([]byte(`{"ruleCreationStrategy":"Ignore","generation":"g","rules":[{"name":"a","users":["u"],"entities":[{"id":1,"properties":[2]}],
		"relationships":[3],"propertyValueConditions":[{"PropertyId":2,"Value":"\u00e4"}],"functions":[12],"active":false,"accessLevel":"view"}]}`))
	f.Add([]byte(`{"rules":[null,7,{"entities":[{}],"users":null}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, mistakes, err := readPost(body)
		if err != nil {
			return
		}
		for _, v := range mistakes {
			if !strings.HasPrefix(v.Pointer, "/") || v.Detail == "" {
				t.Fatalf("%q: %+v", body, v)
			}
		}
		if len(mistakes)+len(rule.CheckRules(p.rules)) > 0 {
			return
		}
		// What is taken is shown in a form that is taken again, as the same rule.
		for i := range p.rules {
			record := render(nil, &p.rules[i])
			again, mistakes, err := readOneRule(mustJSON(t, record))
			if err != nil || len(mistakes) > 0 || !sameRule(again, p.rules[i]) {
				t.Fatalf("%q: %+v became %+v: %v %v", body, p.rules[i], again, mistakes, err)
			}
		}
	})
}

func FuzzReadModel(f *testing.F) {
	f.Add([]byte(`{"entities":[{"id":1,"title":"A","properties":[{"id":2,"title":"p"}]}],"relationships":[{"id":1,"entityNameFrom":"A","entityNameTo":"A","name":"n","alias":"N"}]}`))
	f.Add([]byte(`{"entities":[{}],"relationships":[0]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, mistakes, err := readModel(body)
		if err != nil || len(mistakes)+len(m.Check()) > 0 {
			return
		}
		again, mistakes, err := readModel(mustJSON(t, renderModel(m)))
		if err != nil || len(mistakes) > 0 || !m.Equal(again) {
			t.Fatalf("%q: %v %v", body, mistakes, err)
		}
	})
}

func FuzzReadCheck(f *testing.F) {
	f.Add([]byte(`{"principal":{"username":"a","groups":["/g"],"client":"c"},"parameters":{"type":"nodes"},"data":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		who, filter, err := readCheck(body)
		if err != nil {
			return
		}
		if who.username == "" && who.client == "" && len(who.groups) == 0 || filter[0] != '{' || filter[len(filter)-1] != '}' {
			t.Fatalf("%q: %+v %q", body, who, filter)
		}
	})
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sameRule compares what a poster says of a rule.
func sameRule(a, b rule.Rule) bool { return rule.Pack(&a).SameContent(rule.Pack(&b)) }

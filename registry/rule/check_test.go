package rule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/proto/fault"
)

func good() Rule {
	return Rule{Name: "n", Users: []string{"alice"}, Entities: []EntityGrant{{1, []ID{2}}}}
}

func pointers(all []fault.Violation) string {
	list := make([]string, len(all))
	for i, v := range all {
		list[i] = v.Pointer
	}
	return strings.Join(list, " ")
}

func TestRuleMistakes(t *testing.T) {
	long := strings.Repeat("x", MaxSubject+1)
	for name, c := range map[string]struct {
		change func(r *Rule)
		want   string // the pointer
	}{
		"good":                       {func(*Rule) {}, ""},
		"only a group":               {func(r *Rule) { r.Users, r.Groups = nil, []string{"/g"} }, ""},
		"only a client":              {func(r *Rule) { r.Users, r.Clients = nil, []string{"c"} }, ""},
		"only a relationship":        {func(r *Rule) { r.Entities, r.Relationships = nil, []ID{1} }, ""},
		"an entity without any":      {func(r *Rule) { r.Entities[0].Properties = nil }, ""},
		"the longest name":           {func(r *Rule) { r.Name = strings.Repeat("ä", MaxName/2) }, ""},
		"the largest id":             {func(r *Rule) { r.Functions = []ID{0, MaxID} }, ""},
		"an odd value":               {func(r *Rule) { r.Conditions = []Condition{{1, "\x00 \n"}, {1, ""}} }, ""},
		"empty name":                 {func(r *Rule) { r.Name = "" }, "/name"},
		"long name":                  {func(r *Rule) { r.Name = strings.Repeat("ä", MaxName/2) + "x" }, "/name"},
		"control character":          {func(r *Rule) { r.Name = "a\nb" }, "/name"},
		"no UTF-8":                   {func(r *Rule) { r.Name = "a\xff" }, "/name"},
		"no subject":                 {func(r *Rule) { r.Users = nil }, "/"},
		"empty user":                 {func(r *Rule) { r.Users = []string{"alice", ""} }, "/users/1"},
		"a group that is a slash":    {func(r *Rule) { r.Groups = []string{"/"} }, "/groups/0"},
		"a client without a name":    {func(r *Rule) { r.Clients = []string{"service-account-"} }, "/clients/0"},
		"long user":                  {func(r *Rule) { r.Users = []string{long} }, "/users/0"},
		"control character in group": {func(r *Rule) { r.Groups = []string{"a\x00"} }, "/groups/0"},
		"too many subjects":          {func(r *Rule) { r.Groups = make([]string, MaxSubjects); fill(r.Groups) }, "/"},
		"nothing shown":              {func(r *Rule) { r.Entities = nil }, "/"},
		"functions alone":            {func(r *Rule) { r.Entities, r.Functions = nil, []ID{1} }, "/"},
		"negative entity":            {func(r *Rule) { r.Entities[0].ID = -1 }, "/entities/0/id"},
		"entity twice":               {func(r *Rule) { r.Entities = append(r.Entities, EntityGrant{1, nil}) }, "/entities/1/id"},
		"property too large":         {func(r *Rule) { r.Entities[0].Properties = []ID{1, MaxID + 1} }, "/entities/0/properties/1"},
		"negative relationship":      {func(r *Rule) { r.Relationships = []ID{-7} }, "/relationships/0"},
		"negative function":          {func(r *Rule) { r.Functions = []ID{-7} }, "/functions/0"},
		"too many ids":               {func(r *Rule) { r.Functions = make([]ID, MaxIDs) }, "/"},
		"negative condition":         {func(r *Rule) { r.Conditions = []Condition{{-1, "x"}} }, "/propertyValueConditions/0/PropertyId"},
		"long value":                 {func(r *Rule) { r.Conditions = []Condition{{1, strings.Repeat("x", MaxValue+1)}} }, "/propertyValueConditions/0/Value"},
		"value no UTF-8":             {func(r *Rule) { r.Conditions = []Condition{{1, "\xff"}} }, "/propertyValueConditions/0/Value"},
		"too many conditions":        {func(r *Rule) { r.Conditions = make([]Condition, MaxConditions+1) }, "/propertyValueConditions"},
	} {
		r := good()
		c.change(&r)
		all := r.Check()
		want := strings.TrimSuffix(c.want, "/")
		if got := pointers(all); got != want || (len(all) == 1) != (c.want != "") {
			t.Errorf("%s: %+v", name, all)
		}
		for _, v := range all {
			if v.Code != CodeBadRules || !strings.HasPrefix(v.Detail, "rule ") {
				t.Errorf("%s: %+v", name, v)
			}
		}
	}
}

func fill(list []string) {
	for i := range list {
		list[i] = fmt.Sprint("g", i)
	}
}

func TestMistakesOfARequest(t *testing.T) {
	bad := Rule{Name: "bad", Entities: []EntityGrant{{-1, nil}}}
	all := CheckRules([]Rule{good(), bad, good(), {}})
	want := "/rules/1 /rules/1/entities/0/id /rules/2/name /rules/3/name /rules/3 /rules/3"
	if got := pointers(all); got != want || !strings.Contains(all[0].Detail, `rule "bad": users`) {
		t.Errorf("%s\nnot %s", got, want)
	}
	if all := CheckRules(make([]Rule, MaxRules+1)); len(all) != 1 || all[0].Pointer != "/rules" {
		t.Errorf("%d", len(all))
	}
	if all := CheckRules(make([]Rule, 5000)); len(all) != maxMistakes+1 || !strings.Contains(all[maxMistakes].Detail, "14000 more") {
		t.Errorf("%d: %+v", len(all), all[len(all)-1])
	}
	if all := CheckRules(nil); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
)

// TestProbesAgreeWithDecoding: whether a node has a wanted value is told by the
// first bytes as decoding it would tell, whatever is wanted and however the value
// is written.
func TestProbesAgreeWithDecoding(t *testing.T) {
	model := &rule.Model{Entities: []rule.Entity{{ID: 1, Title: "A", Properties: []rule.Property{{ID: 1, Title: "p"}, {ID: 2, Title: "q"}, {ID: 3, Title: "r"}}}}}
	narrow, hit := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		wanted := rapid.SliceOfNDistinct(rapid.OneOf(texts(), rapid.SampledFrom([]string{"true", "1", "1.0", "123456", "1234567"})), 1, fewValues+2, rapid.ID[string]).Draw(t, "wanted")
		// Values are wanted of p, and another one of r behind it.
		listed := []rule.EntityGrant{{ID: 1, Properties: []rule.ID{2}}}
		one := rule.Rule{ID: 1, Active: true, Entities: listed}
		for _, text := range wanted {
			one.Conditions = append(one.Conditions, rule.Condition{Property: 1, Value: text})
		}
		two := rule.Rule{ID: 2, Active: true, Entities: listed, Conditions: []rule.Condition{{Property: 3, Value: "yes"}}}
		// And where p has the first of them and r is written "no" too, p itself shows.
		three := rule.Rule{
			ID: 3, Active: true, Entities: []rule.EntityGrant{{ID: 1, Properties: []rule.ID{1}}},
			Conditions: []rule.Condition{{Property: 1, Value: wanted[0]}, {Property: 3, Value: "no"}},
		}
		p := Compile(model, slices.Values([]rule.Rule{one, two, three}))
		body := `{"parameters":{"type":"nodes"},"data":[`
		var want, first []bool
		for i := range 6 {
			text := rapid.OneOf(texts(), rapid.SampledFrom(wanted)).Draw(t, "text")
			value, equal, isFirst := spell(t, text), slices.Contains(wanted, text), text == wanted[0]
			switch rapid.IntRange(0, 9).Draw(t, "as") {
			case 0:
				value = rapid.SampledFrom([]string{"true", "1", "1.0", "123456", "1234567", "12345678"}).Draw(t, "bare")
				equal, isFirst = slices.Contains(wanted, value), value == wanted[0]
			case 1:
				value = "[" + value + "]"
			case 2:
				value, equal, isFirst = `{"a":`+value+"}", false, false
			}
			yes := rapid.SampledFrom([]string{"yes", "no", "ye"}).Draw(t, "other")
			want, first = append(want, equal || yes == "yes"), append(first, isFirst && yes == "no")
			if i > 0 {
				body += ","
			}
			body += fmt.Sprintf(`{"elementId":"%d","labels":["A"],"properties":{"q":1,"p":%s,"r":%q}}`, i, value, yes)
		}
		req, err := element.ParseRequest([]byte(body+"]}"), element.Options{})
		if err != nil {
			t.Fatal(err, body)
		}
		defer req.Release()
		var out Result
		for range 3 { // the names of the first nodes go the general way
			p.Decide(req, &out)
		}
		for i, equal := range want {
			if out.Nodes.Visible(i) != equal {
				t.Fatalf("%s wanted of %s: visible %v", strings.Join(wanted, "|"), req.Nodes.Raw(i), !equal)
			}
			if f := out.Nodes.Form(i); equal && (f == nil || !f.Keeps(0) || f.Keeps(1) != first[i] || f.Keeps(2)) {
				t.Fatalf("%s wanted of %s: in another form", strings.Join(wanted, "|"), req.Nodes.Raw(i))
			}
			if equal {
				hit++
			}
		}
		if req.Nodes.Skeleton(5) != 0 {
			narrow++
		}
	})
	if narrow == 0 || hit == 0 {
		t.Errorf("%d requests went the narrow way, %d values were found", narrow, hit)
	}
}

// TestManyOutcomesOfOneSequence: the spots of a sequence's outcomes grow, are
// overwritten and are used in several requests without one node getting
// another's form.
func TestManyOutcomesOfOneSequence(t *testing.T) {
	for _, props := range []int{3, 8, 14} { // the last one's are more than are kept
		t.Run(fmt.Sprint(props), func(t *testing.T) { manyOutcomes(t, props) })
	}
}

func manyOutcomes(t *testing.T, props int) {
	e := rule.Entity{ID: 1, Title: "A"}
	var all []rule.Rule
	for k := range props {
		e.Properties = append(e.Properties, rule.Property{ID: rule.ID(k + 1), Title: fmt.Sprint("p", k)})
		all = append(all, rule.Rule{
			ID: int64(k + 1), Active: true, Entities: []rule.EntityGrant{{ID: 1, Properties: []rule.ID{rule.ID(k + 1)}}},
			Conditions: []rule.Condition{{Property: rule.ID(k + 1), Value: "y"}},
		})
	}
	p := Compile(&rule.Model{Entities: []rule.Entity{e}}, slices.Values(all))
	var out Result
	for _, step := range []int{1, 3, 5} { // all masks in another order each time
		b := []byte(`{"parameters":{"type":"nodes"},"data":[`)
		masks := make([]int, 1<<props)
		for i := range masks {
			masks[i] = i * step % len(masks)
			if i > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `{"elementId":"%d","labels":["A"],"properties":{`, i)
			for k := range props {
				if k > 0 {
					b = append(b, ',')
				}
				b = fmt.Appendf(b, `"p%d":"%c"`, k, "ny"[masks[i]>>k&1])
			}
			b = append(b, "}}"...)
		}
		req, err := element.ParseRequest(append(b, "]}"...), element.Options{})
		if err != nil {
			t.Fatal(err)
		}
		p.Decide(req, &out)
		for i, mask := range masks {
			if out.Nodes.Visible(i) != (mask != 0) {
				t.Fatalf("step %d: node %d with %b: visible %v", step, i, mask, mask == 0)
			}
			f := out.Nodes.Form(i)
			for k := range props {
				if mask != 0 && (f == nil || f.Keeps(k)) != (mask>>k&1 != 0) {
					t.Fatalf("step %d: node %d with %b: property %d", step, i, mask, k)
				}
			}
		}
		req.Release()
	}
}

package rules_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-fleet/muster/registry/rule"
)

// gen draws models, rules and requests that hit each other: few labels, few
// names, few values, and every spelling of them.
type gen struct {
	*rand.Rand
	of *rule.Model // what is being drawn for
}

func newGen(seed uint64) *gen { return &gen{Rand: rand.New(rand.NewPCG(seed, 11))} }

// words are texts with the ways to write them in JSON.
type word struct {
	text     string
	spelling []string
}

var labels = []word{
	{"A", []string{`"A"`, `"\u0041"`}},
	{"B", []string{`"B"`}},
	{"a", []string{`"a"`}},
	{`Ä"`, []string{`"Ä\""`, `"\u00c4\u0022"`}},
	{"", []string{`""`}},
	{"unknown", []string{`"unknown"`}},
}

var names = []word{
	{"p", []string{`"p"`, `"\u0070"`}},
	{"q", []string{`"q"`}},
	{"r", []string{`"r"`}},
	{`é\`, []string{`"é\\"`, `"\u00E9\u005c"`}},
	{"", []string{`""`}},
	{"P", []string{`"P"`}},
	{"extra", []string{`"extra"`}},
}

var wanted = []string{"x", "1", "1.0", "true", "false", "null", "", "é", "-0", "12345678901234567890", "[]", `"x"`, "😀", "X"}

var scalars = []string{
	`"x"`, `"\u0078"`, `1`, `1.0`, `1e0`, `"1"`, `"1.0"`, `true`, `false`, `"true"`, `null`, `"null"`, `""`, `"é"`, `"\u00e9"`,
	`-0`, `0`, `12345678901234567890`, `12345678901234567891`, `"12345678901234567890"`, `"[]"`, `"\"x\""`, `"X"`,
	`"\ud83d\ude00"`, `"😀"`, `"` + strings.Repeat("x", 70) + `"`,
}

func pick[T any](g *gen, of []T) T { return of[g.IntN(len(of))] }

// model draws a model: ids of the kinds overlap, entities share titles of
// properties, relationships share their ends.
func (g *gen) model() *rule.Model {
	m := &rule.Model{}
	property := rule.ID(1)
	for i, l := range labels[:1+g.IntN(len(labels)-1)] {
		e := rule.Entity{ID: rule.ID(i + 1), Title: l.text}
		for _, n := range names[:len(names)-1] {
			if g.IntN(4) > 0 {
				e.Properties = append(e.Properties, rule.Property{ID: property, Title: n.text})
				property++
			}
		}
		m.Entities = append(m.Entities, e)
	}
	if g.IntN(8) == 0 {
		g.widen(m)
	}
	for id := range g.IntN(8) {
		m.Relationships = append(m.Relationships, rule.Relationship{
			ID: rule.ID(id + 1), From: pick(g, m.Entities).Title, To: pick(g, m.Entities).Title,
			Name: "unused", Alias: pick(g, []string{"T", "t", "É"}),
		})
	}
	g.of = m
	return m
}

// padding is the id of the first of the properties that make entities wide.
const padding rule.ID = 1000

// widen gives entities more properties than fit into a word, which no node has.
func (g *gen) widen(m *rule.Model) {
	for i := range m.Entities {
		for k := range rule.ID(60 + g.IntN(8)) {
			id := padding + 100*rule.ID(i) + k
			m.Entities[i].Properties = append(m.Entities[i].Properties, rule.Property{ID: id, Title: fmt.Sprint("padding", k)})
		}
	}
}

// pad is a rule that lists the padding before any other rule lists anything, and
// speaks for no node.
func pad(m *rule.Model) (r rule.Rule, wide bool) {
	r = rule.Rule{ID: 99, Name: "pad", Active: true}
	for i := range m.Entities {
		grant := rule.EntityGrant{ID: m.Entities[i].ID}
		for _, p := range m.Entities[i].Properties {
			if p.ID >= padding {
				grant.Properties = append(grant.Properties, p.ID)
			}
		}
		if len(grant.Properties) > 0 {
			r.Entities = append(r.Entities, grant)
			r.Conditions = append(r.Conditions, rule.Condition{Property: grant.Properties[0], Value: "never"})
		}
	}
	return r, len(r.Entities) > 0
}

// property draws an id: mostly one of the entity's own, sometimes another's or
// nobody's.
func (g *gen) property(e *rule.Entity) rule.ID {
	if len(e.Properties) == 0 || g.IntN(10) == 0 {
		return rule.ID(g.IntN(40))
	}
	return pick(g, e.Properties).ID
}

func (g *gen) rules(m *rule.Model) []rule.Rule {
	out := make([]rule.Rule, g.IntN(9))
	many := g.IntN(4) == 0 // rules ask for many values
	for i := range out {
		r := &out[i]
		if i > 0 && g.IntN(6) == 0 {
			*r = g.alike(&out[i-1], i)
			continue
		}
		*r = rule.Rule{ID: int64(100 + i), Name: fmt.Sprint("r", i), Active: g.IntN(8) > 0}
		for range g.IntN(4) {
			grant := rule.EntityGrant{ID: rule.ID(g.IntN(len(m.Entities) + 2))}
			for range g.IntN(5) {
				grant.Properties = append(grant.Properties, g.property(&m.Entities[g.IntN(len(m.Entities))]))
			}
			r.Entities = append(r.Entities, grant)
			if at := int(grant.ID) - 1; at >= 0 && at < len(m.Entities) && g.IntN(2) == 0 {
				g.conditions(r, &m.Entities[at])
				if e := &m.Entities[at]; many && len(e.Properties) > 0 {
					g.values(r, pick(g, e.Properties).ID)
				}
			}
		}
		if g.IntN(12) == 0 { // of an entity that may not be listed, or of nobody
			g.conditions(r, &rule.Entity{})
		}
		if g.IntN(8) == 0 { // shows all nodes
			for _, e := range m.Entities {
				r.Entities = append(r.Entities, rule.EntityGrant{ID: e.ID})
			}
		}
		for range g.IntN(4) {
			r.Relationships = append(r.Relationships, rule.ID(g.IntN(8)))
		}
		for range g.IntN(2) {
			r.Functions = append(r.Functions, rule.ID(g.IntN(4)))
		}
	}
	if first, wide := pad(m); wide {
		out = append([]rule.Rule{first}, out...)
	}
	return out
}

// alike is a rule with the conditions of another, which shows other properties.
func (g *gen) alike(other *rule.Rule, i int) rule.Rule {
	r := rule.Rule{ID: int64(100 + i), Name: fmt.Sprint("r", i), Active: true, Conditions: slices.Clone(other.Conditions)}
	g.Shuffle(len(r.Conditions), func(i, j int) { r.Conditions[i], r.Conditions[j] = r.Conditions[j], r.Conditions[i] })
	for _, e := range other.Entities {
		grant := rule.EntityGrant{ID: e.ID}
		for range g.IntN(4) {
			grant.Properties = append(grant.Properties, g.property(&g.of.Entities[g.IntN(len(g.of.Entities))]))
		}
		r.Entities = append(r.Entities, grant)
	}
	return r
}

// values adds conditions on many values of one property.
func (g *gen) values(r *rule.Rule, property rule.ID) {
	for _, k := range g.Perm(len(wanted))[:3+g.IntN(len(wanted)-3)] {
		r.Conditions = append(r.Conditions, rule.Condition{Property: property, Value: wanted[k]})
	}
}

func (g *gen) conditions(r *rule.Rule, e *rule.Entity) {
	for range 1 + g.IntN(3) {
		c := rule.Condition{Property: rule.ID(g.IntN(40)), Value: pick(g, wanted)}
		if len(e.Properties) > 0 {
			c.Property = pick(g, e.Properties).ID
		}
		r.Conditions = append(r.Conditions, c)
	}
}

// space draws the white space that elements are written with.
func (g *gen) space() string {
	if g.IntN(6) == 0 {
		return pick(g, []string{" ", "\n", "\t \r"})
	}
	return ""
}

func (g *gen) value() string {
	switch g.IntN(8) {
	case 0:
		items := make([]string, g.IntN(4))
		for i := range items {
			items[i] = g.space() + g.value() + g.space()
		}
		return "[" + strings.Join(items, ",") + "]"
	case 1:
		return `{"p":` + pick(g, scalars) + `,"x}":["x",{"]":"1"}]}`
	default:
		return pick(g, scalars)
	}
}

func (g *gen) properties() string {
	var parts []string
	for _, k := range g.Perm(len(names))[:g.IntN(len(names)+1)] {
		parts = append(parts, g.space()+pick(g, names[k].spelling)+g.space()+":"+g.space()+g.value()+g.space())
	}
	return "{" + g.space() + strings.Join(parts, ",") + "}"
}

func (g *gen) nodeText(id string) string {
	tokens := make([]string, g.IntN(4))
	for i := range tokens {
		tokens[i] = g.space() + pick(g, pick(g, labels).spelling) + g.space()
	}
	members := []string{`"elementId":"` + id + `"`, `"labels":[` + strings.Join(tokens, ",") + `]`, `"properties":` + g.properties()}
	g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + strings.Join(members, g.space()+",") + "}"
}

func (g *gen) relationshipText(id string, nodes int) string {
	kind := pick(g, []string{`"T"`, `"\u0054"`, `"t"`, `"É"`, `"U"`})
	from, to := pick(g, pick(g, labels).spelling), pick(g, pick(g, labels).spelling)
	if len(g.of.Relationships) > 0 && g.IntN(3) > 0 { // one of the model's
		r := pick(g, g.of.Relationships)
		kind, from, to = strconv.Quote(r.Alias), g.spell(r.From), g.spell(r.To)
	}
	members := []string{
		`"elementId":"` + id + `"`, `"type":` + kind, `"properties":` + g.properties(),
		fmt.Sprintf(`"startNodeElementId":"n%d"`, g.IntN(nodes+1)), fmt.Sprintf(`"endNodeElementId":"\u006e%d"`, g.IntN(nodes+1)),
	}
	if g.IntN(4) > 0 {
		members = append(members, `"startNodeLabel":`+from)
	}
	if g.IntN(4) > 0 {
		members = append(members, `"endNodeLabel":`+to)
	}
	g.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + strings.Join(members, ","+g.space()) + "}"
}

// spell writes a label in one of its ways.
func (g *gen) spell(label string) string {
	for _, w := range labels {
		if w.text == label {
			return pick(g, w.spelling)
		}
	}
	return strconv.Quote(label)
}

// body draws a request; some elements stand in it twice.
func (g *gen) body(kind string) (text string, nodes, rels []string) {
	list := func(n int, element func(id int) string) []string {
		var out []string
		for i := range n {
			if i > 0 && g.IntN(8) == 0 {
				out = append(out, pick(g, out))
				continue
			}
			out = append(out, element(i))
		}
		return out
	}
	n := g.IntN(9)
	if kind != "relationships" {
		nodes = list(n, func(i int) string { return g.nodeText(fmt.Sprint("n", i)) })
	}
	if kind != "nodes" {
		rels = list(g.IntN(9), func(i int) string { return g.relationshipText(fmt.Sprint("r", i), n) })
	}
	write := func(of []string) string { return "[" + strings.Join(of, g.space()+","+g.space()) + "]" }
	data := write(slices.Concat(nodes, rels))
	if kind == "graph" {
		data = `{"nodes":` + write(nodes) + `,"relationships":` + write(rels) + `}`
	}
	return `{"parameters":{"type":"` + kind + `"},"data":` + data + `}`, nodes, rels
}

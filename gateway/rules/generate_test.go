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
	for id := range g.IntN(8) {
		m.Relationships = append(m.Relationships, rule.Relationship{
			ID: rule.ID(id + 1), From: pick(g, m.Entities).Title, To: pick(g, m.Entities).Title,
			Name: "unused", Alias: pick(g, []string{"T", "t", "É"}),
		})
	}
	g.of = m
	return m
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
	for i := range out {
		r := &out[i]
		*r = rule.Rule{ID: int64(100 + i), Name: fmt.Sprint("r", i), Active: g.IntN(8) > 0}
		for range g.IntN(4) {
			grant := rule.EntityGrant{ID: rule.ID(g.IntN(len(m.Entities) + 2))}
			for range g.IntN(5) {
				grant.Properties = append(grant.Properties, g.property(&m.Entities[g.IntN(len(m.Entities))]))
			}
			r.Entities = append(r.Entities, grant)
			if at := int(grant.ID) - 1; at >= 0 && at < len(m.Entities) && g.IntN(2) == 0 {
				g.conditions(r, &m.Entities[at])
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
	return out
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

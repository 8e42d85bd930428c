package workertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/muster-fleet/muster/workers/element"
)

// graphUUID is the database part of made-up element ids, which look like Neo4j's.
const graphUUID = "1d78d5ba-072c-4cfa-96c7-dda7da1c5620"

// member is a property: two JSON texts.
type member struct{ name, value string }

// template is an element without an id, from which elements are made.
type template struct {
	kind    element.Kind
	head    string // the members between elementId and properties, with a comma after each
	members []member
}

// newTemplate reads an element of the contract's shape.
func newTemplate(kind element.Kind, raw []byte) (template, error) {
	var s element.Single
	raw = bytes.TrimSpace(raw)
	n, err := s.Element(raw, kind, 0)
	if err != nil {
		return template{}, fmt.Errorf("not an element of the contract: %w", err)
	}
	if n != len(raw) {
		return template{}, errors.New("something follows the element")
	}
	v := s.View()
	t := template{kind: kind}
	if kind == element.Nodes {
		t.head = `"labels":` + string(v.LabelsRaw()) + `,`
	} else {
		t.head = relationshipHead(string(v.Type()), string(v.Start()), string(v.End()),
			string(v.StartLabel()), string(v.EndLabel()))
	}
	for i := range v.PropertyCount() {
		p := v.Property(i)
		t.members = append(t.members, member{string(p.Name), string(p.Value)})
	}
	return t, nil
}

func relationshipHead(name, start, end, startLabel, endLabel string) string {
	return `"type":` + quote(name) + `,"startNodeElementId":` + quote(start) + `,"endNodeElementId":` + quote(end) +
		`,"startNodeLabel":` + quote(startLabel) + `,"endNodeLabel":` + quote(endLabel) + `,`
}

// quote returns a string as JSON text.
func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		// A string always has a JSON text.
		return `""`
	}
	return string(text)
}

// element writes an element with an id (JSON text) and further properties, which
// take the place of the template's own of the same name.
func (t template) element(id string, more ...member) string {
	var b strings.Builder
	b.WriteString(`{"elementId":` + id + `,` + t.head + `"properties":{`)
	sep := ""
	write := func(m member) {
		b.WriteString(sep + m.name + ":" + m.value)
		sep = ","
	}
	for _, m := range t.members {
		if !hasName(more, m.name) {
			write(m)
		}
	}
	for _, m := range more {
		write(m)
	}
	b.WriteString("}}")
	return b.String()
}

func hasName(list []member, name string) bool {
	for _, m := range list {
		if element.Equal([]byte(m.name), []byte(name)) {
			return true
		}
	}
	return false
}

// population makes the elements of a run: the suite's own, of many labels, types
// and values so that a policy tells them apart, and the author's samples.
type population struct {
	rng       *rand.Rand
	templates map[element.Kind][]template
	samples   map[element.Kind][]template
}

func newPopulation(o Options, seed uint64) (*population, error) {
	p := &population{
		rng:       rand.New(rand.NewPCG(seed, seed^0x9E3779B97F4A7C15)), // repeatable on purpose
		templates: map[element.Kind][]template{element.Nodes: ownNodes(), element.Relationships: ownRelationships()},
		samples:   map[element.Kind][]template{},
	}
	for kind, list := range map[element.Kind][]json.RawMessage{
		element.Nodes: o.Nodes, element.Relationships: o.Relationships,
	} {
		for _, raw := range list {
			t, err := newTemplate(kind, raw)
			if err != nil {
				return nil, err
			}
			p.samples[kind] = append(p.samples[kind], t)
		}
	}
	return p, nil
}

func ownNodes() (list []template) {
	labels := []string{
		`["Public"]`, `["Person"]`, `["Document"]`, `["Secret"]`, `["Person","Employee"]`, `["Order"]`, `["Benchmark"]`, `[]`,
	}
	properties := [][]member{
		{{`"name"`, `"n-1"`}, {`"key1"`, `"value1"`}, {`"key2"`, `"value2"`}},
		{{`"name"`, `"n-2"`}, {`"ssn"`, `"123-45-6789"`}, {`"department"`, `"research"`}, {`"age"`, `42`}},
		{{`"title"`, `"t"`}, {`"confidential"`, `true`}, {`"classification"`, `"internal"`}},
		{},
	}
	for _, l := range labels {
		for _, p := range properties {
			list = append(list, template{kind: element.Nodes, head: `"labels":` + l + `,`, members: p})
		}
	}
	return list
}

func ownRelationships() (list []template) {
	ends := [][2]string{{"Person", "Document"}, {"Document", "Document"}, {"Person", "Secret"}, {"Public", "Order"}}
	properties := [][]member{
		{{`"key1"`, `"value1"`}, {`"key2"`, `"value2"`}},
		{{`"since"`, `2019`}, {`"ssn"`, `"123-45-6789"`}, {`"confidential"`, `false`}},
		{},
	}
	for _, name := range []string{"CONTAINS", "REQUIRES", "KNOWS", "SECRET"} {
		for _, e := range ends {
			for i, p := range properties {
				head := relationshipHead(name, nodeID(i), nodeID(i+1), e[0], e[1])
				list = append(list, template{kind: element.Relationships, head: head, members: p})
			}
		}
	}
	return list
}

func nodeID(i int) string { return "4:" + graphUUID + ":" + strconv.Itoa(i) }

// elementID returns the JSON text of an id as a graph database makes them.
func elementID(kind element.Kind, i int) string {
	if kind == element.Nodes {
		return quote(nodeID(i))
	}
	return quote("5:" + graphUUID + ":" + strconv.Itoa(i))
}

// all returns every template of a kind, the author's first.
func (p *population) all(kind element.Kind) []template {
	return append(append([]template(nil), p.samples[kind]...), p.templates[kind]...)
}

// batch returns n elements with ids from first on, of templates in turn with a
// random property, so that no two are alike.
func (p *population) batch(kind element.Kind, first, n int) []string {
	list := p.all(kind)
	out := make([]string, n)
	for i := range out {
		out[i] = list[i%len(list)].element(elementID(kind, first+i),
			member{`"rank"`, strconv.Itoa(p.rng.IntN(1 << 20))})
	}
	return out
}

// with returns one element per template and value, each with the value under the
// property "probe".
func (p *population) with(kind element.Kind, values []string) (elements []string) {
	list := p.all(kind)
	for i, t := range list {
		for j, v := range values {
			elements = append(elements, t.element(elementID(kind, i*len(values)+j), member{`"probe"`, v}))
		}
	}
	return elements
}

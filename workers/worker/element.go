package worker

import (
	"bytes"
	"iter"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/muster-fleet/muster/workers/element"
)

// Kind says what an element is.
type Kind = element.Kind

// The kinds.
const (
	Nodes         = element.Nodes
	Relationships = element.Relationships
)

// Element is one node or relationship. It aliases the request: neither it nor
// what its methods return may be changed, and only strings may be kept after the
// function it was given to has returned. Safe for concurrent readers.
type Element struct {
	kind Kind
	raw  []byte
}

// Kind returns Nodes or Relationships.
func (e Element) Kind() Kind { return e.kind }

// Raw returns the element's own JSON text.
func (e Element) Raw() []byte { return e.raw }

// ID returns the elementId.
func (e Element) ID() string { return e.text("elementId") }

// Labels returns a node's labels; nil for a relationship.
func (e Element) Labels() []string {
	if e.kind != Nodes {
		return nil
	}
	var labels []string
	d := decoder(e.member("labels"))
	if _, err := d.ReadToken(); err != nil {
		return nil
	}
	for d.PeekKind() == '"' {
		t, err := d.ReadToken()
		if err != nil {
			return nil
		}
		labels = append(labels, t.String())
	}
	return labels
}

// HasLabel reports whether a node carries a label, or a relationship touches a
// node that carries it.
func (e Element) HasLabel(label string) bool {
	if e.kind == Relationships {
		return e.StartLabel() == label || e.EndLabel() == label
	}
	for _, l := range e.Labels() {
		if l == label {
			return true
		}
	}
	return false
}

// Type returns a relationship's type; empty for a node.
func (e Element) Type() string { return e.ofRelationship("type") }

// StartID returns the elementId of the node a relationship begins at.
func (e Element) StartID() string { return e.ofRelationship("startNodeElementId") }

// EndID returns the elementId of the node a relationship ends at.
func (e Element) EndID() string { return e.ofRelationship("endNodeElementId") }

// StartLabel returns the label of the node a relationship begins at; empty when
// the request leaves it out.
func (e Element) StartLabel() string { return e.ofRelationship("startNodeLabel") }

// EndLabel returns the label of the node a relationship ends at; empty when the
// request leaves it out.
func (e Element) EndLabel() string { return e.ofRelationship("endNodeLabel") }

// Property returns a property's value; ok is false when the element has none of
// that name. A property that is there and null is there: its Kind is Null.
func (e Element) Property(name string) (v Value, ok bool) {
	for raw, value := range e.rawProperties() {
		if nameIs(raw, name) {
			return Value{raw: value}, true
		}
	}
	return Value{}, false
}

// Properties yields the properties in the order they came.
func (e Element) Properties() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for name, value := range e.rawProperties() {
			if !yield(unquote(name), Value{raw: value}) {
				return
			}
		}
	}
}

func (e Element) ofRelationship(name string) string {
	if e.kind != Relationships {
		return ""
	}
	return e.text(name)
}

func (e Element) text(name string) string {
	raw := e.member(name)
	if len(raw) == 0 || raw[0] != '"' {
		return ""
	}
	return unquote(raw)
}

// member returns the text of one of the element's own members.
func (e Element) member(name string) []byte {
	for raw, value := range members(e.raw) {
		if nameIs(raw, name) {
			return value
		}
	}
	return nil
}

// rawProperties yields the texts of the properties' names and values.
func (e Element) rawProperties() iter.Seq2[[]byte, []byte] { return members(e.member("properties")) }

// propertiesAt returns where the properties object lies in Raw.
func (e Element) propertiesAt() (from, to int) {
	p := e.member("properties")
	from = cap(e.raw) - cap(p)
	return from, from + len(p)
}

// members yields the texts of an object's names and values, as slices of it.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		d := decoder(object)
		next := func() []byte {
			v, err := d.ReadValue()
			if err != nil {
				return nil
			}
			to := int(d.InputOffset())
			return object[to-len(v) : to]
		}
		if _, err := d.ReadToken(); err != nil {
			return
		}
		for d.PeekKind() == '"' {
			name, value := next(), next()
			if value == nil || !yield(name, value) {
				return
			}
		}
	}
}

func decoder(text []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))
}

func nameIs(raw []byte, name string) bool {
	if bytes.IndexByte(raw, '\\') < 0 {
		return len(raw) == len(name)+2 && string(raw[1:len(raw)-1]) == name
	}
	return unquote(raw) == name
}

package worker

import (
	"fmt"
	"iter"

	"github.com/muster-fleet/muster/workers/element"
)

// Kind says what an element is.
type Kind = element.Kind

// The kinds.
const (
	Nodes         = element.Nodes
	Relationships = element.Relationships
)

// Element is one node or relationship, validated. It is a small value that
// aliases the request's body: what its methods return must not be changed, and
// keeping an Element keeps the whole body in memory. Safe for concurrent readers.
type Element struct {
	view element.View
}

// ParseElement reads one element of the contract's shape, such as a test of an
// author's function needs. The Element keeps raw, which must not change.
func ParseElement(kind Kind, raw []byte) (Element, error) {
	b, err := element.ParseElements(kind, 0, raw, []uint32{0}, []uint32{uint32(len(raw))})
	if err != nil {
		return Element{}, fmt.Errorf("worker: not an element of the contract: %w", err)
	}
	return Element{view: b.View(0)}, nil
}

// Kind returns Nodes or Relationships.
func (e Element) Kind() Kind { return e.view.Kind() }

// Raw returns the element's own JSON text, as the caller wrote it.
func (e Element) Raw() []byte { return e.view.Raw() }

// ID returns the elementId. It names the element within this request only: a
// graph that is rebuilt gives other ids, so no decision should be kept under it.
func (e Element) ID() string { return string(e.view.ID()) }

// Labels returns a node's labels; nil for a relationship.
func (e Element) Labels() []string {
	var labels []string
	for token := range e.view.Labels() {
		labels = append(labels, string(element.AppendText(nil, token)))
	}
	return labels
}

// HasLabel reports whether a node carries a label, or a relationship begins or
// ends at a node whose label the request gives as this one.
func (e Element) HasLabel(label string) bool {
	if e.Kind() == Relationships {
		return string(e.view.StartLabel()) == label || string(e.view.EndLabel()) == label
	}
	for token := range e.view.Labels() {
		if element.TextEqual(token, label) {
			return true
		}
	}
	return false
}

// Type returns a relationship's type; empty for a node.
func (e Element) Type() string { return string(e.view.Type()) }

// StartID returns the elementId of the node a relationship begins at; empty for a
// node.
func (e Element) StartID() string { return string(e.view.Start()) }

// EndID returns the elementId of the node a relationship ends at; empty for a node.
func (e Element) EndID() string { return string(e.view.End()) }

// StartLabel returns the label of the node a relationship begins at; empty for a
// node and when the request leaves it out.
func (e Element) StartLabel() string { return string(e.view.StartLabel()) }

// EndLabel returns the label of the node a relationship ends at; empty for a node
// and when the request leaves it out.
func (e Element) EndLabel() string { return string(e.view.EndLabel()) }

// Property returns a property's value; ok is false when the element has none of
// that name. A property that is there and null is there: its Kind is Null.
func (e Element) Property(name string) (v Value, ok bool) {
	for i := range e.view.PropertyCount() {
		if p := e.view.Property(i); element.TextEqual(p.Name, name) {
			return Value{raw: p.Value}, true
		}
	}
	return Value{}, false
}

// Properties yields the properties in the order they came.
func (e Element) Properties() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for i := range e.view.PropertyCount() {
			p := e.view.Property(i)
			if !yield(string(element.AppendText(nil, p.Name)), Value{raw: p.Value}) {
				return
			}
		}
	}
}

// Batch is the elements of one request, or of a part of one, all of one kind. It
// aliases the request's body, as Element does. An element that a request repeats
// byte for byte is in the batch once; its verdict holds for every repetition.
type Batch struct {
	b *element.Batch
}

// Kind returns what the elements are.
func (b Batch) Kind() Kind { return b.b.Kind() }

// Len returns how many elements the batch has; at least 1 when it is given to a
// BatchFunc.
func (b Batch) Len() int { return b.b.Len() }

// At returns element i, counted from 0.
func (b Batch) At(i int) Element { return Element{view: b.b.View(i)} }

// All yields the elements in their order.
func (b Batch) All() iter.Seq2[int, Element] {
	return func(yield func(int, Element) bool) {
		for i := range b.Len() {
			if !yield(i, b.At(i)) {
				return
			}
		}
	}
}

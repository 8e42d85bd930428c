package rule

import "sync/atomic"

// ID is the number of an entity, a property, a relationship or a function. It is
// at least 0 and at most MaxID. Numbers are unique per kind only: an entity, a
// property and a relationship may share one.
type ID int64

// MaxID is the largest id: every JSON reader keeps integers up to it exactly.
const MaxID ID = 1<<53 - 1

// Model is the graph model. It must not be changed once it is in a snapshot or
// has been asked about rules; models are compared with Equal.
type Model struct {
	Entities      []Entity
	Relationships []Relationship

	indexed atomic.Pointer[modelIndex]
}

// Entity is a kind of node: its title is the label.
type Entity struct {
	ID         ID
	Title      string
	Properties []Property
}

// Property is one property of an entity: its title is the property's name.
type Property struct {
	ID    ID
	Title string
}

// Relationship is a kind of relationship. In the graph it is startNodeLabel,
// type and endNodeLabel: From, Alias and To.
type Relationship struct {
	ID       ID
	From, To string
	Name     string
	Alias    string
}

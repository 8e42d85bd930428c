// Package element reads the bodies of the filter contract: nodes and
// relationships as they travel, each element's own bytes kept. It is the one
// reader of such bodies: the gateway and the worker SDK both use it. It needs no
// cgo.
package element

// Kind says what the elements of a batch are.
type Kind uint8

// The kinds.
const (
	Nodes Kind = iota + 1
	Relationships
)

// Key returns the kind's name on the wire, which is both parameters.type and
// the member of result: "nodes" or "relationships".
func (k Kind) Key() string {
	switch k {
	case Nodes:
		return "nodes"
	case Relationships:
		return "relationships"
	default:
		return "unknown"
	}
}

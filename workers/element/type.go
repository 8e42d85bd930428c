package element

// Type is parameters.type of a filter body: what its data holds.
type Type uint8

// The types.
const (
	TypeNodes Type = iota + 1
	TypeRelationships
	// TypeGraph is data with both lists; relationships are closed over its nodes.
	TypeGraph
)

// String returns the type's name on the wire.
func (t Type) String() string {
	switch t {
	case TypeNodes:
		return "nodes"
	case TypeRelationships:
		return "relationships"
	case TypeGraph:
		return "graph"
	default:
		return "unknown"
	}
}

func typeOf(name []byte) (Type, bool) {
	switch string(name) {
	case "nodes":
		return TypeNodes, true
	case "relationships":
		return TypeRelationships, true
	case "graph":
		return TypeGraph, true
	default:
		return 0, false
	}
}

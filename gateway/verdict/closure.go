package verdict

import (
	"math/bits"

	"github.com/muster-fleet/muster/workers/element"
)

// Graph says which nodes of a batch a relationship connects; ok is false when
// one of them is not in the batch. element.Request and element.Stream are Graphs.
type Graph interface {
	Ends(relationship int) (start, end int, ok bool)
}

// Close hides the relationships of which an end is hidden or not in the batch:
// both look alike. It does nothing unless the request is of the type graph.
// Closing twice is closing once.
func Close(req *element.Request, nodes, rels *Set) {
	if req.Type == element.TypeGraph {
		CloseOver(req, nodes, rels)
	}
}

// CloseOver is Close for anything that knows the ends.
func CloseOver(g Graph, nodes, rels *Set) {
	hidden := false
	for w, word := range rels.visible {
		for rest := word; rest != 0; rest &= rest - 1 {
			i := w<<6 + bits.TrailingZeros64(rest)
			start, end, ok := g.Ends(i)
			if !ok || !nodes.Visible(start) || !nodes.Visible(end) {
				word &^= rest & -rest
				hidden = true
			}
		}
		rels.visible[w] = word
	}
	if hidden {
		rels.settle()
	}
}

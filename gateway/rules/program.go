package rules

import (
	"maps"
	"slices"
	"sync"

	"github.com/muster-fleet/muster/registry/rule"
)

// Program is what the rules of one principal say, ready to be asked. It does not
// change and is safe for concurrent use.
type Program struct {
	ordered   []*label           // the entities that a rule lists, by index
	titles    titles             // the same, by their titles
	names     *titles            // of all properties that the model has
	kinds     map[string]*kindOf // relationships that a rule lists, by type
	ends      map[string]int32   // labels that they begin or end with -> index
	functions map[rule.ID]bool
	ids       []int64 // ids of the rules, by their numbers in this program
	size      int     // rough bytes of everything
	deciders  sync.Pool
}

// triple is what a relationship is known by.
type triple struct{ from, kind, to string }

// relation is a relationship that some rule lists.
type relation struct {
	end   int32   // the index of the end label
	rules []int32 // numbers of the rules that list it
}

// kindOf is the relationships of one type: by the index of the start label, sorted
// by that of the end label.
type kindOf struct {
	number int
	starts map[int32][]*relation
}

// label is what the rules say of nodes with one label.
type label struct {
	index  int
	title  string
	names  []string // titles of the properties that rules name, by number
	places []int32  // the same titles' numbers among those of the model
	sets   []set    // distinct sets of properties
	open   bool     // some rule speaks for every node with this label
	base   int32    // the set that such rules give
	// always are the rules behind base.
	always []int32
	groups []group
}

// group is the conditions on one property, by value.
type group struct {
	prop    int32
	values  values
	entries []entry // by what values finds
	tokens  []token // the values as strings are usually written; nil when there are many
}

// entry is what rules say of nodes in which a property has one value.
type entry struct {
	set     int32   // given by rules without further conditions; -1 when there is none
	rules   []int32 // those rules
	clauses []clause
}

// clause is rules that give one set and have the same conditions on further
// properties; there may be none.
type clause struct {
	rules []int32
	set   int32
	rest  []test
}

// test holds when the property has one of the values.
type test struct {
	prop   int32
	values choice
}

// set is a set of properties by their numbers. Most labels have no more than 64
// that rules name; of wide ones most rules list few, so that a set takes no more
// room than the rule's list.
type set struct {
	head uint64  // the first 64
	tail []int32 // the others, ascending
}

// Empty reports whether the principal can see nothing at all.
func (p *Program) Empty() bool { return len(p.ordered)+len(p.kinds) == 0 }

// Rules returns how many rules the program was made of: those that grant
// something.
func (p *Program) Rules() int { return len(p.ids) }

// Size returns roughly how many bytes the program holds, those of the rules' own
// texts that it shares included.
func (p *Program) Size() int { return p.size }

// Function reports whether a rule grants the function to the principal.
func (p *Program) Function(id rule.ID) bool { return p.functions[id] }

// Functions returns the ids of all functions that are granted, ascending.
func (p *Program) Functions() []rule.ID { return slices.Sorted(maps.Keys(p.functions)) }

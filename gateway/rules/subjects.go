package rules

import (
	"container/list"
	"encoding/binary"
	"slices"
	"sync"
	"weak"

	"github.com/muster-fleet/muster/registry/rule"
)

// namedSubjects remembers of principals which of their subjects rules name. Of
// the groups of most people rules name few, and programs are kept for these.
type namedSubjects struct {
	mu    sync.Mutex
	known map[string]*list.Element // of *named, by all subjects
	used  *list.List               // used last at the front
	bytes int
}

// named are the subjects that rules name.
type named struct {
	rule.Subjects
	key string // of these

	all  string // the key of all subjects
	from weak.Pointer[rule.Set]
}

// Bounds of what is remembered: principals, and bytes of their keys.
const (
	maxNamed      = 1 << 16
	maxNamedBytes = 32 << 20
)

func newNamedSubjects() namedSubjects {
	return namedSubjects{known: map[string]*list.Element{}, used: list.New()}
}

// of returns those of the subjects that rules of a set name; key is that of all
// of them.
func (n *namedSubjects) of(set *rule.Set, sub rule.Subjects, key string) *named {
	n.mu.Lock()
	at := n.known[key]
	if at != nil {
		x, _ := at.Value.(*named)
		if x.from == weak.Make(set) {
			n.used.MoveToFront(at)
			n.mu.Unlock()
			return x
		}
	}
	n.mu.Unlock()
	x := &named{Subjects: set.Named(sub), all: key, from: weak.Make(set)}
	x.key = keyOfSubjects(x.Subjects)
	n.put(x)
	return x
}

func (n *namedSubjects) put(x *named) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at := n.known[x.all]; at != nil {
		n.drop(at)
	}
	n.known[x.all] = n.used.PushFront(x)
	n.bytes += x.size()
	for n.used.Len() > maxNamed || n.bytes > maxNamedBytes && n.used.Len() > 1 {
		n.drop(n.used.Back())
	}
}

func (n *namedSubjects) drop(at *list.Element) {
	x, _ := n.used.Remove(at).(*named)
	delete(n.known, x.all)
	n.bytes -= x.size()
}

// size is about how many bytes it takes.
func (x *named) size() int { return 256 + len(x.all) + len(x.key) + 16*len(x.Groups) }

// keyOfSubjects writes subjects so that different ones differ.
func keyOfSubjects(sub rule.Subjects) string {
	groups := sub.Groups
	if !slices.IsSorted(groups) {
		groups = slices.Clone(groups)
		slices.Sort(groups)
	}
	size := len(sub.User) + len(sub.Client) + 4
	for _, g := range groups {
		size += len(g) + 2
	}
	key := make([]byte, 0, size)
	key = appendText(key, sub.User)
	key = appendText(key, sub.Client)
	for i, g := range groups {
		if i == 0 || g != groups[i-1] {
			key = appendText(key, g)
		}
	}
	return string(key)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

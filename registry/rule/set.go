package rule

import (
	"cmp"
	"iter"
	"slices"
	"sync"

	"github.com/tidwall/btree"
)

// Set is an immutable set of rules, found by id, by name and by subject. With
// makes another one that shares what is the same, so a change costs in proportion
// to the change, however many rules there are and however many name one group.
// Reading takes no lock. The zero value and nil are empty sets.
type Set struct {
	forking sync.Mutex // a tree notes that it was copied
	byID    *tree[*Packed]
	byName  *tree[*Packed]
	// bySubject has one entry for each rule and subject, ordered by subject, then
	// by id: a subject's rules are a range.
	bySubject [subjectKinds]*tree[entry]
}

type tree[T any] = btree.BTreeG[T]

// entry says that a rule names a subject.
type entry struct {
	key  string
	rule *Packed
}

// probe is a rule to search with.
func probe(id int64) *Packed { return &Packed{id: id} }

func newTree[T any](less func(a, b T) bool) *tree[T] {
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
}

func lessID(a, b *Packed) bool   { return a.id < b.id }
func lessName(a, b *Packed) bool { return a.Name() < b.Name() }

func lessEntry(a, b entry) bool {
	if a.key != b.key {
		return a.key < b.key
	}
	return a.rule.id < b.rule.id
}

// SetOf makes a set of rules with distinct ids above 0 and distinct names.
func SetOf(rules ...Rule) *Set { return (*Set)(nil).With(rules, nil) }

// Len is how many rules there are.
func (s *Set) Len() int {
	if s == nil || s.byID == nil {
		return 0
	}
	return s.byID.Len()
}

// Get returns the rule with this id.
func (s *Set) Get(id int64) (Rule, bool) {
	p := s.Packed(id)
	if p == nil {
		return Rule{}, false
	}
	return p.Rule(), true
}

// Packed returns the rule with this id, or nil.
func (s *Set) Packed(id int64) *Packed {
	if s.Len() == 0 {
		return nil
	}
	p, _ := s.byID.Get(probe(id))
	return p
}

// ByName returns the rule with this name.
func (s *Set) ByName(name string) (Rule, bool) {
	p := s.PackedByName(name)
	if p == nil {
		return Rule{}, false
	}
	return p.Rule(), true
}

// PackedByName returns the rule with this name, or nil.
func (s *Set) PackedByName(name string) *Packed {
	if s.Len() == 0 {
		return nil
	}
	p, _ := s.byName.Get(&Packed{data: string(appendString(nil, name))})
	return p
}

// For yields the active rules that name one of the subjects, each once, in the
// order of their ids.
func (s *Set) For(sub Subjects) iter.Seq[Rule] {
	return func(yield func(Rule) bool) {
		for _, p := range s.PackedFor(sub) {
			if !yield(p.Rule()) {
				return
			}
		}
	}
}

// PackedFor lists the active rules that name one of the subjects, each once, in
// the order of their ids.
func (s *Set) PackedFor(sub Subjects) []*Packed {
	var all []*Packed
	lists := 0
	sub.each(func(kind subjectKind, key string) {
		before := len(all)
		for p := range s.of(kind, key, 0) {
			if p.Active() {
				all = append(all, p)
			}
		}
		if len(all) > before {
			lists++
		}
	})
	if lists > 1 {
		slices.SortFunc(all, func(a, b *Packed) int { return cmp.Compare(a.id, b.id) })
		all = slices.Compact(all)
	}
	return all
}

// Named returns those of the subjects that some rule names, groups sorted and each
// once. Two principals of whom the same is named have the same rules.
func (s *Set) Named(sub Subjects) Subjects {
	var out Subjects
	sub.each(func(kind subjectKind, key string) {
		for range s.of(kind, key, 0) {
			switch kind {
			case byUser:
				out.User = key
			case byGroup:
				out.Groups = append(out.Groups, key)
			default:
				out.Client = key
			}
			break
		}
	})
	slices.Sort(out.Groups)
	out.Groups = slices.Compact(out.Groups)
	return out
}

// each visits the subjects as the index has them.
func (sub *Subjects) each(visit func(kind subjectKind, key string)) {
	one := func(kind subjectKind, key string) {
		if key != "" {
			visit(kind, key)
		}
	}
	one(byUser, sub.User)
	for _, g := range sub.Groups {
		one(byGroup, g)
	}
	one(byClient, sub.Client)
}

// of are the rules that name a subject, with ids above after, in their order.
func (s *Set) of(kind subjectKind, key string, after int64) iter.Seq[*Packed] {
	return func(yield func(*Packed) bool) {
		if s.Len() == 0 {
			return
		}
		s.bySubject[kind].Ascend(entry{key, probe(after + 1)}, func(e entry) bool {
			return e.key == key && yield(e.rule)
		})
	}
}

// All yields the rules with ids above after, in the order of their ids.
func (s *Set) All(after int64) iter.Seq[Rule] {
	return func(yield func(Rule) bool) {
		for p := range s.AllPacked(after) {
			if !yield(p.Rule()) {
				return
			}
		}
	}
}

// AllPacked is All without unpacking.
func (s *Set) AllPacked(after int64) iter.Seq[*Packed] {
	return func(yield func(*Packed) bool) {
		if s.Len() == 0 {
			return
		}
		s.byID.Ascend(probe(after+1), yield)
	}
}

// With returns the set after rules were deleted and then others put, in place of
// those with their ids. Ids that are not there may be deleted. It is safe for
// concurrent use.
func (s *Set) With(changed []Rule, deleted []int64) *Set {
	packed := make([]*Packed, len(changed))
	for i := range changed {
		packed[i] = Pack(&changed[i])
	}
	return s.WithPacked(packed, SpansOf(deleted))
}

// WithPacked is With for rules that are packed already, and for all ids in some
// spans.
func (s *Set) WithPacked(changed []*Packed, deleted []Span) *Set {
	if s.Len() == 0 {
		return build(slices.Clone(changed))
	}
	gone := s.within(deleted)
	if len(changed)+len(gone) > max(s.Len(), 1000) {
		return s.rebuilt(changed, gone)
	}
	next := s.fork()
	for _, id := range gone {
		next.remove(id)
	}
	for _, p := range changed {
		next.remove(p.id)
		next.put(p)
	}
	return next
}

// within lists the ids in some spans that are there, in order.
func (s *Set) within(spans []Span) []int64 {
	var ids []int64
	for _, span := range spans {
		s.byID.Ascend(probe(span.First), func(p *Packed) bool {
			if p.id > span.Last {
				return false
			}
			ids = append(ids, p.id)
			return true
		})
	}
	return ids
}

// rebuilt is WithPacked for a change larger than the set.
func (s *Set) rebuilt(changed []*Packed, deleted []int64) *Set {
	gone := make(map[int64]struct{}, len(deleted))
	for _, id := range deleted {
		gone[id] = struct{}{}
	}
	all := make([]*Packed, 0, s.Len()+len(changed))
	for p := range s.AllPacked(0) {
		if _, is := gone[p.id]; !is {
			all = append(all, p)
		}
	}
	return build(append(all, changed...))
}

// fork returns a set of the same rules that may be changed.
func (s *Set) fork() *Set {
	s.forking.Lock()
	defer s.forking.Unlock()
	next := &Set{byID: s.byID.Copy(), byName: s.byName.Copy()}
	for kind, t := range s.bySubject {
		next.bySubject[kind] = t.Copy()
	}
	return next
}

func (s *Set) put(p *Packed) {
	s.byID.Set(p)
	s.byName.Set(p)
	p.subjects(func(kind subjectKind, key string) { s.bySubject[kind].Set(entry{key, p}) })
}

func (s *Set) remove(id int64) {
	old, there := s.byID.Delete(probe(id))
	if !there {
		return
	}
	s.byName.Delete(old)
	old.subjects(func(kind subjectKind, key string) { s.bySubject[kind].Delete(entry{key, old}) })
}

// build makes a set from scratch, which in the order of the keys takes less time
// and memory than putting. It keeps the last one of an id.
func build(all []*Packed) *Set {
	s := &Set{byID: newTree(lessID), byName: newTree(lessName)}
	slices.SortStableFunc(all, func(a, b *Packed) int { return cmp.Compare(a.id, b.id) })
	all = lastOfEach(all)
	for _, p := range all {
		s.byID.Load(p)
	}
	for kind := range subjectKinds {
		s.bySubject[kind] = indexSubjects(all, kind)
	}
	slices.SortFunc(all, func(a, b *Packed) int { return cmp.Compare(a.Name(), b.Name()) })
	for _, p := range all {
		s.byName.Load(p)
	}
	return s
}

func lastOfEach(all []*Packed) []*Packed {
	kept := all[:0]
	for i, p := range all {
		if i == len(all)-1 || all[i+1].id != p.id {
			kept = append(kept, p)
		}
	}
	return kept
}

func indexSubjects(all []*Packed, wanted subjectKind) *tree[entry] {
	var entries []entry
	for _, p := range all {
		p.subjects(func(kind subjectKind, key string) {
			if kind == wanted {
				entries = append(entries, entry{key, p})
			}
		})
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.rule.id, b.rule.id))
	})
	t := newTree(lessEntry)
	for _, e := range entries {
		t.Load(e)
	}
	return t
}

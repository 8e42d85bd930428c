package verdict

import (
	"slices"

	"github.com/muster-fleet/muster/workers/element"
)

// forms is the dense part of a set: rules strip properties of most elements, and
// of neighbours the same, so an element has the number of a form instead of a
// list of names. It never changes and is shared by sets. What it says of elements
// that are not visible does not count.
type forms struct {
	sel *element.Selection
	// batch is what the positions of the forms are of; nil when the elements are
	// gone, and only names can be used.
	batch *element.Batch
}

// Select returns the verdicts that leave a selection of a batch. Both must stay
// as they are while the set, or one that was met with it, is used. batch is nil
// for elements that are gone; the selection's forms have names then.
func Select(sel *element.Selection, batch *element.Batch) *Set {
	s := &Set{n: sel.Len(), visible: slices.Clone(sel.Words())}
	if len(sel.Forms()) > 1 {
		s.forms = &forms{sel, batch}
	}
	return s
}

// of returns the form of element i; nil when it has none.
func (f *forms) of(i int) *element.Form {
	if f == nil {
		return nil
	}
	return f.sel.Form(i)
}

// names returns what the form of element i strips, sorted.
func (f *forms) names(i int) []string {
	form := f.of(i)
	if form == nil {
		return nil
	}
	names, ok := form.Stripped()
	if ok {
		return names
	}
	v := f.batch.View(i)
	for j := range v.PropertyCount() {
		if !form.Keeps(j) {
			names = append(names, string(element.AppendText(nil, v.Property(j).Name)))
		}
	}
	slices.Sort(names)
	return names
}

// formStrips reports whether the form of element i strips a property.
func (s *Set) formStrips(i int, name string) bool {
	if s.forms.of(i) == nil {
		return false
	}
	_, found := slices.BinarySearch(s.forms.names(i), name)
	return found
}

// stripNames returns all properties stripped of visible element i, sorted. The
// slice must not be changed.
func (s *Set) stripNames(i int) []string {
	from, to := 0, 0
	if len(s.strips) > 0 {
		from, to = stripRange(s.strips, uint32(i))
	}
	names := s.forms.names(i)
	if from == to {
		return names
	}
	all := slices.Clone(names)
	for _, x := range s.strips[from:to] {
		all = append(all, x.Name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// spelled returns the strips of element i, those of its form included.
func (s *Set) spelled(dst []Strip, i int) []Strip {
	if !s.Visible(i) {
		return dst
	}
	for _, name := range s.stripNames(i) {
		dst = append(dst, Strip{uint32(i), name})
	}
	return dst
}

// spell turns the forms into strips, one by one.
func (s *Set) spell() {
	if s.forms != nil {
		s.strips, s.forms = s.Strips(), nil
	}
}

// Marked reports whether any element may be stripped or masked; it may say so
// where none is.
func (s *Set) Marked() bool { return s.forms != nil || len(s.strips)+len(s.masks) > 0 }

// Counts returns how many elements are visible, and of how many of these
// properties are stripped or masked.
func (s *Set) Counts() (visible, stripped, masked int) {
	visible = s.CountVisible()
	last := -1
	for _, m := range s.masks {
		if i := int(m.Ordinal); i != last && s.Visible(i) {
			masked, last = masked+1, i
		}
	}
	if s.forms == nil {
		last = -1
		for _, x := range s.strips {
			if i := int(x.Ordinal); i != last && s.Visible(i) {
				stripped, last = stripped+1, i
			}
		}
		return visible, stripped, masked
	}
	at := 0
	for i := range s.n {
		for at < len(s.strips) && int(s.strips[at].Ordinal) < i {
			at++
		}
		if s.Visible(i) && (s.forms.of(i) != nil || at < len(s.strips) && int(s.strips[at].Ordinal) == i) {
			stripped++
		}
	}
	return visible, stripped, masked
}

// meetForms joins two dense parts over n elements; each may be nil.
func meetForms(a, b *forms, n int) *forms {
	switch {
	case a == nil || a == b:
		return b
	case b == nil:
		return a
	}
	m := formMeeter{a: a, b: b, out: &forms{sel: &element.Selection{}}, known: map[[2]uint32]uint32{}}
	if a.batch == b.batch {
		m.out.batch = a.batch
	}
	m.out.sel.Reset(n)
	for i := range n {
		if k := m.number(i); k != 0 {
			m.out.sel.Show(i, k)
		}
	}
	return m.out
}

// formMeeter joins forms in pairs.
type formMeeter struct {
	a, b, out *forms
	known     map[[2]uint32]uint32
}

// number gives what both leave of element i its number in out; 0 for all of it.
func (m *formMeeter) number(i int) uint32 {
	x, y := m.a.of(i), m.b.of(i)
	if x == nil && y == nil {
		return 0
	}
	key := [2]uint32{m.a.sel.FormNumber(i), m.b.sel.FormNumber(i)}
	if k, ok := m.known[key]; ok {
		return k
	}
	names := slices.Concat(m.a.names(i), m.b.names(i))
	slices.Sort(names)
	names = slices.Compact(names)
	form := x
	if form == nil {
		form = y
	}
	count := form.Count()
	keep := make([]uint64, (count+63)/64)
	for j := range count {
		if m.out.batch != nil && (x == nil || x.Keeps(j)) && (y == nil || y.Keeps(j)) {
			keep[j>>6] |= 1 << (j & 63)
		}
	}
	k := m.out.sel.AddForm(element.NewForm(count, keep, names))
	if named(x) && named(y) { // else the names are this element's own
		m.known[key] = k
	}
	return k
}

func named(f *element.Form) bool {
	if f == nil {
		return true
	}
	_, ok := f.Stripped()
	return ok
}

// spread returns the forms over places; visible says which count.
func (f *forms) spread(places int, ordinal func(place int) int) *forms {
	if f == nil {
		return nil
	}
	out := &forms{sel: &element.Selection{}}
	out.sel.Reset(places)
	known := make([]uint32, len(f.sel.Forms()))
	for p := range places {
		i := ordinal(p)
		form := f.of(i)
		if form == nil {
			continue
		}
		at := f.sel.FormNumber(i)
		k := known[at]
		if k == 0 {
			if named(form) {
				k = out.sel.AddForm(form)
				known[at] = k
			} else {
				k = out.sel.AddForm(element.NewForm(form.Count(), make([]uint64, (form.Count()+63)/64), f.names(i)))
			}
		}
		out.sel.Show(p, k)
	}
	return out
}

// Split takes a set without masks apart into what it hides and what it strips.
func (s *Set) Split() (hides, strips *Set) {
	hides = &Set{n: s.n, visible: slices.Clone(s.visible)}
	strips = NewWhole(s.n)
	strips.strips, strips.forms = slices.Clone(s.strips), s.forms
	return hides, strips
}

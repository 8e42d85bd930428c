package element

import "math/bits"

// Form is what is left of elements whose properties have the same names in the
// same order: which positions are kept. It does not change once it is made.
type Form struct {
	keep  []uint64 // over positions
	count int
	names []string
	named bool
}

// NewForm returns the form of elements with count properties that keeps the
// positions whose bits are set. names are those of the others, unescaped and
// sorted; nil when they have to be read off the element. The slices belong to
// the form from now on.
func NewForm(count int, keep []uint64, names []string) *Form {
	return &Form{keep: keep, count: count, names: names, named: names != nil}
}

// Count returns how many properties the form's elements have.
func (f *Form) Count() int { return f.count }

// Keeps reports whether the property at a position is kept.
func (f *Form) Keeps(position int) bool { return f.keep[position>>6]>>(position&63)&1 != 0 }

// Stripped returns the names of the properties that are not kept, unescaped and
// sorted. ok is false when only the element itself can tell.
func (f *Form) Stripped() (names []string, ok bool) { return f.names, f.named }

// Selection says what of a batch is left: which elements, and of each which
// properties. Neighbours in a graph look alike, so elements share forms, and an
// element costs a bit and four bytes. It is for one goroutine while it is built
// and for any number of readers afterwards.
type Selection struct {
	n       int
	visible []uint64
	of      []uint32 // form of each element; 0 is whole
	forms   []*Form  // forms[0] is nil
}

// Reset makes s a selection of nothing out of n elements and keeps its memory.
func (s *Selection) Reset(n int) {
	s.n = n
	s.visible = zeroed(s.visible, (n+63)/64)
	s.of = zeroed(s.of, n)
	clear(s.forms)
	s.forms = append(s.forms[:0], nil)
}

func zeroed[T any](b []T, n int) []T {
	if cap(b) < n {
		return make([]T, n)
	}
	b = b[:n]
	clear(b)
	return b
}

// Len returns how many elements there are to choose from.
func (s *Selection) Len() int { return s.n }

// AddForm gives a form a number to show elements by.
func (s *Selection) AddForm(f *Form) uint32 {
	s.forms = append(s.forms, f)
	return uint32(len(s.forms) - 1)
}

// Show selects element i in the form with a number; 0 is whole.
func (s *Selection) Show(i int, form uint32) {
	s.visible[i>>6] |= 1 << (i & 63)
	s.of[i] = form
}

// Hide takes element i out again.
func (s *Selection) Hide(i int) {
	s.visible[i>>6] &^= 1 << (i & 63)
	s.of[i] = 0
}

// Visible reports whether element i is left.
func (s *Selection) Visible(i int) bool { return s.visible[i>>6]>>(i&63)&1 != 0 }

// Form returns the form of element i; nil when it is whole or not left at all.
func (s *Selection) Form(i int) *Form { return s.forms[s.of[i]] }

// FormNumber returns the number of element i's form; 0 when it is whole or not
// left at all.
func (s *Selection) FormNumber(i int) uint32 { return s.of[i] }

// Forms returns the forms by their numbers; the first is nil. The slice belongs
// to the selection.
func (s *Selection) Forms() []*Form { return s.forms }

// Words returns which elements are left, 64 to a word, the first lowest. The
// slice belongs to the selection.
func (s *Selection) Words() []uint64 { return s.visible }

// Count returns how many elements are left.
func (s *Selection) Count() int {
	n := 0
	for _, w := range s.visible {
		n += bits.OnesCount64(w)
	}
	return n
}

// Whole reports whether every element is left as it is.
func (s *Selection) Whole() bool { return len(s.forms) <= 1 && s.Count() == s.n }

// Append adds what is left of a further batch behind what there is. number gives
// the number in s of a form of more; it is called once for each.
func (s *Selection) Append(more *Selection, number func(*Form) uint32) {
	if s.forms == nil {
		s.forms = append(s.forms, nil)
	}
	numbers := make([]uint32, len(more.forms))
	for k, f := range more.forms[1:] {
		numbers[k+1] = number(f)
	}
	base := s.n
	s.n += more.n
	for len(s.visible) < (s.n+63)/64 {
		s.visible = append(s.visible, 0)
	}
	for _, k := range more.of {
		s.of = append(s.of, numbers[k])
	}
	shift := base & 63
	for w, word := range more.visible {
		at := base>>6 + w
		s.visible[at] |= word << shift
		if high := word >> (64 - shift); shift != 0 && high != 0 {
			s.visible[at+1] |= high
		}
	}
}

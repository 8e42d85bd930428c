package verdict

import (
	"math/bits"
	"slices"
	"strings"
)

// Strip is one property taken away from a visible element.
type Strip struct {
	Ordinal uint32
	// Name is the property's name, unescaped.
	Name string
}

// Mask is one property whose value is replaced.
type Mask struct {
	Ordinal uint32
	// Name is the property's name, unescaped.
	Name string
	// Value is a JSON string, number, boolean or null of at most MaxMask bytes.
	Value []byte
}

// Reason is why a source hid or stripped an element, in its own words.
type Reason struct {
	Ordinal uint32
	Code    string
}

// MaxMask is the size in bytes of the longest mask.
const MaxMask = 1 << 10

// Set is one source's verdicts over the elements 0..Len()-1 of a batch. Strips
// and masks ascend by ordinal and then by name, name visible elements only, and
// never name one property twice. A Set is not safe for concurrent writing.
type Set struct {
	n       int
	visible []uint64
	strips  []Strip
	masks   []Mask
	reasons []Reason
	forms   *forms // strips beside strips; nil for most sets
}

// NewWhole returns a set that shows n elements whole.
func NewWhole(n int) *Set {
	s := NewHidden(n)
	for i := range s.visible {
		s.visible[i] = ^uint64(0)
	}
	s.trim()
	return s
}

// NewHidden returns a set that hides n elements.
func NewHidden(n int) *Set { return &Set{n: n, visible: make([]uint64, words(n))} }

func words(n int) int { return (n + 63) / 64 }

// trim clears the bits behind the last element.
func (s *Set) trim() {
	if rest := s.n % 64; rest != 0 {
		s.visible[len(s.visible)-1] &= 1<<rest - 1
	}
}

// Len returns how many elements the set judges.
func (s *Set) Len() int { return s.n }

// Visible reports whether element i may be seen.
func (s *Set) Visible(i int) bool { return s.visible[i>>6]>>(i&63)&1 != 0 }

// Whole reports whether element i may be seen as it is.
func (s *Set) Whole(i int) bool {
	return s.Visible(i) && s.forms.of(i) == nil && len(s.StripsOf(i)) == 0 && len(s.MasksOf(i)) == 0
}

// CountVisible returns how many elements may be seen.
func (s *Set) CountVisible() int {
	n := 0
	for _, w := range s.visible {
		n += bits.OnesCount64(w)
	}
	return n
}

// next returns the first visible element from i on, or Len.
func (s *Set) next(i int) int { return s.seek(i, 0) }

// gap returns the first hidden element from i on, or Len.
func (s *Set) gap(i int) int { return s.seek(i, ^uint64(0)) }

// seek returns the first element from i on whose bit is not that of flip.
func (s *Set) seek(i int, flip uint64) int {
	for w := i >> 6; w < len(s.visible); w++ {
		word := s.visible[w] ^ flip
		if w == i>>6 {
			word &= ^uint64(0) << (i & 63)
		}
		if word != 0 {
			return min(w<<6+bits.TrailingZeros64(word), s.n)
		}
	}
	return s.n
}

// runs returns how many runs of visible elements there are.
func (s *Set) runs() (n int) {
	last := uint64(0)
	for _, w := range s.visible {
		n += bits.OnesCount64(w &^ (w<<1 | last))
		last = w >> 63
	}
	return n
}

// Any reports whether any element may be seen.
func (s *Set) Any() bool {
	for _, w := range s.visible {
		if w != 0 {
			return true
		}
	}
	return false
}

// Hide hides element i and forgets what was stripped or masked of it.
func (s *Set) Hide(i int) {
	s.visible[i>>6] &^= 1 << (i & 63)
	if len(s.strips) > 0 {
		from, to := stripRange(s.strips, uint32(i))
		s.strips = slices.Delete(s.strips, from, to)
	}
	if len(s.masks) > 0 {
		from, to := maskRange(s.masks, uint32(i))
		s.masks = slices.Delete(s.masks, from, to)
	}
}

// Show makes element i visible, whole unless something of it is stripped or
// masked. It is for building a set; it never undoes a decision of another one.
func (s *Set) Show(i int) { s.visible[i>>6] |= 1 << (i & 63) }

// Strip takes properties, named unescaped, away from element i; of a hidden
// element there is nothing to take. A mask of the same property gives way.
func (s *Set) Strip(i int, names ...string) {
	if !s.Visible(i) {
		return
	}
	for _, name := range names {
		at, found := slices.BinarySearchFunc(s.strips, Strip{uint32(i), name}, compareStrips)
		if !found {
			s.strips = slices.Insert(s.strips, at, Strip{uint32(i), name})
		}
		if at, found = slices.BinarySearchFunc(s.masks, Mask{Ordinal: uint32(i), Name: name}, compareMasks); found {
			s.masks = slices.Delete(s.masks, at, at+1)
		}
	}
}

// Mask replaces the value of a property of element i by a JSON scalar, which the
// set keeps. A property that is stripped stays stripped, and two different masks
// of one property are a strip.
func (s *Set) Mask(i int, name string, value []byte) {
	if !s.Visible(i) {
		return
	}
	if _, stripped := slices.BinarySearchFunc(s.strips, Strip{uint32(i), name}, compareStrips); stripped || s.formStrips(i, name) {
		return
	}
	m := Mask{uint32(i), name, value}
	at, found := slices.BinarySearchFunc(s.masks, m, compareMasks)
	if !found {
		s.masks = slices.Insert(s.masks, at, m)
		return
	}
	if both, same := meetMasks(s.masks[at], m); same {
		s.masks[at] = both
	} else {
		s.Strip(i, name)
	}
}

// Explain notes why element i was judged as it was; ordinals have to ascend.
func (s *Set) Explain(i int, code string) {
	s.reasons = append(s.reasons, Reason{uint32(i), code})
}

// Strips returns all strips. The slice belongs to the set; one with forms makes
// it anew at each call.
func (s *Set) Strips() []Strip {
	if s.forms == nil {
		return s.strips
	}
	var all []Strip
	for i := range s.n {
		all = s.spelled(all, i)
	}
	return all
}

// Masks returns all masks. The slice belongs to the set.
func (s *Set) Masks() []Mask { return s.masks }

// Reasons returns all reasons. The slice belongs to the set.
func (s *Set) Reasons() []Reason { return s.reasons }

// StripsOf returns the strips of element i.
func (s *Set) StripsOf(i int) []Strip {
	if s.forms.of(i) != nil {
		return s.spelled(nil, i)
	}
	return s.sparseOf(i)
}

// sparseOf returns the strips of element i that no form says.
func (s *Set) sparseOf(i int) []Strip {
	if len(s.strips) == 0 {
		return nil
	}
	from, to := stripRange(s.strips, uint32(i))
	return s.strips[from:to]
}

// MasksOf returns the masks of element i.
func (s *Set) MasksOf(i int) []Mask {
	if len(s.masks) == 0 {
		return nil
	}
	from, to := maskRange(s.masks, uint32(i))
	return s.masks[from:to]
}

// ReasonOf returns why element i was judged as it was; "" when nobody said.
func (s *Set) ReasonOf(i int) string {
	at, found := slices.BinarySearchFunc(s.reasons, uint32(i), func(r Reason, i uint32) int {
		return int(int64(r.Ordinal) - int64(i))
	})
	if !found {
		return ""
	}
	return s.reasons[at].Code
}

// Clone returns a copy that shares no slices with s; mask values are shared,
// because nobody changes them.
func (s *Set) Clone() *Set {
	return &Set{
		n: s.n, visible: slices.Clone(s.visible), strips: slices.Clone(s.strips),
		masks: slices.Clone(s.masks), reasons: slices.Clone(s.reasons), forms: s.forms,
	}
}

// Place writes the verdicts of a chunk, which judged the elements from ordinal
// from on, into s. Chunks have to be placed in ascending order.
func (s *Set) Place(from int, chunk *Set) {
	s.spell()
	// Whole words are copied where chunks begin at one, as the first always does.
	first := 0
	if from%64 == 0 && !s.sparseFrom(uint32(from)) {
		first = chunk.n / 64 * 64
		copy(s.visible[from/64:], chunk.visible[:first/64])
	}
	for i := first; i < chunk.n; i++ {
		if chunk.Visible(i) {
			s.Show(from + i)
		} else {
			s.Hide(from + i)
		}
	}
	for _, x := range chunk.Strips() {
		s.strips = append(s.strips, Strip{x.Ordinal + uint32(from), x.Name})
	}
	for _, x := range chunk.masks {
		s.masks = append(s.masks, Mask{x.Ordinal + uint32(from), x.Name, x.Value})
	}
	for _, x := range chunk.reasons {
		s.reasons = append(s.reasons, Reason{x.Ordinal + uint32(from), x.Code})
	}
}

// sparseFrom reports whether anything is stripped or masked from ordinal i on.
func (s *Set) sparseFrom(i uint32) bool {
	return len(s.strips) > 0 && s.strips[len(s.strips)-1].Ordinal >= i ||
		len(s.masks) > 0 && s.masks[len(s.masks)-1].Ordinal >= i
}

func compareStrips(a, b Strip) int {
	if a.Ordinal != b.Ordinal {
		return int(int64(a.Ordinal) - int64(b.Ordinal))
	}
	return strings.Compare(a.Name, b.Name)
}

func compareMasks(a, b Mask) int {
	if a.Ordinal != b.Ordinal {
		return int(int64(a.Ordinal) - int64(b.Ordinal))
	}
	return strings.Compare(a.Name, b.Name)
}

func stripRange(s []Strip, i uint32) (from, to int) {
	from, _ = slices.BinarySearchFunc(s, i, func(x Strip, i uint32) int { return int(int64(x.Ordinal) - int64(i)) })
	for to = from; to < len(s) && s[to].Ordinal == i; to++ {
	}
	return from, to
}

func maskRange(s []Mask, i uint32) (from, to int) {
	from, _ = slices.BinarySearchFunc(s, i, func(x Mask, i uint32) int { return int(int64(x.Ordinal) - int64(i)) })
	for to = from; to < len(s) && s[to].Ordinal == i; to++ {
	}
	return from, to
}

package verdict

// Spread returns the verdicts over the places of a request or stream, where an
// element that was written twice counts twice: place p shows what the set says
// of element ordinal(p). It returns s itself when nothing repeats. Reasons are
// left out.
func (s *Set) Spread(places int, ordinal func(place int) int) *Set {
	if places == s.n {
		return s
	}
	out := NewHidden(places)
	out.forms = s.forms.spread(places, ordinal)
	for p := range places {
		i := ordinal(p)
		if !s.Visible(i) {
			continue
		}
		out.Show(p)
		for _, x := range s.sparseOf(i) {
			out.strips = append(out.strips, Strip{uint32(p), x.Name})
		}
		for _, x := range s.MasksOf(i) {
			out.masks = append(out.masks, Mask{uint32(p), x.Name, x.Value})
		}
	}
	return out
}

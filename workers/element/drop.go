package element

// unnamed collects what to cut out of one element so that only the members that
// the contract names are left.
type unnamed struct {
	kept    int // end of the last kept member's value; 0 before the first
	pending int // where an unfinished cut begins; 0 for none
	last    int // end of the last member's value
}

// member notes a member from its name to behind its value.
func (u *unnamed) member(cuts []cut, drop bool, from, to int) []cut {
	switch {
	case drop && u.pending == 0:
		u.pending = from
	case !drop:
		if u.pending != 0 {
			// Names that follow bring no comma of their own: the cut takes the one before them.
			cuts = append(cuts, cut{uint32(u.pending), uint32(from)})
			u.pending = 0
		}
		u.kept = to
	}
	u.last = to
	return cuts
}

// end closes the element: a cut at its end takes the comma before it.
func (u *unnamed) end(cuts []cut) []cut {
	if u.pending == 0 {
		return cuts
	}
	from := u.pending
	if u.kept != 0 {
		from = u.kept
	}
	return append(cuts, cut{uint32(from), uint32(u.last)})
}

// without returns the body without the cuts, which ascend.
func without(body []byte, cuts []cut) []byte {
	out := make([]byte, 0, len(body))
	from := 0
	for _, c := range cuts {
		out = append(out, body[from:c.from]...)
		from = int(c.to)
	}
	return append(out, body[from:]...)
}

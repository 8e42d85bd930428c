package element

// Skeleton returns a number that element i has in common only with elements of
// this batch whose properties have the same names, in the same order and
// spelling. Elements with the same names may have different numbers: they are
// what reading the batch came by. 0 says nothing.
func (b *Batch) Skeleton(i int) uint32 { return b.recs[i].skeleton }

// Skeletons returns how many such numbers there are: the greatest one.
func (b *Batch) Skeletons() int { return int(b.skeletons) }

// ValueRest returns the text from the value of property j of element i on. Where
// the value ends in it, only the value itself tells.
func (b *Batch) ValueRest(i, j int) []byte {
	return b.body[b.props[b.recs[i].firstProp+uint32(j)].value:]
}

// LabelsRest returns the text from node i's labels array on, and how many bytes
// of it the array has.
func (b *Batch) LabelsRest(i int) (rest []byte, size int) {
	what := b.recs[i].what
	return b.body[what.from:], int(what.to - what.from)
}

// Heads are where the names and the values of one element begin.
type Heads struct {
	body  []byte
	props []prop
}

// Heads returns those of element i.
func (b *Batch) Heads(i int) Heads {
	r := &b.recs[i]
	return Heads{b.body, b.props[r.firstProp : r.firstProp+r.propCount]}
}

// Name returns the text from the name of property j on, its quote included.
func (h *Heads) Name(j int) []byte { return h.body[h.props[j].name:] }

// At returns the eight bytes from the value of property j on, the first lowest;
// 0, with which no value begins, where the text ends before.
func (h *Heads) At(j int) uint64 {
	if rest := h.body[h.props[j].value:]; len(rest) >= 8 {
		return load64(rest)
	}
	return 0
}

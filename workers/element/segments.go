package element

// AppendSegments appends to dst the text of elements [from, to) as a gather
// list: the elements and the commas between them, without the brackets around.
// It is one slice of the body unless repetitions were left out in between. The
// slices alias the body.
func (b *Batch) AppendSegments(dst [][]byte, from, to int) [][]byte {
	if from >= to {
		return dst
	}
	if b.order == nil {
		return append(dst, b.body[b.recs[from].from:b.recs[to-1].to])
	}
	for i := from; i < to; {
		run := b.runEnd(i, to)
		if i > from {
			dst = append(dst, comma)
		}
		dst = append(dst, b.body[b.recs[i].from:b.recs[run-1].to])
		i = run
	}
	return dst
}

var comma = []byte{','}

// runEnd returns the end of the run of elements from i on that are neighbours
// in the body, nothing but a comma and white space between them.
func (b *Batch) runEnd(i, to int) int {
	for i++; i < to && b.neighbours(i-1, i); i++ {
	}
	return i
}

func (b *Batch) neighbours(i, j int) bool {
	at := skipSpace(b.body, int(b.recs[i].to))
	if b.body[at] != ',' {
		return false
	}
	return skipSpace(b.body, at+1) == int(b.recs[j].from)
}

// Size returns the number of bytes of elements [from, to) with the commas
// between them, without building the list.
func (b *Batch) Size(from, to int) int {
	if from >= to {
		return 0
	}
	if b.order == nil {
		return int(b.recs[to-1].to - b.recs[from].from)
	}
	size := 0
	for i := from; i < to; {
		run := b.runEnd(i, to)
		if i > from {
			size++
		}
		size += int(b.recs[run-1].to - b.recs[i].from)
		i = run
	}
	return size
}

// Span returns the bytes from the beginning of the element at one place of the
// request to the end of the element at another, with all that stands between.
func (b *Batch) Span(fromPlace, toPlace int) []byte {
	return b.body[b.recs[b.Ordinal(fromPlace)].from:b.recs[b.Ordinal(toPlace)].to]
}

// Columns returns elements [from, to) as the columns of the gRPC contract: data
// is a slice of the body, starts and ends are appended to and relative to data.
// Repetitions that were left out may lie between elements.
func (b *Batch) Columns(from, to int, starts, ends []uint32) (data []byte, s, e []uint32) {
	if from >= to {
		return nil, starts, ends
	}
	base := b.recs[from].from
	for i := from; i < to; i++ {
		starts = append(starts, b.recs[i].from-base)
		ends = append(ends, b.recs[i].to-base)
	}
	return b.body[base:b.recs[to-1].to], starts, ends
}

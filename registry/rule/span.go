package rule

import "slices"

// Span is a run of ids, both ends included. Ids are never given again, so that
// deletions can be remembered as spans, however many there are.
type Span struct{ First, Last int64 }

// SpansOf writes ids as the fewest spans that hold them and no others.
func SpansOf(ids []int64) []Span {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	var all []Span
	for _, id := range ids {
		if n := len(all); n > 0 && all[n-1].Last >= id-1 {
			all[n-1].Last = id
			continue
		}
		all = append(all, Span{id, id})
	}
	return all
}

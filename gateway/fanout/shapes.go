package fanout

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/workers/element"
)

// shapes remembers which properties elements had that have been dropped since,
// so that a mask cannot add one. Most elements of a stream have the same few
// lists of names, so a list is kept once, and a number of it per element. It is
// kept only where a worker over gRPC may mask.
type shapes struct {
	known  map[uint64]uint32
	names  []map[string]struct{} // by shape; that of 0 is nil: it is not known
	room   int
	of     [2][]uint32 // shape of each element, by kind
	hash   maphash.Hash
	buffer []byte
	size   [4]byte
}

// shapeRoom bounds the names that are kept for all shapes together. A mask of an
// element whose names found no room becomes a strip, which can add nothing.
const shapeRoom = 1 << 18

func newShapes() *shapes {
	return &shapes{known: map[uint64]uint32{}, names: make([]map[string]struct{}, 1), room: shapeRoom}
}

// note remembers the elements of a chunk.
func (s *shapes) note(b *element.Batch) {
	k := b.Kind() - 1
	for i := range b.Len() {
		s.hash.Reset()
		for name := range b.Properties(i) {
			s.buffer = element.AppendText(s.buffer[:0], name)
			// The length keeps two names from reading like one. A hash never fails.
			_, _ = s.hash.Write(binary.BigEndian.AppendUint32(s.size[:0], uint32(len(s.buffer))))
			_, _ = s.hash.Write(s.buffer)
		}
		sum := s.hash.Sum64()
		shape, ok := s.known[sum]
		if !ok {
			shape = s.add(sum, b, i)
		}
		s.of[k] = append(s.of[k], shape)
	}
}

func (s *shapes) add(sum uint64, b *element.Batch, i int) uint32 {
	if s.room <= 0 {
		return 0
	}
	names := map[string]struct{}{}
	for name := range b.Properties(i) {
		names[string(element.AppendText(nil, name))] = struct{}{}
	}
	s.room -= len(names) + 1
	s.names = append(s.names, names)
	shape := uint32(len(s.names) - 1)
	s.known[sum] = shape
	return shape
}

// fit drops masks of properties that their elements did not have.
func (s *shapes) fit(k element.Kind, set *verdict.Set) *verdict.Set {
	if set == nil || len(set.Masks()) == 0 {
		return set
	}
	out := verdict.NewHidden(set.Len())
	for i := range set.Len() {
		if set.Visible(i) {
			out.Show(i)
		}
	}
	for _, x := range set.Strips() {
		out.Strip(int(x.Ordinal), x.Name)
	}
	for _, m := range set.Masks() {
		names := s.names[s.of[k-1][m.Ordinal]]
		if names == nil {
			out.Strip(int(m.Ordinal), m.Name)
		} else if _, has := names[m.Name]; has {
			out.Mask(int(m.Ordinal), m.Name, m.Value)
		}
	}
	for _, r := range set.Reasons() {
		out.Explain(int(r.Ordinal), r.Code)
	}
	return out
}

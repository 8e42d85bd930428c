package verdict

import (
	"encoding/binary"
	"iter"
	"slices"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/element"
)

// Chunks encodes the set as chunks of at most size elements each, rounded up to
// a multiple of 64, one after the other. Reasons stay here: what goes out is for
// people who may not know who hid what. A set over nothing has no chunks. Mask
// values and names are shared.
func (s *Set) Chunks(size int) iter.Seq[*workerv1.VerdictChunk] {
	size = max(words(size), 1) * 64
	return func(yield func(*workerv1.VerdictChunk) bool) {
		strips, masks := s.strips, s.masks
		for base := 0; base < s.n; base += size {
			count := min(size, s.n-base)
			chunk := &workerv1.VerdictChunk{
				Base: uint64(base), Count: uint64(count), Visible: s.bytes(base, count),
			}
			if s.forms != nil {
				s.chunkForms(chunk, base, count)
			} else {
				strips = chunkStrips(chunk, strips, base+count)
			}
			for len(masks) > 0 && int(masks[0].Ordinal) < base+count {
				m := masks[0]
				chunk.Masks = append(chunk.Masks, &workerv1.Mask{Ordinal: uint64(m.Ordinal), Property: m.Name, Value: m.Value})
				masks = masks[1:]
			}
			if !yield(chunk) {
				return
			}
		}
	}
}

// chunkStrips moves the strips of ordinals before end into a chunk.
func chunkStrips(chunk *workerv1.VerdictChunk, strips []Strip, end int) []Strip {
	for len(strips) > 0 && int(strips[0].Ordinal) < end {
		n := 1
		for n < len(strips) && strips[n].Ordinal == strips[0].Ordinal {
			n++
		}
		names := make([]string, n)
		for i, x := range strips[:n] {
			names[i] = x.Name
		}
		chunk.Strips = append(chunk.Strips, &workerv1.Strip{Ordinal: uint64(strips[0].Ordinal), Properties: names})
		strips = strips[n:]
	}
	return strips
}

// chunkForms writes the strips of a set with forms into a chunk.
func (s *Set) chunkForms(chunk *workerv1.VerdictChunk, base, count int) {
	for i := base; i < base+count; i++ {
		if !s.Visible(i) {
			continue
		}
		if names := s.stripNames(i); len(names) > 0 {
			chunk.Strips = append(chunk.Strips, &workerv1.Strip{Ordinal: uint64(i), Properties: names})
		}
	}
}

// AppendChunks appends the chunks of Chunks to dst.
func (s *Set) AppendChunks(dst []*workerv1.VerdictChunk, size int) []*workerv1.VerdictChunk {
	return slices.AppendSeq(dst, s.Chunks(size))
}

// bytes returns count verdicts from base on, a multiple of 64.
func (s *Set) bytes(base, count int) []byte {
	out := make([]byte, 0, words(count)*8)
	for _, w := range s.visible[base>>6 : words(base+count)] {
		out = binary.LittleEndian.AppendUint64(out, w)
	}
	return out[:(count+7)/8]
}

// Fit brings a set that came over gRPC to what the same answer over REST would
// be: strips and masks of properties that an element does not have are dropped,
// and so are masks that say what the input says. from is the element of the
// batch that is the set's 0.
func (s *Set) Fit(b *element.Batch, from int) {
	s.spell()
	strips := s.strips[:0]
	for _, x := range s.strips {
		if _, ok := property(b, from+int(x.Ordinal), x.Name); ok {
			strips = append(strips, x)
		}
	}
	s.strips = strips
	masks := s.masks[:0]
	for _, x := range s.masks {
		if p, ok := property(b, from+int(x.Ordinal), x.Name); ok && !element.Equal(p.Value, x.Value) {
			masks = append(masks, x)
		}
	}
	s.masks = masks
}

func property(b *element.Batch, i int, name string) (element.Property, bool) {
	v := b.View(i)
	for j := range v.PropertyCount() {
		if p := v.Property(j); element.TextEqual(p.Name, name) {
			return p, true
		}
	}
	return element.Property{}, false
}

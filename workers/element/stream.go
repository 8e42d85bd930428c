package element

import (
	"hash/maphash"
	"sync"

	"github.com/muster-fleet/muster/proto/fault"
)

// Stream reads elements that arrive as columns, chunk by chunk, and are dropped
// once they have been forwarded: of each element it keeps a digest of its id and
// one of its bytes, 128 bits each, under seeds made for this stream. It applies
// the rules of ParseRequest over the whole stream. It is for one goroutine; the
// chunks that it returns are independent of it.
type Stream struct {
	typ         Type
	drop        bool
	nodes, rels ledger
	seeds       [2]maphash.Seed
	p           parser
}

// Chunk is the elements of one chunk that have not been there before.
type Chunk struct {
	// From is the ordinal of the batch's element 0 among all of its kind in the
	// stream, repetitions not counted.
	From int
	// Batch holds the elements; its numbers begin at 0.
	Batch *Batch
}

var chunks = sync.Pool{New: func() any { return new(Batch) }}

// Release gives the chunk's memory back; nothing of it may be used afterwards.
func (c *Chunk) Release() {
	c.Batch.reset(c.Batch.kind, nil)
	chunks.Put(c.Batch)
	c.Batch = nil
}

// NewStream begins a stream of a type.
func NewStream(t Type, o Options) *Stream {
	return &Stream{
		typ: t, drop: o.DropUnknownMembers,
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
	}
}

// Type says what the stream holds.
func (s *Stream) Type() Type { return s.typ }

// Len returns how many elements of a kind have come, repetitions not counted.
func (s *Stream) Len(k Kind) int { return len(s.ledger(k).digests) }

// Places returns how many elements of a kind have come, repetitions counted.
func (s *Stream) Places(k Kind) int { return s.ledger(k).places }

// Ordinal returns which element stands at a place of the stream.
func (s *Stream) Ordinal(k Kind, place int) int {
	if l := s.ledger(k); l.order != nil {
		return int(l.order[place])
	}
	return place
}

// Ends returns the nodes of this stream that relationship i connects; ok is
// false when one of them has not come before it.
func (s *Stream) Ends(i int) (start, end int, ok bool) {
	e := s.rels.ends[i]
	return int(e[0]), int(e[1]), e[0] != absent && e[1] != absent
}

func (s *Stream) ledger(k Kind) *ledger {
	if k == Relationships {
		return &s.rels
	}
	return &s.nodes
}

// Add reads the next chunk of a kind. base is the place of its first element
// and has to be the next one; in a graph all nodes come before the first
// relationship. The chunk keeps data, which must not change until it is
// released. Its errors are *fault.Error "invalid_request" or "too_large"; the
// stream is of no use after one.
func (s *Stream) Add(k Kind, base uint64, data []byte, starts, ends []uint32) (*Chunk, error) {
	if err := s.admit(k, base, len(data), len(starts)); err != nil {
		return nil, err
	}
	b := chunks.Get().(*Batch)
	b.reset(k, data)
	s.p.drop, s.p.cuts = s.drop, s.p.cuts[:0]
	err := b.columns(&s.p, base, starts, ends)
	if err == nil && len(s.p.cuts) > 0 {
		starts, ends = shift(starts, s.p.cuts), shift(ends, s.p.cuts)
		b.reset(k, without(data, s.p.cuts))
		s.p.drop = false
		err = b.columns(&s.p, base, starts, ends)
	}
	c := &Chunk{From: s.Len(k), Batch: b}
	if err == nil {
		err = s.note(b, base)
	}
	if err != nil {
		c.Release()
		return nil, err
	}
	return c, nil
}

func (s *Stream) admit(k Kind, base uint64, size, count int) error {
	l := s.ledger(k)
	switch {
	case k != Nodes && k != Relationships, s.typ == TypeNodes && k != Nodes, s.typ == TypeRelationships && k != Relationships:
		return fault.New(fault.Invalid, codeInvalid, "a chunk of another kind than the header announced")
	case base != uint64(l.places):
		return fault.New(fault.Invalid, codeInvalid, "%s: a chunk begins at element %d where %d is next", k.Key(), base, l.places)
	case k == Nodes && s.rels.places > 0:
		return fault.New(fault.Invalid, codeInvalid, "all nodes have to come before the first relationship")
	case uint64(size) > MaxBody, uint64(l.places)+uint64(count) >= absent:
		return fault.New(fault.TooLarge, "too_large", "%s: the stream holds more than can be read; split the call", k.Key())
	}
	return nil
}

// note enters the chunk's elements into the ledger and takes the repetitions
// out of the batch.
func (s *Stream) note(b *Batch, base uint64) error {
	l := s.ledger(b.kind)
	kept := 0
	for i := range b.recs {
		id, content := s.digest(b.ID(i)), s.digest(b.Raw(i))
		at, found := l.find(id)
		if found && l.digests[at].content != content {
			return columnFault(b.kind, base, i, "the elementId of an earlier element again, with other content")
		}
		if found {
			l.repeat(at)
			continue
		}
		l.add(id, content)
		if b.kind == Relationships {
			s.connect(b, i)
		}
		b.move(i, kept)
		kept++
	}
	b.recs = b.recs[:kept]
	if b.kind == Relationships {
		b.ends = b.ends[:kept]
	}
	return nil
}

// connect resolves the ends of a relationship against the nodes, all of which
// have come.
func (s *Stream) connect(b *Batch, i int) {
	e := [2]uint32{absent, absent}
	if s.typ == TypeGraph {
		start, end := b.Endpoints(i)
		for n, id := range [2][]byte{start, end} {
			if at, found := s.nodes.find(s.digest(id)); found {
				e[n] = uint32(at)
			}
		}
	}
	s.rels.ends = append(s.rels.ends, e)
}

func (s *Stream) digest(b []byte) [2]uint64 {
	return [2]uint64{maphash.Bytes(s.seeds[0], b), maphash.Bytes(s.seeds[1], b)}
}

// shift moves offsets to where they are once the cuts are out. Both ascend, and
// no offset lies inside a cut.
func shift(offsets []uint32, cuts []cut) []uint32 {
	out := make([]uint32, len(offsets))
	var gone uint32
	for i, at := range offsets {
		for len(cuts) > 0 && cuts[0].to <= at {
			gone += cuts[0].to - cuts[0].from
			cuts = cuts[1:]
		}
		out[i] = at - gone
	}
	return out
}

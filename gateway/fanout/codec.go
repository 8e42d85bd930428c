package fanout

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto" // also registers the codec that reads answers
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/element"
)

// chunkBytes is about how much element data goes into one message: well under
// the 4 MiB that gRPC servers take by default.
const chunkBytes = 1 << 20

// The fields of muster.worker.v1 that are written by hand: FilterRequest.chunk,
// which is DecideRequest.elements as well, DecideRequest.kind and the columns of
// ElementChunk.
const (
	fieldRequestChunk = 2
	fieldDecideKind   = 1
	fieldChunkBase    = 1
	fieldChunkEnds    = 2
	fieldChunkData    = 3
	fieldChunkStarts  = 4
)

// chunk is one FilterRequest on the wire: head, the caller's own bytes, tail.
// It is encoded once and sent by every stream. It does not change.
type chunk struct {
	head, data, tail []byte
	pin              Pin // nil when data may be kept by anybody
}

// encodeChunk makes the message of elements [from, to) of a call that begins at
// base: ordinals count within the call.
func encodeChunk(b *element.Batch, base, from, to int, pin Pin, cols *columns) *chunk {
	data, starts, ends := b.Columns(from, to, cols.starts[:0], cols.ends[:0])
	cols.starts, cols.ends = starts, ends
	return newChunk(uint64(from-base), data, starts, ends, pin)
}

// columns is memory for offsets, used again from chunk to chunk.
type columns struct{ starts, ends []uint32 }

func newChunk(base uint64, data []byte, starts, ends []uint32, pin Pin) *chunk {
	endsSize, startsSize := packedSize(ends), packedSize(starts)
	inner := protowire.SizeTag(fieldChunkEnds) + protowire.SizeBytes(endsSize) +
		protowire.SizeTag(fieldChunkData) + protowire.SizeBytes(len(data)) +
		protowire.SizeTag(fieldChunkStarts) + protowire.SizeBytes(startsSize)
	if base > 0 {
		inner += protowire.SizeTag(fieldChunkBase) + protowire.SizeVarint(base)
	}
	head := make([]byte, 0, endsSize+48)
	head = protowire.AppendTag(head, fieldRequestChunk, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(inner))
	if base > 0 {
		head = protowire.AppendTag(head, fieldChunkBase, protowire.VarintType)
		head = protowire.AppendVarint(head, base)
	}
	head = appendPacked(head, fieldChunkEnds, ends, endsSize)
	head = protowire.AppendTag(head, fieldChunkData, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(data)))
	tail := appendPacked(make([]byte, 0, startsSize+16), fieldChunkStarts, starts, startsSize)
	if pin == nil || mem.IsBelowBufferPoolingThreshold(len(data)) {
		// gRPC does not say when it is done with a small buffer.
		data, pin = bytes.Clone(data), nil
	}
	return &chunk{head: head, data: slices.Clip(data), tail: tail, pin: pin}
}

func packedSize(values []uint32) (n int) {
	for _, v := range values {
		n += protowire.SizeVarint(uint64(v))
	}
	return n
}

func appendPacked(b []byte, field protowire.Number, values []uint32, size int) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	for _, v := range values {
		b = protowire.AppendVarint(b, uint64(v))
	}
	return b
}

// codec writes chunks as they are and leaves every other message to the usual
// codec. Its name, and so the content type, is that of protobuf.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	switch v := v.(type) {
	case *chunk:
		return mem.BufferSlice{mem.SliceBuffer(v.head), v.buffer(), mem.SliceBuffer(v.tail)}, nil
	case question:
		kind := mem.SliceBuffer{fieldDecideKind<<3 | byte(protowire.VarintType), byte(v.kind)}
		return mem.BufferSlice{kind, mem.SliceBuffer(v.chunk.head), v.chunk.buffer(), mem.SliceBuffer(v.chunk.tail)}, nil
	default:
		return c.CodecV2.Marshal(v)
	}
}

// question is a DecideRequest: the chunk of a FilterRequest with a kind before
// it, for the field that holds the elements has the same number in both.
type question struct {
	kind  workerv1.Kind
	chunk *chunk
}

// buffer hands the data out for one stream. The pin is held until the stream's
// connection has let go of it, which may be after the call.
func (c *chunk) buffer() mem.Buffer {
	if c.pin == nil {
		return mem.SliceBuffer(c.data)
	}
	c.pin.Retain()
	return mem.NewBuffer(&c.data, pinned{c.pin})
}

// pinned is a buffer pool that gives a pin back.
type pinned struct{ pin Pin }

// Get implements mem.BufferPool; nobody asks this pool for buffers.
func (pinned) Get(n int) *[]byte {
	b := make([]byte, n)
	return &b
}

// Put implements mem.BufferPool.
func (p pinned) Put(*[]byte) { p.pin.Release() }

// shared is what all calls of a request share about one batch.
type shared struct {
	batch *element.Batch
	pin   Pin

	once  sync.Once
	whole *encoded

	digestOnce  sync.Once
	wholeDigest []byte
}

// encoded is a run of elements as gRPC workers get it.
type encoded struct {
	chunks []*chunk
	bytes  int64
}

// digest returns the SHA-256 over the ids of elements [from, to), which only
// streams carry; that of the whole batch is made once.
func (s *shared) digest(from, to int) []byte {
	if from != 0 || to != s.batch.Len() {
		return idsDigest(s.batch, from, to)
	}
	s.digestOnce.Do(func() { s.wholeDigest = idsDigest(s.batch, from, to) })
	return s.wholeDigest
}

// encoded returns elements [from, to); those of the whole batch are encoded once.
func (s *shared) encoded(from, to int) *encoded {
	if from != 0 || to != s.batch.Len() {
		return encode(s.batch, from, to, s.pin)
	}
	s.once.Do(func() { s.whole = encode(s.batch, from, to, s.pin) })
	return s.whole
}

func encode(b *element.Batch, from, to int, pin Pin) *encoded {
	e := &encoded{}
	var cols columns
	base := from
	for from < to {
		end, size := from, 0
		for end < to && size < chunkBytes {
			size += len(b.Raw(end))
			end++
		}
		e.chunks = append(e.chunks, encodeChunk(b, base, from, end, pin, &cols))
		e.bytes += int64(size)
		from = end
	}
	return e
}

// idsDigest is FilterHeader.ids_digest of elements [from, to).
func idsDigest(b *element.Batch, from, to int) []byte {
	h := sha256.New()
	var size [4]byte
	for i := from; i < to; i++ {
		id := b.ID(i)
		binary.BigEndian.PutUint32(size[:], uint32(len(id)))
		// A hash never fails to take bytes.
		_, _ = h.Write(size[:])
		_, _ = h.Write(id)
	}
	return h.Sum(nil)
}

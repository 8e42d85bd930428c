package worker

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"

	"github.com/muster-fleet/muster/proto/fault"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/element"
)

// incoming follows one gRPC stream of elements: what was announced and what came.
type incoming struct {
	kind    Kind
	total   uint64
	digest  []byte
	maxBody int64

	next  uint64
	bytes int64
	ids   hash.Hash // nil without a digest to compare with
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, "invalid_request", format, args...)
}

func newIncoming(kind workerv1.Kind, total uint64, digest []byte, maxBody int64) (*incoming, error) {
	in := &incoming{total: total, digest: digest, maxBody: maxBody}
	switch kind {
	case workerv1.Kind_KIND_NODES:
		in.kind = Nodes
	case workerv1.Kind_KIND_RELATIONSHIPS:
		in.kind = Relationships
	default:
		return nil, invalid("kind must be KIND_NODES or KIND_RELATIONSHIPS")
	}
	if n := len(in.digest); n != 0 && n != sha256.Size {
		return nil, invalid("header.ids_digest must be empty or %d bytes long", sha256.Size)
	}
	if len(in.digest) > 0 {
		in.ids = sha256.New()
	}
	return in, nil
}

// take checks a chunk and reads its elements, which alias it.
func (in *incoming) take(c *workerv1.ElementChunk) (*element.Batch, error) {
	if c == nil {
		return nil, invalid("the message holds no chunk of elements")
	}
	if c.GetBase() != in.next {
		return nil, invalid("a chunk begins at ordinal %d; %d was due", c.GetBase(), in.next)
	}
	in.bytes += int64(len(c.GetData()))
	if in.bytes > in.maxBody {
		return nil, fault.New(fault.TooLarge, "too_large",
			"the elements are over this worker's limit of %d bytes", in.maxBody)
	}
	b, err := element.ParseElements(in.kind, c.GetBase(), c.GetData(), c.GetStarts(), c.GetEnds())
	if err != nil {
		return nil, err
	}
	in.next += uint64(b.Len())
	if in.total != 0 && in.next > in.total {
		return nil, invalid("more elements came than the %d that were announced", in.total)
	}
	if len(in.digest) > 0 {
		for i := range b.Len() {
			in.hashID(b.ID(i))
		}
	}
	return b, nil
}

func (in *incoming) hashID(id []byte) {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(id)))
	in.ids.Write(n[:])
	in.ids.Write(id)
}

// finish checks at the end of the stream that what came is what was announced.
func (in *incoming) finish() error {
	if in.total != 0 && in.next != in.total {
		return invalid("%d elements came; %d were announced", in.next, in.total)
	}
	if len(in.digest) > 0 && subtle.ConstantTimeCompare(in.digest, in.ids.Sum(nil)) == 0 {
		return invalid("the ids that came do not match header.ids_digest")
	}
	return nil
}

// verdictChunk encodes the verdicts of one chunk. Strips and masks of properties
// that an element does not have are left out: they change nothing.
func verdictChunk(base uint64, b *element.Batch, verdicts []Verdict) *workerv1.VerdictChunk {
	n := len(verdicts)
	out := &workerv1.VerdictChunk{Base: base, Count: uint64(n), Visible: make([]byte, (n+7)/8)}
	for i := range verdicts {
		v, ordinal := &verdicts[i], base+uint64(i)
		if v.reason != "" && !v.Whole() {
			out.Reasons = append(out.Reasons, &workerv1.Reason{Ordinal: ordinal, Code: v.reason})
		}
		if !v.Visible() {
			continue
		}
		out.Visible[i/8] |= 1 << (i % 8)
		if v.Whole() {
			continue
		}
		strip := &workerv1.Strip{Ordinal: ordinal}
		for token := range b.Properties(i) {
			drop, masked := v.edited(token)
			switch {
			case drop:
				strip.Properties = append(strip.Properties, string(element.AppendText(nil, token)))
			case masked != nil:
				name := string(element.AppendText(nil, token))
				out.Masks = append(out.Masks, &workerv1.Mask{Ordinal: ordinal, Property: name, Value: masked})
			}
		}
		if len(strip.Properties) > 0 {
			out.Strips = append(out.Strips, strip)
		}
	}
	return out
}

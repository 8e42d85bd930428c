package element

import (
	"sync"

	"github.com/muster-fleet/muster/proto/fault"
)

// Reader says which of the two readers reads a body. Both accept and refuse the
// same bodies and find the same positions; a test proves it on damaged ones.
type Reader uint8

const (
	// Fast is the hand-written reader.
	Fast Reader = iota
	// Reference is the reader over jsontext, half as fast. It also words the
	// refusals of both.
	Reference
)

// Options change how a body is read. The zero value is the contract.
type Options struct {
	// DropUnknownMembers leaves members out of elements that the contract does
	// not name, instead of refusing the body.
	DropUnknownMembers bool
	// Reader chooses the reader.
	Reader Reader
}

// Request is one filter body, read and checked. It keeps the body, which must
// not change until Release.
type Request struct {
	// Type is parameters.type.
	Type Type
	// Nodes and Relationships are the elements; nil where the type has none.
	Nodes, Relationships *Batch

	body        []byte
	nodes, rels Batch
	p           parser
	live        bool // taken from the pool and not given back
}

// requests keeps the slabs of finished requests: a request allocates nothing
// for its elements once the slabs have grown.
var requests = sync.Pool{New: func() any { return new(Request) }}

// ParseRequest reads the body of a filter call. Its errors are *fault.Error:
// "invalid_request" with the place of the mistake, or "too_large". The messages
// quote no values. The caller calls Release when the request is done.
func ParseRequest(body []byte, o Options) (*Request, error) {
	if uint64(len(body)) > MaxBody {
		return nil, fault.New(fault.TooLarge, "too_large",
			"the body has %d bytes; more than %d cannot be read, split the call", len(body), uint64(MaxBody))
	}
	r := requests.Get().(*Request)
	r.live = true
	if err := r.parse(body, o); err != nil {
		r.Release()
		return nil, err
	}
	return r, nil
}

func (r *Request) parse(body []byte, o Options) error {
	if o.Reader == Reference {
		return r.parseReference(body, o)
	}
	original := body
	r.reset(body, o)
	end := r.document(body)
	if end >= 0 && len(r.p.cuts) > 0 {
		body = without(body, r.p.cuts)
		r.reset(body, Options{})
		end = r.document(body)
	}
	if end >= 0 {
		return r.settle()
	}
	// What the scanner does not take, the reference reads again: it words the
	// refusal, and its reading stands should the two ever disagree.
	return r.parseReference(original, o)
}

// Release gives the request's memory back. Nothing that came from the request
// may be used afterwards. A second call does nothing, as long as no other
// request has been read since.
func (r *Request) Release() {
	if !r.live {
		return
	}
	r.live = false
	r.reset(nil, Options{})
	r.Type = 0
	const keep = 1 << 21 // elements; a bigger request's slabs go to the collector
	if cap(r.nodes.recs) <= keep && cap(r.rels.recs) <= keep {
		requests.Put(r)
	}
}

func (r *Request) reset(body []byte, o Options) {
	r.body = body
	r.Nodes, r.Relationships = nil, nil
	r.nodes.reset(Nodes, body)
	r.rels.reset(Relationships, body)
	r.p.names, r.p.cuts = r.p.names[:0], r.p.cuts[:0]
	r.p.drop, r.p.why, r.p.batch = o.DropUnknownMembers, flawNone, nil
}

func (b *Batch) reset(kind Kind, body []byte) {
	b.kind, b.body = kind, body
	b.arena, b.recs, b.ends, b.skeletons = b.arena[:0], b.recs[:0], b.ends[:0], 0
	b.props, b.order, b.unsorted, b.until = b.props[:0], nil, false, 0
	b.ids.reset()
}

// settle looks for repeated ids, and hands out the batches.
func (r *Request) settle() error {
	if r.Type != TypeRelationships {
		r.Nodes = &r.nodes
	}
	if r.Type != TypeNodes {
		r.Relationships = &r.rels
	}
	for _, b := range []*Batch{r.Nodes, r.Relationships} {
		if b == nil {
			continue
		}
		if first, second, ok := b.settle(); !ok {
			return r.repeated(b.kind, first, second)
		}
	}
	return nil
}

// Batch returns the elements of a kind; nil where the type has none.
func (r *Request) Batch(k Kind) *Batch {
	if k == Nodes {
		return r.Nodes
	}
	return r.Relationships
}

// Ends returns the nodes of this request that relationship i connects. ok is
// false when one of them is not there, or when the request has no nodes.
func (r *Request) Ends(i int) (start, end int, ok bool) {
	if r.Nodes == nil || r.Relationships == nil {
		return 0, 0, false
	}
	from, to := r.Relationships.Endpoints(i)
	start, ok = r.Nodes.Find(from)
	if !ok {
		return 0, 0, false
	}
	end, ok = r.Nodes.Find(to)
	return start, end, ok
}

package worker

import (
	"bytes"
	"errors"
	"iter"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/muster-fleet/muster/proto/fault"
)

// Batch is the elements of one request, or of a part of one, all of one kind. It
// aliases the request, as Element does.
type Batch struct {
	kind Kind
	raws [][]byte
}

// Kind returns what the elements are.
func (b Batch) Kind() Kind { return b.kind }

// Len returns how many elements the batch has; at least 1 when it is given to a
// BatchFunc.
func (b Batch) Len() int { return len(b.raws) }

// At returns element i, counted from 0.
func (b Batch) At(i int) Element { return Element{kind: b.kind, raw: b.raws[i]} }

// All yields the elements in their order.
func (b Batch) All() iter.Seq2[int, Element] {
	return func(yield func(int, Element) bool) {
		for i := range b.Len() {
			if !yield(i, b.At(i)) {
				return
			}
		}
	}
}

// readRequest reads a contract body.
func readRequest(body []byte) (Batch, error) {
	if err := wellFormed(body); err != nil {
		return Batch{}, err
	}
	var kind string
	var data []byte
	for name, value := range members(body) {
		switch {
		case nameIs(name, "parameters"):
			for n, v := range members(value) {
				if nameIs(n, "type") && v[0] == '"' {
					kind = unquote(v)
				}
			}
		case nameIs(name, "data"):
			data = value
		}
	}
	b := Batch{}
	switch kind {
	case Nodes.Key():
		b.kind = Nodes
	case Relationships.Key():
		b.kind = Relationships
	default:
		return b, fault.New(fault.Invalid, "invalid_request", `parameters.type must be "nodes" or "relationships"`)
	}
	if len(data) == 0 || data[0] != '[' {
		return b, fault.New(fault.Invalid, "invalid_request", "data must be an array of elements")
	}
	d := decoder(data)
	if _, err := d.ReadToken(); err != nil {
		return b, fault.From(err)
	}
	for i := 0; d.PeekKind() != ']'; i++ {
		v, err := d.ReadValue()
		if err != nil {
			return b, fault.From(err)
		}
		to := int(d.InputOffset())
		e := Element{kind: b.kind, raw: data[to-len(v) : to : to]}
		if v[0] != '{' || e.ID() == "" {
			return b, fault.New(fault.Invalid, "invalid_request", "data[%d] has no elementId", i)
		}
		b.raws = append(b.raws, e.raw)
	}
	return b, nil
}

func wellFormed(body []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	err := d.SkipValue()
	if err == nil {
		if k := d.PeekKind(); k != 0 {
			err = errors.New("bytes follow the document")
		}
	}
	if err != nil {
		return fault.New(fault.Invalid, "invalid_request", "the body is not well-formed JSON (at byte %d)", d.InputOffset()).Wrap(err)
	}
	return nil
}

// readColumns reads the elements of a gRPC chunk.
func readColumns(kind Kind, base uint64, data []byte, starts, ends []uint32) (Batch, error) {
	b := Batch{kind: kind}
	if len(starts) != len(ends) {
		return b, invalid("a chunk has %d starts and %d ends", len(starts), len(ends))
	}
	for i := range starts {
		if starts[i] > ends[i] || int64(ends[i]) > int64(len(data)) {
			return b, invalid("element %d lies outside its chunk", base+uint64(i))
		}
		e := Element{kind: kind, raw: data[starts[i]:ends[i]:ends[i]]}
		if err := wellFormed(e.raw); err != nil {
			return b, invalid("element %d is not well-formed JSON", base+uint64(i))
		}
		if e.raw[0] != '{' || e.ID() == "" {
			return b, invalid("element %d has no elementId", base+uint64(i))
		}
		b.raws = append(b.raws, e.raw)
	}
	return b, nil
}

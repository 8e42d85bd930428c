package element

import (
	"errors"
	"strconv"

	"github.com/muster-fleet/muster/proto/fault"
)

// ErrMore says that the bytes end inside the value: with more of them it may be
// read.
var ErrMore = errors.New("the JSON ends too early")

// ErrNotJSON says that the bytes are not JSON by this package's rules.
var ErrNotJSON = errors.New("not valid JSON")

// ShapeError is JSON that is well-formed but no element; it quotes nothing.
type ShapeError struct{ why flaw }

// Error says what is wrong.
func (e *ShapeError) Error() string { return e.why.String() }

// Unnamed reports whether the element has a member that the contract does not
// name, beside whatever else may be wrong with it.
func (e *ShapeError) Unnamed() bool { return e.why == flawUnnamed }

// NotObject reports whether there is no object at all where the element should be.
func (e *ShapeError) NotObject() bool { return e.why == flawNotObject }

// Single reads elements and values one at a time out of bytes that arrive piece
// by piece, by the rules of ParseRequest. The zero value is ready for use, by
// one goroutine at a time; it reuses its memory.
type Single struct {
	p     parser
	batch Batch
	f     follower
}

// Value reads the value that begins at b[0] and returns its length. depth is
// how many arrays and objects are open around it. A number may go on behind b.
func (s *Single) Value(b []byte, depth int) (int, error) {
	s.p.names = s.p.names[:0]
	return s.result(s.p.value(b, 0, depth))
}

// String reads the string token that begins at b[0] and returns its length with
// the quotes.
func (s *Single) String(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, ErrMore
	}
	if b[0] != '"' {
		return 0, ErrNotJSON
	}
	end, _ := scanString(b, 1)
	return s.result(end)
}

// Element reads the element that begins at b[0] and returns its length. Its
// parts are then in View. depth is how many arrays and objects are open around it.
func (s *Single) Element(b []byte, kind Kind, depth int) (int, error) {
	s.batch.reset(kind, b)
	s.p.into(&s.batch)
	s.p.names = s.p.names[:0]
	return s.result(s.p.element(b, 0, depth))
}

// View returns the element read last; it is valid until the next call.
func (s *Single) View() View { return s.batch.View(0) }

// Release lets go of the bytes read last, so that they can be collected.
func (s *Single) Release() {
	s.batch.reset(s.batch.kind, nil)
	clear(s.f.changes[:cap(s.f.changes)])
}

func (s *Single) result(n int) (int, error) {
	switch n {
	case bad:
		return 0, ErrNotJSON
	case more:
		return 0, ErrMore
	case shape:
		return 0, &ShapeError{s.p.why}
	default:
		return n, nil
	}
}

// ParseElements reads elements that came as columns: element i is
// data[starts[i]:ends[i]], exactly one element without anything around it, and
// the columns ascend without overlapping. The batch keeps data. Ids that repeat
// are refused, because a sender leaves repetitions out. Its errors are
// *fault.Error "invalid_request", with the ordinal counted from base.
func ParseElements(kind Kind, base uint64, data []byte, starts, ends []uint32) (*Batch, error) {
	b := &Batch{}
	b.reset(kind, data)
	if err := b.columns(&parser{}, base, starts, ends); err != nil {
		return nil, err
	}
	n := len(b.recs)
	if first, second, ok := b.settle(); !ok || len(b.recs) != n {
		if ok {
			return nil, columnFault(kind, base, 0, "elements repeat within one chunk")
		}
		return nil, columnFault(kind, base, second, "the elementId of element "+ordinalText(base, first)+" again")
	}
	return b, nil
}

// columns reads every element of a chunk into the batch.
func (b *Batch) columns(p *parser, base uint64, starts, ends []uint32) error {
	if len(starts) != len(ends) {
		return columnFault(b.kind, base, 0, "starts and ends differ in length")
	}
	p.into(b)
	var last uint32
	for i, from := range starts {
		to := ends[i]
		if from < last || to < from || uint64(to) > uint64(len(b.body)) {
			return columnFault(b.kind, base, i, "starts and ends have to ascend within data")
		}
		p.names = p.names[:0]
		// The text ends where the element is said to end, so that no element can
		// reach into its neighbour; offsets stay those of the whole chunk.
		end := p.element(b.body[:to], int(from), 2)
		switch {
		case end == shape:
			return columnFault(b.kind, base, i, p.why.String())
		case end < 0:
			return columnFault(b.kind, base, i, explain(b.body[from:to]).what)
		case end != int(to):
			return columnFault(b.kind, base, i, "bytes after the element's end")
		}
		last = to
	}
	return nil
}

func columnFault(kind Kind, base uint64, i int, what string) error {
	return fault.New(fault.Invalid, codeInvalid, "%s[%s]: %s", kind.Key(), ordinalText(base, i), what)
}

func ordinalText(base uint64, i int) string { return strconv.FormatUint(base+uint64(i), 10) }

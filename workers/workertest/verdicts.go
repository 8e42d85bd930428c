package workertest

import (
	"errors"
	"fmt"
	"math/bits"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/element"
)

// maxReason bounds a reason code, in bytes.
const maxReason = 200

// verdictReader holds the verdict chunks of one gRPC stream against what was
// sent, as strictly as a gateway.
type verdictReader struct {
	sent    *element.Batch
	next    uint64
	visible []bool
	strips  map[uint64]map[string]bool
	masks   map[uint64]map[string]string
}

func newVerdictReader(sent *element.Batch) *verdictReader {
	return &verdictReader{
		sent: sent, visible: make([]bool, sent.Len()),
		strips: map[uint64]map[string]bool{}, masks: map[uint64]map[string]string{},
	}
}

func (r *verdictReader) add(c *workerv1.VerdictChunk) error {
	if c == nil {
		return errors.New("an answer of the stream holds no chunk")
	}
	n := c.GetCount()
	switch {
	case c.GetBase() != r.next:
		return fmt.Errorf("a verdict chunk begins at ordinal %d; %d was due", c.GetBase(), r.next)
	case n == 0:
		return errors.New("a verdict chunk judges no element")
	case n > uint64(r.sent.Len())-r.next:
		return fmt.Errorf("verdicts came for %d elements; %d were sent", r.next+n, r.sent.Len())
	case uint64(len(c.GetVisible())) != (n+7)/8:
		return fmt.Errorf("a verdict chunk of %d elements has %d bytes of bits; %d are due", n, len(c.GetVisible()), (n+7)/8)
	}
	if rest := n % 8; rest != 0 && bits.Len8(c.GetVisible()[n/8]) > int(rest) {
		return errors.New("unused bits of a verdict chunk are not 0")
	}
	for i := range n {
		r.visible[r.next+i] = c.GetVisible()[i/8]>>(i%8)&1 == 1
	}
	if err := r.edits(c); err != nil {
		return err
	}
	r.next += n
	return nil
}

func (r *verdictReader) edits(c *workerv1.VerdictChunk) error {
	last := uint64(0)
	for i, s := range c.GetStrips() {
		if err := r.inOrder(c, "strip", i, s.GetOrdinal(), &last, false); err != nil {
			return err
		}
		for _, name := range s.GetProperties() {
			if err := r.hasProperty(s.GetOrdinal(), name); err != nil {
				return fmt.Errorf("a strip: %w", err)
			}
			put(r.strips, s.GetOrdinal(), name, true)
		}
	}
	last = 0
	for i, m := range c.GetMasks() {
		if err := r.inOrder(c, "mask", i, m.GetOrdinal(), &last, true); err != nil {
			return err
		}
		if err := r.hasProperty(m.GetOrdinal(), m.GetProperty()); err != nil {
			return fmt.Errorf("a mask: %w", err)
		}
		if !jsonScalar(m.GetValue()) {
			return fmt.Errorf("the mask of element %d is no JSON string, number, boolean or null of at most 1 KiB", m.GetOrdinal())
		}
		put(r.masks, m.GetOrdinal(), m.GetProperty(), string(m.GetValue()))
	}
	last = 0
	for i, reason := range c.GetReasons() {
		o := reason.GetOrdinal()
		if o < c.GetBase() || o-c.GetBase() >= c.GetCount() || (i > 0 && o <= last) {
			return fmt.Errorf("the reason for element %d is out of order or outside its chunk", o)
		}
		if len(reason.GetCode()) > maxReason {
			return fmt.Errorf("the reason for element %d has %d bytes; at most %d are allowed", o, len(reason.GetCode()), maxReason)
		}
		last = o
	}
	return nil
}

func put[V any](m map[uint64]map[string]V, ordinal uint64, name string, value V) {
	if m[ordinal] == nil {
		m[ordinal] = map[string]V{}
	}
	m[ordinal][name] = value
}

// inOrder checks where an edit stands: ascending, in its chunk, of a visible element.
func (r *verdictReader) inOrder(c *workerv1.VerdictChunk, what string, i int, ordinal uint64, last *uint64, again bool) error {
	switch {
	case ordinal < c.GetBase() || ordinal-c.GetBase() >= c.GetCount():
		return fmt.Errorf("a %s of element %d lies outside its chunk", what, ordinal)
	case i > 0 && (ordinal < *last || ordinal == *last && !again):
		return fmt.Errorf("the %s of element %d is out of order", what, ordinal)
	case !r.visible[ordinal]:
		return fmt.Errorf("a %s of element %d, which is hidden", what, ordinal)
	}
	*last = ordinal
	return nil
}

func (r *verdictReader) hasProperty(ordinal uint64, name string) error {
	for raw := range r.sent.Properties(int(ordinal)) {
		if element.TextEqual(raw, name) {
			return nil
		}
	}
	return fmt.Errorf("element %d has no property %q", ordinal, clip(name))
}

// finish is called after status OK, which makes the verdicts count.
func (r *verdictReader) finish() (outcome, error) {
	if r.next != uint64(r.sent.Len()) {
		return outcome{}, fmt.Errorf("verdicts came for %d elements; %d were sent", r.next, r.sent.Len())
	}
	out := outcome{verdicts: make([]string, r.sent.Len())}
	for i := range out.verdicts {
		if !r.visible[i] {
			out.verdicts[i] = hidden
			continue
		}
		e := r.edit(i)
		out.verdicts[i] = e.String()
		if e.masked {
			out.masked = append(out.masked, i)
		}
		out.elements = append(out.elements, r.text(i))
	}
	return out, nil
}

func (r *verdictReader) edit(i int) *edit {
	e := &edit{}
	for raw := range r.sent.Properties(i) {
		name := string(element.AppendText(nil, raw))
		if r.strips[uint64(i)][name] {
			e.strip(name)
		} else if value, ok := r.masks[uint64(i)][name]; ok {
			e.mask(name, value)
		}
	}
	return e
}

// text puts an element together as a gateway would show it.
func (r *verdictReader) text(i int) string {
	raw := r.sent.Raw(i)
	view := r.sent.View(i)
	from, to := view.PropertiesRaw()
	out := append([]byte(nil), raw[:from]...)
	sep := byte('{')
	for name, value := range r.sent.Properties(i) {
		plain := element.AppendText(nil, name)
		if r.strips[uint64(i)][string(plain)] {
			continue
		}
		if mask, ok := r.masks[uint64(i)][string(plain)]; ok {
			value = []byte(mask)
		}
		out = append(append(append(append(out, sep), name...), ':'), value...)
		sep = ','
	}
	if sep == '{' {
		out = append(out, sep)
	}
	return string(append(append(out, '}'), raw[to:]...))
}

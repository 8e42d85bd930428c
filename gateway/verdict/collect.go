package verdict

import (
	"fmt"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/element"
)

// MaxReason is the size in bytes of the longest reason code of a worker.
const MaxReason = 200

// Collector puts a gRPC worker's chunks of verdicts together. The chunks have to
// cover every element once, in ascending order. It is for one goroutine.
type Collector struct {
	set   Set
	limit int // how many elements there are; -1 when that is not known yet
	mask  bool
}

// NewCollector expects verdicts over n elements; -1 when the number will only be
// known at the end. mask allows changed values.
func NewCollector(n int, mask bool) *Collector {
	c := &Collector{limit: n, mask: mask}
	if n > 0 {
		c.set.visible = make([]uint64, 0, words(n))
	}
	return c
}

// Add takes the next chunk, which it does not keep. Its errors are *Violation.
func (c *Collector) Add(chunk *workerv1.VerdictChunk) error {
	base, count, bits := chunk.GetBase(), chunk.GetCount(), chunk.GetVisible()
	switch {
	case base != uint64(c.set.n):
		return violatef(ReasonBadChunk, "a chunk begins at element %d where %d is next", base, c.set.n)
	case count > 8*uint64(len(bits)) || uint64(len(bits)) != (count+7)/8:
		return violatef(ReasonBadChunk, "a chunk of %d verdicts comes with %d bytes of them", count, len(bits))
	case c.limit >= 0 && count > uint64(c.limit-c.set.n):
		return violatef(ReasonLongReply, "verdicts over more than the %d elements sent", c.limit)
	case count+base > maxElements:
		return violatef(ReasonLongReply, "verdicts over more than %d elements", uint64(maxElements))
	}
	if rest := count % 8; rest != 0 && bits[len(bits)-1]>>rest != 0 {
		return violatef(ReasonBadChunk, "a chunk has bits behind its last verdict")
	}
	c.set.append(bits, int(count))
	if err := c.strips(chunk); err != nil {
		return err
	}
	if err := c.masks(chunk); err != nil {
		return err
	}
	return c.reasons(chunk)
}

// maxElements is how many elements a stream may have; ordinals are 32 bits wide.
const maxElements = 1<<32 - 1

// append adds count verdicts, least significant bit first.
func (s *Set) append(bits []byte, count int) {
	for len(s.visible) < words(s.n+count) {
		s.visible = append(s.visible, 0)
	}
	for k, v := range bits {
		at := s.n + 8*k
		word, shift := at>>6, at&63
		s.visible[word] |= uint64(v) << shift
		if shift > 56 && v>>(64-shift) != 0 {
			s.visible[word+1] |= uint64(v) >> (64 - shift)
		}
	}
	s.n += count
}

// inside checks that ordinals of a sparse list ascend within the chunk.
func inside(chunk *workerv1.VerdictChunk, what string, ordinal uint64, last *int64, strictly bool) error {
	base := chunk.GetBase()
	if ordinal < base || ordinal-base >= chunk.GetCount() {
		return violatef(ReasonBadChunk, "a %s names an element outside its chunk", what)
	}
	if int64(ordinal) < *last || strictly && int64(ordinal) == *last {
		return violatef(ReasonBadChunk, "the %ss of a chunk do not ascend", what)
	}
	*last = int64(ordinal)
	return nil
}

func (c *Collector) strips(chunk *workerv1.VerdictChunk) error {
	last := int64(-1)
	for _, s := range chunk.GetStrips() {
		if err := inside(chunk, "strip", s.GetOrdinal(), &last, true); err != nil {
			return err
		}
		c.set.Strip(int(s.GetOrdinal()), s.GetProperties()...)
	}
	return nil
}

func (c *Collector) masks(chunk *workerv1.VerdictChunk) error {
	last := int64(-1)
	for _, m := range chunk.GetMasks() {
		if !c.mask {
			return violatef(ReasonChangedValue, "a mask, and the registration does not allow masks")
		}
		if err := inside(chunk, "mask", m.GetOrdinal(), &last, false); err != nil {
			return err
		}
		if !ValidMask(m.GetValue()) {
			return violatef(ReasonBadMask, "a mask is a JSON string, number, boolean or null of at most 1 KiB")
		}
		c.set.Mask(int(m.GetOrdinal()), m.GetProperty(), append([]byte(nil), m.GetValue()...))
	}
	return nil
}

// ValidMask reports whether a value may be a mask: a JSON string, number,
// boolean or null of at most MaxMask bytes, with nothing around it.
func ValidMask(value []byte) bool {
	if len(value) == 0 || len(value) > MaxMask {
		return false
	}
	switch value[0] {
	case '{', '[', ' ', '\t', '\n', '\r':
		return false
	}
	switch value[len(value)-1] {
	case ' ', '\t', '\n', '\r':
		return false
	}
	return element.Equal(value, value)
}

func (c *Collector) reasons(chunk *workerv1.VerdictChunk) error {
	last := int64(-1)
	for _, r := range chunk.GetReasons() {
		if err := inside(chunk, "reason", r.GetOrdinal(), &last, true); err != nil {
			return err
		}
		if len(r.GetCode()) > MaxReason {
			return violatef(ReasonBadReason, "a reason is longer than %d bytes", MaxReason)
		}
		c.set.Explain(int(r.GetOrdinal()), r.GetCode())
	}
	return nil
}

// Finish ends the reply after n elements were sent and returns the verdicts.
// The collector must not be used afterwards.
func (c *Collector) Finish(n int) (*Set, error) {
	switch {
	case c.set.n < n:
		return nil, violatef(ReasonShortReply, "verdicts over %d of %d elements", c.set.n, n)
	case c.set.n > n:
		return nil, violatef(ReasonLongReply, "verdicts over %d elements where %d were sent", c.set.n, n)
	}
	set := c.set
	return &set, nil
}

func violatef(reason, format string, args ...any) *Violation {
	return &Violation{reason, fmt.Sprintf(format, args...)}
}

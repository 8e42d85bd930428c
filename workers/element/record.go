package element

// Offsets are 32 bits wide: an element costs 48 bytes beside its text, a
// relationship 32 more, a property 8. A body is therefore at most MaxBody bytes.

// MaxBody is the size in bytes of the largest body that can be read.
const MaxBody = 1<<32 - 1

// MaxDepth is how deeply arrays and objects may be nested, the document's own
// object being depth 1. It is the default of the readers that workers are
// likely to use, so what passes here does not kill a worker behind.
const MaxDepth = 1000

// MaxID is the size in bytes of the longest elementId, unescaped.
const MaxID = 1 << 20

// span is a piece of the text. The text is the body followed by the arena, in
// which strings with escapes lie decoded: an offset of len(body) or more is in
// the arena. The zero span means "not there"; no string begins at offset 0.
type span struct{ from, to uint32 }

// record is where the parts of one element are.
type record struct {
	from, to  uint32 // the element's own bytes
	id        span   // elementId, decoded
	props     span   // the properties object with its braces
	firstProp uint32 // index of its first entry in props
	propCount uint32
	what      span   // a node's labels array with its brackets, a relationship's type, decoded
	skeleton  uint32 // see Batch.Skeleton
}

// ends is the rest of a relationship; all are decoded strings.
type ends struct{ start, end, startLabel, endLabel span }

// prop is where a property begins. Where its name and value end follows from
// what comes after, so that eight bytes are enough.
type prop struct {
	name  uint32 // offset of the name's opening quote
	value uint32 // offset of the value's first byte
}

// text resolves a span.
func text(body, arena []byte, s span) []byte {
	if n := uint32(len(body)); s.from >= n && s.to > s.from {
		return arena[s.from-n : s.to-n]
	}
	return body[s.from:s.to:s.to]
}

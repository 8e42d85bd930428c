package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/muster-fleet/muster/workers/element"
)

// MaxMaskBytes bounds the JSON text of a mask (fleet contract, section 4).
const MaxMaskBytes = 1 << 10

// maxReasonBytes bounds a reason code on the wire.
const maxReasonBytes = 200

// Verdict is what a worker says of one element. The zero Verdict hides the
// element. Verdicts are immutable values: the methods return changed copies, so
// one Verdict may be returned for many elements and from many goroutines.
type Verdict struct {
	visible bool
	reason  string
	strips  []string
	masks   []mask
	err     error
}

type mask struct {
	name string
	raw  json.RawMessage
}

// Keep shows the element whole.
func Keep() Verdict { return Verdict{visible: true} }

// Hide hides the element. The reason is a short code for the operator, never
// shown to the caller unless he holds the explain grant; it must not quote values
// and is cut to 200 bytes. It travels over gRPC only: the contract's REST answer
// has no place for it.
func Hide(reason string) Verdict { return Verdict{reason: cut(reason)} }

// Strip shows the element without the named properties. A name that the element
// does not have changes nothing.
func Strip(names ...string) Verdict { return Keep().Strip(names...) }

// Mask shows the element with another value for a property: a string, number,
// boolean or nil whose JSON text is at most MaxMaskBytes. It counts as a
// violation unless the worker's registration says mask. A property that the
// element does not have stays absent. A value of any other kind makes the request
// fail.
func Mask(name string, value any) Verdict { return Keep().Mask(name, value) }

// Fail makes the whole request fail: nothing of it is answered. Use it when the
// verdict cannot be found, such as when the policy's source is down. A
// *fault.Error is answered as it is; any other error is logged, so it must not
// quote property values, and answered as 503 policy_unavailable without its text.
// A nil error fails too.
func Fail(err error) Verdict {
	if err == nil {
		err = errors.New("worker: Fail was called without an error")
	}
	return Verdict{err: err}
}

// Strip returns v without further properties. A hidden element stays hidden.
func (v Verdict) Strip(names ...string) Verdict {
	v.strips = append(slices.Clip(v.strips), names...)
	return v
}

// Mask returns v with another value for a property, as the function Mask does. A
// later mask of the same property replaces an earlier one, and a strip of it wins
// over both. A hidden element stays hidden.
func (v Verdict) Mask(name string, value any) Verdict {
	raw, err := maskText(value)
	if err != nil {
		return Fail(fmt.Errorf("worker: mask of property %q: %w", name, err))
	}
	v.masks = append(slices.DeleteFunc(slices.Clone(v.masks), func(m mask) bool { return m.name == name }),
		mask{name: name, raw: raw})
	return v
}

// Because returns v with a reason, for verdicts that strip or mask.
func (v Verdict) Because(reason string) Verdict {
	v.reason = cut(reason)
	return v
}

// Visible reports whether the element, or a part of it, is shown.
func (v Verdict) Visible() bool { return v.visible && v.err == nil }

// Err returns the error that Fail was given; nil for all other verdicts.
func (v Verdict) Err() error { return v.err }

// Reason returns the reason code; may be empty.
func (v Verdict) Reason() string { return v.reason }

// Strips returns the names of the properties taken away. The slice must not be
// changed.
func (v Verdict) Strips() []string { return v.strips }

// Whole reports whether the element is shown exactly as it came.
func (v Verdict) Whole() bool { return v.Visible() && len(v.strips) == 0 && len(v.masks) == 0 }

// edited returns what becomes of a property of a visible element, given by its
// name's token: dropped, replaced by raw (not nil), or left alone.
func (v *Verdict) edited(name []byte) (drop bool, raw json.RawMessage) {
	for _, s := range v.strips {
		if element.TextEqual(name, s) {
			return true, nil
		}
	}
	for _, m := range v.masks {
		if element.TextEqual(name, m.name) {
			return false, m.raw
		}
	}
	return false, nil
}

func maskText(value any) (json.RawMessage, error) {
	switch x := value.(type) {
	case nil, bool, json.Number,
		int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
	case string:
		if !utf8.ValidString(x) {
			return nil, errors.New("the value is not valid UTF-8")
		}
	case float32:
		return maskText(float64(x))
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, errors.New("the value is not a finite number")
		}
	default:
		return nil, fmt.Errorf("a %T is no mask; give a string, number, boolean or nil", value)
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode the value: %w", err)
	}
	if len(raw) > MaxMaskBytes {
		return nil, fmt.Errorf("the value takes %d bytes of JSON; at most %d are allowed", len(raw), MaxMaskBytes)
	}
	return raw, nil
}

// cut shortens a reason to its limit without splitting a character.
func cut(s string) string {
	if len(s) <= maxReasonBytes && utf8.ValidString(s) {
		return s
	}
	clean := make([]byte, 0, maxReasonBytes)
	for _, r := range s {
		if len(clean)+utf8.RuneLen(r) > maxReasonBytes {
			break
		}
		clean = utf8.AppendRune(clean, r)
	}
	return string(clean)
}

package worker

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strconv"

	"github.com/muster-fleet/muster/workers/element"
)

// ValueKind is the JSON type of a property value.
type ValueKind uint8

// The JSON types. NoValue is the kind of the zero Value.
const (
	NoValue ValueKind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// Value is a property's value: JSON text, read when asked. It aliases the
// request's body; everything that its methods return is a copy, except Raw.
type Value struct {
	raw []byte
}

// Raw returns the value's own JSON text. It must not be changed.
func (v Value) Raw() json.RawMessage { return v.raw }

// Kind returns the value's JSON type.
func (v Value) Kind() ValueKind {
	if len(v.raw) == 0 {
		return NoValue
	}
	switch v.raw[0] {
	case 'n':
		return Null
	case 't', 'f':
		return Bool
	case '"':
		return String
	case '[':
		return Array
	case '{':
		return Object
	default:
		return Number
	}
}

// Text returns a string's characters; ok is false when the value is no string.
func (v Value) Text() (s string, ok bool) {
	if v.Kind() != String {
		return "", false
	}
	return string(element.AppendText(nil, v.raw)), true
}

// Bool returns a boolean; ok is false when the value is none.
func (v Value) Bool() (b, ok bool) {
	if v.Kind() != Bool {
		return false, false
	}
	return v.raw[0] == 't', true
}

// Int returns a number that is written as an integer and fits; ok is false for
// anything else, 1.0 and 1e3 included.
func (v Value) Int() (n int64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	n, err := strconv.ParseInt(string(v.raw), 10, 64)
	return n, err == nil
}

// Float returns the nearest float64 of a number; ok is false when the value is no
// number or is out of range. Integers beyond 2^53 lose digits: use Int or Number.
func (v Value) Float() (f float64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v.raw), 64)
	return f, err == nil
}

// Number returns a number's own text, which loses nothing.
func (v Value) Number() (n json.Number, ok bool) {
	if v.Kind() != Number {
		return "", false
	}
	return json.Number(v.raw), true
}

// BigInt returns a number that is written as an integer of any size; ok is false
// for anything else. Texts of more than 4,096 digits are not converted.
func (v Value) BigInt() (n *big.Int, ok bool) {
	const most = 4096
	if v.Kind() != Number || len(v.raw) > most {
		return nil, false
	}
	return new(big.Int).SetString(string(v.raw), 10)
}

// Any returns the value as encoding/json would decode it into an any, except that
// numbers come as json.Number so that none loses digits.
func (v Value) Any() any {
	if v.Kind() == NoValue {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(v.raw))
	d.UseNumber()
	var out any
	if err := d.Decode(&out); err != nil {
		// The text was validated when the request was read.
		return nil
	}
	return out
}

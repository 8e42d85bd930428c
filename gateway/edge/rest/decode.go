package rest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/muster-fleet/muster/gateway/probe"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/element"
)

// The codes of mistakes in bodies that have none of their own.
const (
	// CodeInvalidRequest is a body that is no JSON object, or a bad parameter.
	CodeInvalidRequest = "invalid_request"
	// CodeBadRequest is a member that is unknown or has the wrong type.
	CodeBadRequest = "bad_request"
)

// Field is a member that a body may have.
type Field struct {
	// Code is the mistake of a value that has the wrong type.
	Code string
	// Want says which type is right, for people.
	Want string
	// Set takes the value over and reports whether it has the right type. What it
	// is given has been read strictly: it is valid JSON without repeated names.
	Set func(raw []byte) bool
}

// Fields are the members that an object may have, by name.
type Fields map[string]Field

// Reader reads a body and gathers what is wrong with it. It is for one
// goroutine; the zero value is ready.
type Reader struct {
	// Violations are the mistakes so far, in the order of the body.
	Violations []fault.Violation
}

// Read reads one object. The error is a *fault.Error of kind Invalid: the body is
// no JSON object, so there is nothing to gather.
func (r *Reader) Read(body []byte, known Fields) error {
	members, err := element.ReadObject(body, len(body))
	if err != nil {
		var syntax *element.SyntaxError
		if errors.As(err, &syntax) {
			return fault.New(fault.Invalid, CodeInvalidRequest,
				"the body is not one JSON object: %s at byte %d", syntax.What, syntax.Offset).Wrap(err)
		}
		return fault.From(err)
	}
	r.Members("", members, known)
	return nil
}

// Members takes over the members of an object at a JSON pointer.
func (r *Reader) Members(pointer string, members []element.Member, known Fields) {
	for _, m := range members {
		at := pointer + "/" + EscapePointer(m.Name)
		f, ok := known[m.Name]
		switch {
		case !ok:
			r.Add(CodeBadRequest, at, "the member %q is unknown here; known are %s", probe.Printable(m.Name, 60), known)
		case !f.Set(m.Value):
			r.Add(f.Code, at, "%s has to be %s", strings.ReplaceAll(strings.TrimPrefix(at, "/"), "/", "."), f.Want)
		}
	}
}

// Add notes a mistake at a JSON pointer.
func (r *Reader) Add(code, pointer, format string, args ...any) {
	r.Violations = append(r.Violations, fault.Violation{Code: code, Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

// Object is a member that is itself an object.
func (r *Reader) Object(pointer string, code string, known Fields) Field {
	return Field{code, "an object", func(raw []byte) bool {
		members, err := element.ReadObject(raw, len(raw))
		if err != nil {
			return false // the body was read strictly, so it is another type
		}
		r.Members(pointer, members, known)
		return true
	}}
}

// String lists the names, sorted.
func (f Fields) String() string {
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// Text is a member that is a string.
func Text(code string, set func(string)) Field {
	return Field{code, "a string", func(raw []byte) bool {
		if len(raw) == 0 || raw[0] != '"' {
			return false
		}
		set(string(element.AppendText(nil, raw)))
		return true
	}}
}

// OptionalText is Text that is told apart from a member that is not there.
func OptionalText(code string, to **string) Field {
	return Text(code, func(s string) { *to = &s })
}

// Flag is a member that is true or false.
func Flag(code string, to **bool) Field {
	return Field{code, "true or false", func(raw []byte) bool {
		b := string(raw) == "true"
		if !b && string(raw) != "false" {
			return false
		}
		*to = &b
		return true
	}}
}

// Whole is a member that is a whole number.
func Whole(code string, to **int) Field {
	return Field{code, "a whole number, written without fraction and exponent", func(raw []byte) bool {
		n, err := strconv.ParseInt(string(raw), 10, 32)
		if err != nil {
			return false
		}
		i := int(n)
		*to = &i
		return true
	}}
}

// Moment is a member that is a time.
func Moment(code string, to **time.Time) Field {
	return Field{code, "a time such as \"2027-01-31T06:00:00Z\" (RFC 3339)", func(raw []byte) bool {
		if len(raw) == 0 || raw[0] != '"' {
			return false
		}
		t, err := time.Parse(time.RFC3339, string(element.AppendText(nil, raw)))
		if err != nil {
			return false
		}
		*to = &t
		return true
	}}
}

// EscapePointer makes a reference token of RFC 6901.
func EscapePointer(name string) string {
	name = strings.ReplaceAll(name, "~", "~0")
	return strings.ReplaceAll(name, "/", "~1")
}

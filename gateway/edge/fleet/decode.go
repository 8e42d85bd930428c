package fleet

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

// maxBody bounds the bodies of this API, in bytes.
const maxBody = 1 << 20

// The codes of mistakes in bodies.
const (
	codeInvalidRequest = "invalid_request"
	codeBadRequest     = "bad_request"
	codeBadURL         = "bad_url"
	codeBadUUID        = "bad_uuid"
	codeBadSettings    = "bad_settings"
	codeBadTransport   = "bad_transport"
)

// field is a member that a body may have.
type field struct {
	// code is the mistake of a value that has the wrong type.
	code string
	// want says which type is right, for people.
	want string
	// set takes the value over and reports whether it has the right type.
	set func(raw []byte) bool
}

// fields are the members that an object may have, by name.
type fields map[string]field

// reader reads a body and gathers what is wrong with it.
type reader struct{ violations []fault.Violation }

// read reads one object. The error is a *fault.Error of kind Invalid: the body is
// no JSON object, so there is nothing to gather.
func (r *reader) read(body []byte, known fields) error {
	members, err := element.ReadObject(body, maxBody)
	if err != nil {
		var syntax *element.SyntaxError
		if errors.As(err, &syntax) {
			return fault.New(fault.Invalid, codeInvalidRequest,
				"the body is not one JSON object: %s at byte %d", syntax.What, syntax.Offset).Wrap(err)
		}
		return fault.From(err)
	}
	r.members("", members, known)
	return nil
}

func (r *reader) members(pointer string, members []element.Member, known fields) {
	for _, m := range members {
		at := pointer + "/" + escapePointer(m.Name)
		f, ok := known[m.Name]
		switch {
		case !ok:
			r.add(codeBadRequest, at, "the member %q is unknown here; known are %s", probe.Printable(m.Name, 60), known)
		case !f.set(m.Value):
			r.add(f.code, at, "%s has to be %s", strings.ReplaceAll(strings.TrimPrefix(at, "/"), "/", "."), f.want)
		}
	}
}

func (r *reader) add(code, pointer, format string, args ...any) {
	r.violations = append(r.violations, fault.Violation{Code: code, Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

// object is a member that is itself an object.
func (r *reader) object(pointer string, code string, known fields) field {
	return field{code, "an object", func(raw []byte) bool {
		members, err := element.ReadObject(raw, len(raw))
		if err != nil {
			return false // the body was read strictly, so it is another type
		}
		r.members(pointer, members, known)
		return true
	}}
}

// String lists the names, sorted.
func (f fields) String() string {
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// text is a member that is a string.
func text(code string, set func(string)) field {
	return field{code, "a string", func(raw []byte) bool {
		if len(raw) == 0 || raw[0] != '"' {
			return false
		}
		set(string(element.AppendText(nil, raw)))
		return true
	}}
}

func optionalText(code string, to **string) field {
	return text(code, func(s string) { *to = &s })
}

// flag is a member that is true or false.
func flag(code string, to **bool) field {
	return field{code, "true or false", func(raw []byte) bool {
		b := string(raw) == "true"
		if !b && string(raw) != "false" {
			return false
		}
		*to = &b
		return true
	}}
}

// whole is a member that is a whole number.
func whole(code string, to **int) field {
	return field{code, "a whole number, written without fraction and exponent", func(raw []byte) bool {
		n, err := strconv.ParseInt(string(raw), 10, 32)
		if err != nil {
			return false
		}
		i := int(n)
		*to = &i
		return true
	}}
}

// moment is a member that is a time.
func moment(code string, to **time.Time) field {
	return field{code, "a time such as \"2027-01-31T06:00:00Z\" (RFC 3339)", func(raw []byte) bool {
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

// escapePointer makes a reference token of RFC 6901.
func escapePointer(name string) string {
	name = strings.ReplaceAll(name, "~", "~0")
	return strings.ReplaceAll(name, "/", "~1")
}

package element

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/muster-fleet/muster/proto/fault"
)

const codeInvalid = "invalid_request"

// mistake is what is wrong with a body and where.
type mistake struct {
	place  string // "data[3]", or empty for the body as a whole
	offset int    // byte offset in the body, counted from 0; -1 for none
	what   string
}

func (m *mistake) Error() string {
	s := m.what
	if m.place != "" {
		s = m.place + ": " + s
	}
	if m.offset >= 0 {
		s += fmt.Sprintf(" (byte %d)", m.offset)
	}
	return s
}

func (m *mistake) fault() *fault.Error {
	return fault.New(fault.Invalid, codeInvalid, "%s", m.Error())
}

// String says what is wrong and what to do about it.
func (f flaw) String() string {
	switch f {
	case flawNotObject:
		return "an element has to be an object"
	case flawID:
		return "elementId has to be there and to be a string that is not empty"
	case flawLongID:
		return fmt.Sprintf("elementId is longer than %d bytes", MaxID)
	case flawLabels:
		return "labels has to be there and to be an array of strings"
	case flawProps:
		return "properties has to be there and to be an object"
	case flawType:
		return "type has to be there and to be a string"
	case flawStart:
		return "startNodeElementId has to be there and to be a string"
	case flawEnd:
		return "endNodeElementId has to be there and to be a string"
	case flawEndLabel:
		return "startNodeLabel and endNodeLabel have to be strings where they are there"
	case flawUnnamed:
		return "a member that the contract does not name; leave it out, or set filter.unknownMembers to drop"
	case flawOverflows:
		return "the body holds more decoded text than can be read; split the call"
	default:
		return "not an element"
	}
}

// syntax turns an error of jsontext into a mistake without its quotations.
func syntax(err error, offset int) *mistake {
	m := &mistake{offset: offset, what: "not valid JSON"}
	var at *jsontext.SyntacticError
	if errors.As(err, &at) {
		m.offset = int(at.ByteOffset)
		m.place = pointerPlace(string(at.JSONPointer))
	}
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		m.what = "an object has the same name twice"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		m.what = "the JSON ends too early"
	case err != nil && strings.Contains(err.Error(), "invalid UTF-8"):
		m.what = "invalid UTF-8 in a string"
	case err != nil && strings.Contains(err.Error(), "surrogate pair"):
		m.what = "half a surrogate pair in a string; it is no character"
	case err != nil && strings.Contains(err.Error(), "exceeded max depth"):
		m.what = tooDeeply() // it gives up before tooDeep is asked
	}
	return m
}

func tooDeeply() string {
	return fmt.Sprintf("arrays and objects are nested too deeply, more than %d of them", MaxDepth)
}

// pointerPlace turns the JSON Pointer of a place inside an element into
// "data[3]" or "data.nodes[3]"; of any other place it makes nothing.
func pointerPlace(pointer string) string {
	parts := strings.Split(pointer, "/")
	if len(parts) < 3 || parts[1] != "data" {
		return ""
	}
	list, index := "", parts[2]
	if parts[2] == Nodes.Key() || parts[2] == Relationships.Key() {
		if len(parts) < 4 {
			return ""
		}
		list, index = "."+parts[2], parts[3]
	}
	if _, err := strconv.Atoi(index); err != nil {
		return ""
	}
	return "data" + list + "[" + index + "]"
}

// elementPlace names an element in messages.
func elementPlace(t Type, k Kind, place int) string {
	if t == TypeGraph {
		return fmt.Sprintf("data.%s[%d]", k.Key(), place)
	}
	return fmt.Sprintf("data[%d]", place)
}

func (r *Request) repeated(k Kind, first, second int) error {
	m := mistake{
		place: elementPlace(r.Type, k, second), offset: -1,
		what: fmt.Sprintf("the elementId of %s again, with other content", elementPlace(r.Type, k, first)),
	}
	return m.fault()
}

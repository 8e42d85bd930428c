package token

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// member is one name of an object and its value's text, both valid only until
// the visitor returns.
type member struct {
	name  string
	value jsontext.Value
}

// eachMember reads data as one JSON object and visits its members in order. It
// refuses what two readers could see differently: duplicate names at any depth,
// invalid UTF-8, trailing bytes.
func eachMember(data []byte, visit func(m member) error) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data))
	open, err := dec.ReadToken()
	if err != nil {
		return reason(err)
	}
	if open.Kind() != '{' {
		return errors.New("is not a JSON object")
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return reason(err)
		}
		m := member{name: name.String()}
		if m.value, err = dec.ReadValue(); err != nil {
			return reason(err)
		}
		if err := visit(m); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return reason(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("has bytes after its end")
	}
	return nil
}

// reason shortens a reader's error to what may be shown: where and what, never
// the text around it, which may be a claim.
func reason(err error) error {
	var syn *jsontext.SyntacticError
	if !errors.As(err, &syn) {
		return errors.New("is cut off")
	}
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Errorf("has a duplicate name at byte %d", syn.ByteOffset)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("is cut off at byte %d", syn.ByteOffset)
	default:
		return fmt.Errorf("is not strict JSON at byte %d", syn.ByteOffset)
	}
}

func (m member) wrong(want string) error {
	return fmt.Errorf("has a %q that is not %s", m.name, want)
}

func (m member) text() (string, error) {
	if m.value.Kind() != '"' {
		return "", m.wrong("a string")
	}
	b, err := jsontext.AppendUnquote(nil, m.value)
	if err != nil {
		return "", m.wrong("a string")
	}
	return string(b), nil
}

func (m member) boolean() (bool, error) {
	switch m.value.Kind() {
	case 't':
		return true, nil
	case 'f':
		return false, nil
	default:
		return false, m.wrong("a boolean")
	}
}

// texts reads an array of strings; never nil without an error.
func (m member) texts() ([]string, error) {
	const want = "an array of strings"
	if m.value.Kind() != '[' {
		return nil, m.wrong(want)
	}
	out := []string{}
	dec := jsontext.NewDecoder(bytes.NewBuffer(m.value))
	if _, err := dec.ReadToken(); err != nil {
		return nil, m.wrong(want)
	}
	for dec.PeekKind() != ']' {
		t, err := dec.ReadToken()
		if err != nil || t.Kind() != '"' {
			return nil, m.wrong(want)
		}
		out = append(out, t.String())
	}
	return out, nil
}

// maxDate is the end of the year 9999, the last second that RFC 3339 can show.
const maxDate = 253402300799

// date reads a NumericDate (RFC 7519 section 2): seconds since 1970, a number,
// with or without a fraction.
func (m member) date() (time.Time, error) {
	const want = "a number of seconds since 1970"
	if m.value.Kind() != '0' {
		return time.Time{}, m.wrong(want)
	}
	f, err := strconv.ParseFloat(string(m.value), 64)
	if err != nil || f < 0 || f > maxDate {
		return time.Time{}, m.wrong(want)
	}
	whole, frac := math.Modf(f)
	return time.Unix(int64(whole), int64(frac*float64(time.Second))).UTC(), nil
}

package element

import "fmt"

// Member is one member of a JSON object.
type Member struct {
	// Name is decoded.
	Name string
	// Value is the value's bytes as they were written; it aliases the document.
	Value []byte
	// Offset is where the value begins in the document, in bytes from 0.
	Offset int
}

// SyntaxError is what is wrong with a small document, and where. It quotes
// nothing of the document.
type SyntaxError struct {
	// Offset is in bytes from 0.
	Offset int
	What   string
}

// Error returns the text and the offset.
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.What, e.Offset) }

// ReadObject reads a small JSON object strictly: names unique in it and in all
// objects inside, valid UTF-8, nothing behind it but white space, nested no
// deeper than MaxDepth, at most limit bytes. Members keep their order. Its
// errors are *SyntaxError.
func ReadObject(data []byte, limit int) ([]Member, error) {
	if len(data) > limit {
		return nil, &SyntaxError{limit, fmt.Sprintf("the document is longer than %d bytes", limit)}
	}
	var s nameScanner
	from := skipSpace(data, 0)
	if from == len(data) {
		return nil, &SyntaxError{from, "the document is empty"}
	}
	if to := s.value(data, from, 0); to < 0 || skipSpace(data, to) != len(data) {
		m := explain(data)
		return nil, &SyntaxError{max(m.offset, 0), m.what}
	}
	if data[from] != '{' {
		return nil, &SyntaxError{from, "the document is no object"}
	}
	pairs := members(nil, data[from:])
	out := make([]Member, len(pairs))
	for i, p := range pairs {
		out[i] = Member{
			Name:   string(AppendText(nil, p.name)),
			Value:  p.value,
			Offset: cap(data) - cap(p.value), // both end where the array behind them ends
		}
	}
	return out, nil
}

package verdict

import (
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/muster-fleet/muster/workers/element"
)

// ReplyOptions say what was asked and what may be answered.
type ReplyOptions struct {
	// Mask allows changed values.
	Mask bool
	// MaxBytes is the longest reply allowed; 0 means four times the elements'
	// bytes and 1 MiB.
	MaxBytes int64
	// From and To are the elements that were sent: [From, To). To 0 means all.
	From, To int
}

// ReadReply reads a worker's answer over REST, to its very end, and returns the
// verdicts over the elements that were sent: element From is the set's 0. It
// compares the answer with the request's own bytes while it arrives: an element
// that came back byte for byte is proved to be whole without being parsed. All
// others are parsed strictly and compared value by value. Its error is a
// *Violation, or the reader's own error unchanged; an answer whose body did not
// end as framed is the latter. hint may be nil.
func ReadReply(r io.Reader, b *element.Batch, o ReplyOptions, hint *Hint) (*Set, error) {
	if o.To == 0 {
		o.To = b.Len()
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 4*int64(b.Size(o.From, o.To)) + 1<<20
	}
	m := matchers.Get().(*matcher)
	defer matchers.Put(m)
	return m.read(r, b, o, hint)
}

var matchers = sync.Pool{New: func() any { return new(matcher) }}

// matcher matches one reply against the elements it answers.
type matcher struct {
	w      window
	single element.Single
	b      *element.Batch
	o      ReplyOptions
	hint   *Hint
	set    *Set
	cursor int // the element after the one answered last
	plain  []byte
	names  map[string]string // names of stripped and masked properties, each kept once
	// How the elements came: byte for byte, or written anew.
	verbatim, parsed int
	reformats        bool
	searched         bool // the table of ids has been asked
}

func (m *matcher) read(r io.Reader, b *element.Batch, o ReplyOptions, hint *Hint) (*Set, error) {
	m.start(r, b, o, hint)
	defer m.stop()
	if err := m.document(); err != nil {
		return nil, err
	}
	m.finish()
	return m.set, nil
}

func (m *matcher) start(r io.Reader, b *element.Batch, o ReplyOptions, hint *Hint) {
	m.w.reset(r, o.MaxBytes)
	m.b, m.o, m.hint = b, o, hint
	m.set = NewHidden(o.To - o.From)
	m.cursor, m.verbatim, m.parsed = o.From, 0, 0
	m.reformats, m.searched = hint.reformats(), false
}

// stop lets go of all that belongs to the request.
func (m *matcher) stop() {
	m.single.Release()
	m.w.r, m.b, m.set, m.hint = nil, nil, nil, nil
	clear(m.names)
}

// finish puts the sparse lists into order: a reply need not keep any.
func (m *matcher) finish() {
	m.hint.note(m.verbatim, m.parsed)
	if !slices.IsSortedFunc(m.set.strips, compareStrips) {
		slices.SortFunc(m.set.strips, compareStrips)
	}
	if !slices.IsSortedFunc(m.set.masks, compareMasks) {
		slices.SortFunc(m.set.masks, compareMasks)
	}
}

// document reads the reply whole.
func (m *matcher) document() error {
	found := false
	err := m.object(func(name []byte) error {
		if string(name) != "result" {
			// As in requests, what else is at the top level is checked as JSON
			// and ignored; a gateway below explains itself there.
			_, err := m.w.take(func(b []byte) (int, error) { return m.single.Value(b, 1) })
			return m.jsonError(err)
		}
		found = true
		return m.result()
	})
	if err != nil {
		return err
	}
	if !found {
		return &Violation{ReasonWrongShape, "the reply has no result"}
	}
	_, more, err := m.w.peek()
	switch {
	case err != nil:
		return err
	case more:
		return &Violation{ReasonTrailingBytes, "bytes after the end of the JSON document"}
	default:
		return nil
	}
}

// result reads the member result: one key, the kind that was asked for.
func (m *matcher) result() error {
	c, ok, err := m.w.peek()
	if err != nil {
		return err
	}
	if ok && c != '{' {
		return &Violation{ReasonWrongShape, "result is no object"}
	}
	found := false
	err = m.object(func(name []byte) error {
		if string(name) != m.b.Kind().Key() {
			return &Violation{ReasonWrongKey, "result has another member than " + m.b.Kind().Key()}
		}
		found = true
		return m.elements()
	})
	if err == nil && !found {
		return &Violation{ReasonWrongKey, "result has no member " + m.b.Kind().Key()}
	}
	return err
}

// maxMembers bounds the members of an object around the elements.
const maxMembers = 64

// object reads an object around the elements; visit consumes each value.
func (m *matcher) object(visit func(name []byte) error) error {
	if err := m.w.expect('{'); err != nil {
		return err
	}
	if c, ok, err := m.w.peek(); err != nil {
		return err
	} else if ok && c == '}' {
		m.w.pos++
		return nil
	}
	var seen []string
	for {
		if _, ok, err := m.w.peek(); err != nil {
			return err
		} else if !ok {
			return tooShort()
		}
		token, err := m.w.take(m.single.String)
		if err != nil {
			return m.jsonError(err)
		}
		m.plain = element.AppendText(m.plain[:0], token)
		if slices.Contains(seen, string(m.plain)) {
			return &Violation{ReasonNotJSON, "an object has the same name twice"}
		}
		if seen = append(seen, string(m.plain)); len(seen) > maxMembers {
			return &Violation{ReasonWrongShape, "an object around the elements has too many members"}
		}
		if err := m.w.expect(':'); err != nil {
			return err
		}
		if _, _, err := m.w.peek(); err != nil {
			return err
		}
		if err := visit(m.plain); err != nil {
			return err
		}
		if last, err := m.separator('}'); last || err != nil {
			return err
		}
	}
}

// separator consumes a comma, or the closing byte and reports it.
func (m *matcher) separator(closing byte) (last bool, err error) {
	c, ok, err := m.w.peek()
	switch {
	case err != nil:
		return false, err
	case !ok:
		return false, tooShort()
	case c != ',' && c != closing:
		return false, notJSON()
	}
	m.w.pos++
	return c == closing, nil
}

// elements reads the array of elements.
func (m *matcher) elements() error {
	c, ok, err := m.w.peek()
	if err != nil {
		return err
	}
	if ok && c != '[' {
		return &Violation{ReasonWrongShape, m.b.Kind().Key() + " is no array"}
	}
	if err := m.w.expect('['); err != nil {
		return err
	}
	if c, _, err := m.w.peek(); err != nil {
		return err
	} else if c == ']' {
		m.w.pos++
		return nil
	}
	for {
		if err := m.run(); err != nil {
			return err
		}
		if err := m.element(); err != nil {
			return err
		}
		if last, err := m.separator(']'); last || err != nil {
			return err
		}
	}
}

// element reads the next element.
func (m *matcher) element() error {
	if _, _, err := m.w.peek(); err != nil {
		return err
	}
	if !m.reformats || m.parsed%retryVerbatim == 0 {
		ordinal, err := m.sameBytes()
		if err != nil {
			return err
		}
		if ordinal >= 0 {
			m.verbatim++
			m.reformats = false
			return m.show(ordinal)
		}
	}
	m.parsed++
	if done, err := m.rewritten(); done || err != nil {
		return err
	}
	_, err := m.w.take(func(b []byte) (int, error) { return m.single.Element(b, m.b.Kind(), elementDepth) })
	if err != nil {
		return m.jsonError(err)
	}
	v := m.single.View()
	ordinal, ok := m.ordinal(v.ID())
	if !ok {
		return &Violation{ReasonForeignID, "an element that was not sent"}
	}
	if err := m.show(ordinal); err != nil {
		return err
	}
	return m.compare(ordinal, &v)
}

// elementDepth is how many arrays and objects count as open around an element
// of a reply: as many as in a request, so that what could be sent can come back.
const elementDepth = 2

// show notes that an element came back.
func (m *matcher) show(ordinal int) error {
	i := ordinal - m.o.From
	if m.set.Visible(i) {
		return &Violation{ReasonRepeatedID, "an element came back twice"}
	}
	m.set.Show(i)
	m.cursor = ordinal + 1
	return nil
}

// jsonError turns what the reader says of bytes into a violation.
func (m *matcher) jsonError(err error) error {
	var s *element.ShapeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &s) && s.Unnamed():
		return &Violation{ReasonAddedMember, "an element with a member that the contract does not name"}
	case errors.As(err, &s) && !s.NotObject():
		return &Violation{ReasonMissingMember, s.Error()}
	case errors.As(err, &s):
		return &Violation{ReasonWrongShape, s.Error()}
	case errors.Is(err, element.ErrNotJSON):
		return notJSON()
	case errors.Is(err, element.ErrMore):
		return tooShort()
	default:
		return err
	}
}

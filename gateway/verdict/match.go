package verdict

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync/atomic"

	"github.com/muster-fleet/muster/workers/element"
)

// lookahead is how many elements are tried in order before the table of ids is
// asked: a worker that hides a few keeps the rest in order.
const lookahead = 4

// nearby is how many elements are tried by their ids before the table is built: a
// worker that hides many in a row, or keeps few, need not cost one.
const nearby = 64

// retryVerbatim is how often a worker that is known to write its elements anew
// is tried byte for byte: once in so many elements.
const retryVerbatim = 64

// run consumes elements that came byte for byte and in order, each with the comma
// behind it, as far as the window shows them whole: what most of a reply is. It
// ends, without an error, before whatever is not of that kind.
func (m *matcher) run() error {
	if m.reformats {
		return nil
	}
	rest := m.w.rest()
	at := 0
	for k := m.inOrder(rest); k >= 0; k = m.inOrder(rest[at:]) {
		if err := m.show(k); err != nil {
			return err
		}
		m.verbatim++
		at += m.b.Length(k) + 1
	}
	m.w.pos += at
	return nil
}

// inOrder returns which of the next elements text begins with, a comma behind it;
// -1 when it is none of them.
func (m *matcher) inOrder(text []byte) int {
	for k := m.cursor; k < m.o.To && k < m.cursor+lookahead; k++ {
		raw, _, idTo := m.b.Shape(k)
		n := len(raw)
		if len(text) <= n || text[n] != ',' {
			continue
		}
		// The end of the id tells neighbours apart at once.
		if idTo >= 8 && binary.LittleEndian.Uint64(text[idTo-8:]) != binary.LittleEndian.Uint64(raw[idTo-8:]) {
			continue
		}
		if bytes.Equal(text[:n], raw) {
			return k
		}
	}
	return -1
}

// sameBytes looks for the element that the window's next bytes are, byte for
// byte, and consumes it; -1 when there is none. Equal bytes are the whole proof:
// the request's bytes have been validated. How the candidate was found does not
// matter to it.
func (m *matcher) sameBytes() (int, error) {
	for k := m.cursor; k < m.o.To && k < m.cursor+lookahead; k++ {
		if ok, err := m.tryBytes(k); ok || err != nil {
			return k, err
		}
	}
	k := m.guess()
	if k < 0 {
		return -1, nil
	}
	ok, err := m.tryBytes(k)
	if !ok {
		k = -1
	}
	return k, err
}

// tryBytes consumes the window's next bytes if they are element k's.
func (m *matcher) tryBytes(k int) (bool, error) {
	raw, _, idTo := m.b.Shape(k)
	rest := m.w.rest()
	if len(rest) < len(raw) {
		// What is there has to fit before more is fetched.
		if m.w.ended || !bytes.HasPrefix(raw, rest) {
			return false, nil
		}
		if err := m.w.need(len(raw)); err != nil {
			return false, err
		}
		if rest = m.w.rest(); len(rest) < len(raw) {
			return false, nil
		}
	}
	// The end of the id tells neighbours apart at once.
	if idTo >= 8 && binary.LittleEndian.Uint64(rest[idTo-8:]) != binary.LittleEndian.Uint64(raw[idTo-8:]) {
		return false, nil
	}
	if !bytes.Equal(rest[:len(raw)], raw) {
		return false, nil
	}
	m.w.pos += len(raw)
	return true, nil
}

// guess reads the id where the element at the cursor has it and asks the table;
// -1 when the bytes look different, or the element was not sent.
func (m *matcher) guess() int {
	at := m.cursor
	if at >= m.o.To {
		at = m.o.From
	}
	if at >= m.o.To {
		return -1
	}
	raw, from, _ := m.b.Shape(at)
	rest := m.w.rest()
	if from == 0 || len(rest) < from || !bytes.Equal(rest[:from], raw[:from]) {
		return -1
	}
	size := bytes.IndexByte(rest[from:], '"')
	if size < 0 {
		return -1
	}
	k, ok := m.find(rest[from : from+size])
	if !ok {
		return -1
	}
	return k
}

// rewritten reads the next element as one that was sent, written anew. It
// reports false when that is not so, or cannot be told; nothing is consumed then.
func (m *matcher) rewritten() (done bool, err error) {
	k := m.candidate()
	if k < 0 {
		return false, nil
	}
	other := false
	_, err = m.w.take(func(b []byte) (int, error) {
		n, err := m.single.Follow(b, m.b, k, elementDepth)
		other = errors.Is(err, element.ErrOther)
		return n, err
	})
	if other {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := m.show(k); err != nil {
		return false, err
	}
	sent := m.b.View(k)
	for _, j := range m.single.Missing() {
		m.set.strips = append(m.set.strips, Strip{uint32(k - m.o.From), m.intern(sent.Property(j).Name)})
	}
	for _, c := range m.single.Changes() {
		p := element.Property{Name: sent.Property(c.Property).Name, Value: c.Value}
		if err := m.changed(k, p); err != nil {
			return false, err
		}
	}
	return true, nil
}

var idMember = []byte(`"elementId"`)

// candidate tells which element the next one probably is: by its id where that
// comes first, else the one whose turn it is; -1 when there is none.
func (m *matcher) candidate() int {
	rest := m.w.rest()
	if len(rest) == 0 {
		return -1
	}
	rest = bytes.TrimLeft(rest[1:], " \n\r\t")
	if !bytes.HasPrefix(rest, idMember) {
		if m.cursor < m.o.To {
			return m.cursor
		}
		return -1
	}
	rest = bytes.TrimLeft(rest[len(idMember):], " \n\r\t:")
	if len(rest) == 0 || rest[0] != '"' {
		return -1
	}
	size := bytes.IndexByte(rest[1:], '"')
	if size < 0 {
		return -1
	}
	if k, ok := m.ordinal(rest[1 : 1+size]); ok {
		return k
	}
	return -1
}

// ordinal finds the element with an id among those that were sent.
func (m *matcher) ordinal(id []byte) (int, bool) {
	for k := m.cursor; k < m.o.To && k < m.cursor+lookahead; k++ {
		if bytes.Equal(m.b.ID(k), id) {
			return k, true
		}
	}
	return m.find(id)
}

// find is ordinal for an element that is none of the next few.
func (m *matcher) find(id []byte) (int, bool) {
	if !m.searched {
		for k := m.cursor; k < m.o.To && k < m.cursor+nearby; k++ {
			if bytes.Equal(m.b.ID(k), id) {
				return k, true
			}
		}
		m.searched = true // the table will be there from now on
	}
	k, ok := m.b.Find(id)
	return k, ok && k >= m.o.From && k < m.o.To
}

// Hint remembers how a worker writes its answers, so that one that writes every
// element anew is not tried byte for byte each time. It changes the cost, never
// the result. The zero value is ready; it is safe for concurrent use.
type Hint struct{ anew atomic.Bool }

func (h *Hint) reformats() bool { return h != nil && h.anew.Load() }

func (h *Hint) note(verbatim, parsed int) {
	if h == nil || verbatim+parsed == 0 {
		return
	}
	if anew := parsed > verbatim; anew != h.anew.Load() {
		h.anew.Store(anew)
	}
}

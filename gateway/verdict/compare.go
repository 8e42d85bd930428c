package verdict

import (
	"bytes"

	"github.com/muster-fleet/muster/workers/element"
)

// compare judges an element that a worker wrote anew: what is missing of the
// properties is stripped, a changed value is a mask or a violation, and nothing
// else may differ.
func (m *matcher) compare(ordinal int, reply *element.View) error {
	sent := m.b.View(ordinal)
	if sent.Kind() == element.Nodes {
		if !element.Equal(sent.LabelsRaw(), reply.LabelsRaw()) {
			return &Violation{ReasonChangedLabels, "a node came back with other labels"}
		}
	} else if err := compareEnds(&sent, reply); err != nil {
		return err
	}
	return m.compareProperties(ordinal, &sent, reply)
}

func compareEnds(sent, reply *element.View) error {
	switch {
	case !bytes.Equal(sent.Type(), reply.Type()):
		return &Violation{ReasonChangedType, "a relationship came back with another type"}
	case !bytes.Equal(sent.Start(), reply.Start()), !bytes.Equal(sent.End(), reply.End()):
		return &Violation{ReasonChangedEndpoints, "a relationship came back with other ends"}
	}
	// Labels of the ends may be left out, but neither changed nor added.
	for _, l := range [2][2][]byte{
		{sent.StartLabel(), reply.StartLabel()}, {sent.EndLabel(), reply.EndLabel()},
	} {
		switch {
		case l[1] == nil:
		case l[0] == nil:
			return &Violation{ReasonAddedMember, "a relationship came back with an end's label that was not sent"}
		case !bytes.Equal(l[0], l[1]):
			return &Violation{ReasonChangedLabels, "a relationship came back with another label of an end"}
		}
	}
	return nil
}

func (m *matcher) compareProperties(ordinal int, sent, reply *element.View) error {
	n := sent.PropertyCount()
	if reply.PropertyCount() > n {
		return &Violation{ReasonAddedProperty, "an element came back with more properties"}
	}
	var few [4]uint64
	seen := few[:]
	if n > 64*len(few) {
		seen = make([]uint64, words(n))
	}
	find := finder{sent: sent}
	for j := range reply.PropertyCount() {
		p := reply.Property(j)
		at, was := find.property(p.Name)
		if at < 0 {
			return &Violation{ReasonAddedProperty, "an element came back with a property that was not sent"}
		}
		seen[at>>6] |= 1 << (at & 63)
		if bytes.Equal(was.Value, p.Value) || element.Equal(was.Value, p.Value) {
			continue
		}
		if err := m.changed(ordinal, p); err != nil {
			return err
		}
	}
	if reply.PropertyCount() == n {
		return nil
	}
	for at := range n {
		if seen[at>>6]>>(at&63)&1 == 0 {
			name := m.intern(sent.Property(at).Name)
			m.set.strips = append(m.set.strips, Strip{uint32(ordinal - m.o.From), name})
		}
	}
	return nil
}

// changed judges a value that differs.
func (m *matcher) changed(ordinal int, p element.Property) error {
	if !m.o.Mask {
		return &Violation{ReasonChangedValue, "a property came back with another value, and the registration does not allow masks"}
	}
	if c := p.Value[0]; c == '{' || c == '[' || len(p.Value) > MaxMask {
		return &Violation{ReasonBadMask, "a mask is a string, number, boolean or null of at most 1 KiB"}
	}
	value := m.maskValue(p.Value)
	m.set.masks = append(m.set.masks, Mask{uint32(ordinal - m.o.From), m.intern(p.Name), value})
	return nil
}

// maskValue copies a mask out of the window; workers tend to repeat one.
func (m *matcher) maskValue(value []byte) []byte {
	if n := len(m.set.masks); n > 0 && bytes.Equal(m.set.masks[n-1].Value, value) {
		return m.set.masks[n-1].Value
	}
	return bytes.Clone(value)
}

// intern decodes a property's name, each name once per reply.
func (m *matcher) intern(token []byte) string {
	m.plain = element.AppendText(m.plain[:0], token)
	if name, ok := m.names[string(m.plain)]; ok {
		return name
	}
	if m.names == nil {
		m.names = make(map[string]string)
	}
	name := string(m.plain)
	m.names[name] = name
	return name
}

// finder looks up properties of the element that was sent. Replies tend to keep
// their order, so the search goes on where it last was.
type finder struct {
	sent  *element.View
	next  int
	table map[string]int // built for elements with many properties only
}

// maxSearch is how many properties are compared one after another before a
// table is built.
const maxSearch = 32

func (f *finder) property(name []byte) (int, element.Property) {
	n := f.sent.PropertyCount()
	if n == 0 {
		return -1, element.Property{}
	}
	if f.next == n {
		f.next = 0
	}
	if p := f.sent.Property(f.next); bytes.Equal(p.Name, name) {
		f.next++
		return f.next - 1, p
	}
	if n > maxSearch {
		return f.lookup(name)
	}
	for i := range n {
		at := f.next + i
		if at >= n {
			at -= n
		}
		if p := f.sent.Property(at); element.SameText(p.Name, name) {
			f.next = at + 1
			return at, p
		}
	}
	return -1, element.Property{}
}

func (f *finder) lookup(name []byte) (int, element.Property) {
	if f.table == nil {
		n := f.sent.PropertyCount()
		f.table = make(map[string]int, n)
		for i := range n {
			f.table[string(element.AppendText(nil, f.sent.Property(i).Name))] = i
		}
	}
	at, ok := f.table[string(element.AppendText(nil, name))]
	if !ok {
		return -1, element.Property{}
	}
	f.next = at + 1
	return at, f.sent.Property(at)
}

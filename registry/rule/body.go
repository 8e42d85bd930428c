package rule

import "encoding/binary"

// The body of a rule is what its poster said of it, name and creator apart:
//
//	version  1 byte: 1
//	flags    1 byte: 1 for active
//	users, groups, clients: a count, then strings (a length, then bytes)
//	entities: a count, then each: id, a count, then ids of properties
//	relationships: a count, then ids
//	conditions: a count, then each: id, string
//	functions: a count, then ids
//
// All numbers are unsigned varints (as of protobuf) of the shortest form, so that
// two bodies are the same bytes exactly when they say the same in the same order.
const (
	bodyVersion = 1
	flagActive  = 1
)

// body writes the body of r.
func body(r *Rule) []byte {
	data := []byte{bodyVersion, 0}
	if r.Active {
		data[1] |= flagActive
	}
	for _, list := range [][]string{r.Users, r.Groups, r.Clients} {
		data = binary.AppendUvarint(data, uint64(len(list)))
		for _, s := range list {
			data = appendString(data, s)
		}
	}
	data = binary.AppendUvarint(data, uint64(len(r.Entities)))
	for _, e := range r.Entities {
		data = appendIDs(binary.AppendUvarint(data, uint64(e.ID)), e.Properties)
	}
	data = appendIDs(data, r.Relationships)
	data = binary.AppendUvarint(data, uint64(len(r.Conditions)))
	for _, c := range r.Conditions {
		data = appendString(binary.AppendUvarint(data, uint64(c.Property)), c.Value)
	}
	return appendIDs(data, r.Functions)
}

func appendIDs(data []byte, ids []ID) []byte {
	data = binary.AppendUvarint(data, uint64(len(ids)))
	for _, id := range ids {
		data = binary.AppendUvarint(data, uint64(id))
	}
	return data
}

// bodyReader reads a body from its beginning.
type bodyReader struct{ reader }

// active reads version and flags.
func (b *bodyReader) active() bool {
	if len(b.rest) < 2 || b.rest[0] != bodyVersion || b.rest[1]&^flagActive != 0 {
		b.bad, b.rest = true, ""
		return false
	}
	active := b.rest[1]&flagActive != 0
	b.rest = b.rest[2:]
	return active
}

func (b *bodyReader) strings() []string {
	n := b.count()
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = b.str()
	}
	return list
}

func (b *bodyReader) ids(into []ID) []ID {
	list := room(into, b.count())
	for i := range list {
		list[i] = b.id()
	}
	return list
}

func decodeBody(s string, r *Rule) {
	b := bodyReader{reader{rest: s}}
	r.Active = b.active()
	r.Users, r.Groups, r.Clients = b.strings(), b.strings(), b.strings()
	b.grants(r)
}

// grants reads what follows the subjects, into the memory that r has already.
func (b *bodyReader) grants(r *Rule) {
	r.Entities = room(r.Entities, b.count())
	for i := range r.Entities {
		e := &r.Entities[i]
		e.ID, e.Properties = b.id(), b.ids(e.Properties)
	}
	r.Relationships = b.ids(r.Relationships)
	r.Conditions = room(r.Conditions, b.count())
	for i := range r.Conditions {
		r.Conditions[i] = Condition{Property: b.id(), Value: b.str()}
	}
	r.Functions = b.ids(r.Functions)
}

// room returns a list of n; nil for none where there was none.
func room[T any](list []T, n int) []T {
	if n <= cap(list) {
		return list[:n]
	}
	return append(make([]T, 0, n), list[:cap(list)]...)[:n]
}

// checkBody reads a body without keeping anything of it.
func checkBody(s string) error {
	b := bodyReader{reader{rest: s}}
	b.active()
	for range 3 {
		for n := b.count(); n > 0 && !b.bad; n-- {
			b.skip()
		}
	}
	for n := b.count(); n > 0 && !b.bad; n-- {
		b.id()
		b.skipIDs()
	}
	b.skipIDs()
	for n := b.count(); n > 0 && !b.bad; n-- {
		b.id()
		b.skip()
	}
	b.skipIDs()
	if b.bad || b.rest != "" {
		return errBody
	}
	return nil
}

func (b *bodyReader) skipIDs() {
	for n := b.count(); n > 0 && !b.bad; n-- {
		b.id()
	}
}

// subjects are the keys by which the rule names people: folded, each kind apart.
func (p *Packed) subjects(visit func(kind subjectKind, key string)) {
	b := p.bodyReader()
	b.active()
	for kind := range subjectKinds {
		for n := b.count(); n > 0; n-- {
			if key := kind.key(b.str()); key != "" {
				visit(kind, key)
			}
		}
	}
}

// subjectKind is a way of naming people.
type subjectKind int

const (
	byUser subjectKind = iota
	byGroup
	byClient
	subjectKinds
)

// key writes a subject of a rule as Subjects has it.
func (k subjectKind) key(s string) string {
	switch k {
	case byUser:
		return FoldUser(s)
	case byGroup:
		return GroupKey(s)
	default:
		return ClientOf(s)
	}
}

package ruleloader

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-fleet/muster/workers/client"
)

// A record is a permission as it is sorted: a key, which is equal for rows that
// become one rule, and a payload, which is what each of them adds. The key is
//
//	entity, inactive, condition (property, value), subjects (kind and name, sorted)
//
// with every text after its length, so that two different ones never spell the
// same bytes.

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendKey sorts the permission's subjects and drops those that are there twice.
func appendKey(b []byte, p *permission) []byte {
	slices.SortFunc(p.subjects, func(x, y subject) int {
		if x.kind != y.kind {
			return int(x.kind) - int(y.kind)
		}
		return strings.Compare(x.name, y.name)
	})
	p.subjects = slices.Compact(p.subjects)
	b = binary.AppendUvarint(b, uint64(p.entity))
	b = append(b, flag(p.inactive), flag(p.conditional))
	if p.conditional {
		b = binary.AppendUvarint(b, uint64(p.property))
		b = appendText(b, p.value)
	}
	b = binary.AppendUvarint(b, uint64(len(p.subjects)))
	for _, s := range p.subjects {
		b = appendText(append(b, s.kind), s.name)
	}
	return b
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendPayload(b []byte, p *permission) []byte {
	for _, ids := range [][]int64{p.properties, p.relationships, p.functions} {
		b = binary.AppendUvarint(b, uint64(len(ids)))
		for _, id := range ids {
			b = binary.AppendUvarint(b, uint64(id))
		}
	}
	return appendText(b, p.title)
}

var errRecord = errors.New("ruleloader: a sorted record is damaged; is another program writing into the temporary directory?")

// decoder reads records back; the first failure sticks.
type decoder struct {
	in  []byte
	err error
}

func (d *decoder) number() int64 {
	v, n := binary.Uvarint(d.in)
	if n <= 0 || v > client.MaxRuleID {
		d.err, d.in = errRecord, nil
		return 0
	}
	d.in = d.in[n:]
	return int64(v)
}

func (d *decoder) byte() byte {
	if len(d.in) == 0 {
		d.err = errRecord
		return 0
	}
	b := d.in[0]
	d.in = d.in[1:]
	return b
}

func (d *decoder) text() string {
	n := d.number()
	if n > int64(len(d.in)) {
		d.err, d.in = errRecord, nil
		return ""
	}
	s := string(d.in[:n])
	d.in = d.in[n:]
	return s
}

// grant is a rule under construction: one key, and what its rows add up to.
type grant struct {
	key                                  []byte
	properties, relationships, functions map[int64]bool
	title                                string
}

func newGrant(key []byte) *grant {
	return &grant{
		key: bytes.Clone(key), properties: map[int64]bool{}, relationships: map[int64]bool{}, functions: map[int64]bool{},
	}
}

func (g *grant) add(payload []byte) error {
	d := &decoder{in: payload}
	for _, ids := range []map[int64]bool{g.properties, g.relationships, g.functions} {
		for n := d.number(); n > 0 && d.err == nil; n-- {
			ids[d.number()] = true
		}
	}
	g.title = d.text()
	return d.err
}

// rule is the finished rule, under a name that the same key always gets.
func (g *grant) rule(prefix string) (client.AccessRule, error) {
	d := &decoder{in: g.key}
	entity := d.number()
	out := client.AccessRule{
		Entities:      []client.EntityGrant{{ID: entity, Properties: sorted(g.properties)}},
		Relationships: sorted(g.relationships), Functions: sorted(g.functions),
		Inactive: d.byte() == 1,
	}
	if d.byte() == 1 {
		property := d.number()
		out.Conditions = []client.Condition{{Property: property, Value: d.text()}}
	}
	first := ""
	for n := d.number(); n > 0 && d.err == nil; n-- {
		kind, name := d.byte(), d.text()
		if first == "" {
			first = name
		}
		switch kind {
		case isUser:
			out.Users = append(out.Users, name)
		case isGroup:
			out.Groups = append(out.Groups, name)
		default:
			out.Clients = append(out.Clients, name)
		}
	}
	what := g.title
	if what == "" {
		what = strconv.FormatInt(entity, 10)
	}
	out.Name = prefix + "-" + head(first) + "-" + head(what) + "-" + digest(g.key)
	return out, d.err
}

func sorted(ids map[int64]bool) []int64 {
	out := make([]int64, 0, len(ids))
	for id := range ids {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// head is the part of a name that people read; a condition's value is never in it.
func head(s string) string {
	const most = 24
	out := make([]byte, 0, most)
	for _, c := range []byte(strings.TrimLeft(s, "/")) {
		if len(out) == most {
			break
		}
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '.':
			out = append(out, c)
		case len(out) > 0 && out[len(out)-1] != '-':
			out = append(out, '-')
		}
	}
	return string(out)
}

// digest is 100 bits of the key's SHA-256: a billion rules share none.
func digest(key []byte) string {
	sum := sha256.Sum256(key)
	const letters = 20
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:letters]
}

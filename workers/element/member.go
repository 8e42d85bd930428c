package element

import "math"

// The members of elements. Their names differ in length, so that is what is
// looked at first.
const (
	memberID         = len("elementId")
	memberLabels     = len("labels")
	memberProps      = len("properties")
	memberType       = len("type")
	memberStart      = len("startNodeElementId")
	memberEnd        = len("endNodeElementId")
	memberStartLabel = len("startNodeLabel")
	memberEndLabel   = len("endNodeLabel")
)

// member tells which member the last name is; 0 for one that elements of this
// kind do not have.
func (p *parser) member(b []byte, o *openObject) int {
	n := p.names[len(p.names)-1]
	name := b[n.from:n.to]
	if o.esc {
		p.plain = unescape(p.plain[:0], name)
		name = p.plain
	}
	return memberOf(name, p.batch.kind)
}

func memberOf(name []byte, kind Kind) int {
	var want string
	switch len(name) {
	case memberID:
		want = "elementId"
	case memberProps:
		want = "properties"
	case memberLabels:
		if kind == Nodes {
			want = "labels"
		}
	default:
		if kind == Relationships {
			want = relationshipMember(len(name))
		}
	}
	if want == "" || string(name) != want {
		return 0
	}
	return len(name)
}

func relationshipMember(size int) string {
	switch size {
	case memberType:
		return "type"
	case memberStart:
		return "startNodeElementId"
	case memberEnd:
		return "endNodeElementId"
	case memberStartLabel:
		return "startNodeLabel"
	case memberEndLabel:
		return "endNodeLabel"
	default:
		return ""
	}
}

// part reads the value of a member of an element.
func (p *parser) part(b []byte, i, depth, which int, r *record, e *ends) int {
	switch which {
	case memberID:
		i = p.text(b, i, &r.id, flawID)
		if i < 0 {
			return i
		}
		switch size := r.id.to - r.id.from; {
		case size == 0:
			return p.flawed(flawID)
		case size > MaxID:
			return p.flawed(flawLongID)
		}
		return i
	case memberProps:
		return p.properties(b, i, depth+1, r)
	case memberLabels:
		return p.labels(b, i, &r.what)
	case memberType:
		return p.text(b, i, &r.what, flawType)
	case memberStart:
		return p.text(b, i, &e.start, flawStart)
	case memberEnd:
		return p.text(b, i, &e.end, flawEnd)
	case memberStartLabel:
		return p.text(b, i, &e.startLabel, flawEndLabel)
	case memberEndLabel:
		return p.text(b, i, &e.endLabel, flawEndLabel)
	default:
		return p.value(b, i, depth)
	}
}

// text reads a string and notes where it lies decoded.
func (p *parser) text(b []byte, i int, s *span, why flaw) int {
	if i >= len(b) {
		return more
	}
	if b[i] != '"' {
		return p.flawed(why)
	}
	end, escaped := scanString(b, i+1)
	if end < 0 {
		return end
	}
	*s = span{uint32(i + 1), uint32(end - 1)}
	if escaped {
		a := p.batch.arena
		from := len(p.batch.body) + len(a)
		a = unescape(a, b[i+1:end-1])
		to := len(p.batch.body) + len(a)
		p.batch.arena = a
		if uint64(to) > math.MaxUint32 {
			return p.flawed(flawOverflows)
		}
		*s = span{uint32(from), uint32(to)}
	}
	return end
}

// labels reads an array of strings.
func (p *parser) labels(b []byte, i int, s *span) int {
	if i >= len(b) {
		return more
	}
	if b[i] != '[' {
		return p.flawed(flawLabels)
	}
	s.from = uint32(i)
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		s.to = uint32(i + 1)
		return i + 1
	}
	for {
		if i >= len(b) {
			return more
		}
		if b[i] != '"' {
			return p.flawed(flawLabels)
		}
		if i, _ = scanString(b, i+1); i < 0 {
			return i
		}
		if i = skipSpace(b, i); i >= len(b) {
			return more
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case ']':
			s.to = uint32(i + 1)
			return i + 1
		default:
			return bad
		}
	}
}

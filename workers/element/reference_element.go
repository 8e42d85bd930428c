package element

import "github.com/go-json-experiment/json/jsontext"

// element reads the element at from and appends it to the batch. It returns
// what is wrong and the offset of it.
func (f *reference) element(b *Batch, from, to int) (flaw, int) {
	if f.body[from] != '{' {
		return flawNotObject, from
	}
	r := record{from: uint32(from), to: uint32(to), firstProp: uint32(len(b.props))}
	var e ends
	var cuts unnamed
	why, at := flawNone, from
	// The body has been validated: the only mistake is the one that ends the walk.
	_ = f.object(from, to, func(m member) *mistake {
		which := memberOf(m.name, b.kind)
		if which == 0 && !f.drop {
			why, at = flawUnnamed, m.nameAt
			return &mistake{}
		}
		if f.drop {
			f.cuts = cuts.member(f.cuts, which == 0, m.nameAt, m.to)
		}
		if why = f.part(b, which, m, &r, &e); why != flawNone {
			at = m.from
			return &mistake{}
		}
		return nil
	})
	if f.drop {
		f.cuts = cuts.end(f.cuts)
	}
	if why != flawNone {
		return why, at
	}
	p := parser{batch: b}
	if p.finish(to, &r, &e) < 0 {
		return p.why, from
	}
	return flawNone, 0
}

// part notes one member of an element.
func (f *reference) part(b *Batch, which int, m member, r *record, e *ends) flaw {
	switch which {
	case memberID:
		return f.id(b, m, &r.id)
	case memberProps:
		if m.description != '{' {
			return flawProps
		}
		r.props = span{uint32(m.from), uint32(m.to)}
		_ = f.object(m.from, m.to, func(m member) *mistake { // as in element
			b.props = append(b.props, prop{uint32(m.nameAt), uint32(m.from)})
			return nil
		})
		return flawNone
	case memberLabels:
		return f.labels(m, &r.what)
	case memberType:
		return f.text(b, m, &r.what, flawType)
	case memberStart:
		return f.text(b, m, &e.start, flawStart)
	case memberEnd:
		return f.text(b, m, &e.end, flawEnd)
	case memberStartLabel:
		return f.text(b, m, &e.startLabel, flawEndLabel)
	case memberEndLabel:
		return f.text(b, m, &e.endLabel, flawEndLabel)
	default:
		return flawNone
	}
}

func (f *reference) id(b *Batch, m member, s *span) flaw {
	if why := f.text(b, m, s, flawID); why != flawNone {
		return why
	}
	switch size := s.to - s.from; {
	case size == 0:
		return flawID
	case size > MaxID:
		return flawLongID
	default:
		return flawNone
	}
}

func (f *reference) labels(m member, s *span) flaw {
	if m.description != '[' {
		return flawLabels
	}
	why := flawNone
	_ = f.array(m.from, m.to, func(_, from, _ int) *mistake {
		if f.body[from] != '"' {
			why = flawLabels
			return &mistake{}
		}
		return nil
	}) // as in element
	*s = span{uint32(m.from), uint32(m.to)}
	return why
}

func (f *reference) text(b *Batch, m member, s *span, why flaw) flaw {
	if m.description != '"' {
		return why
	}
	*s = span{uint32(m.from + 1), uint32(m.to - 1)}
	plain, err := jsontext.AppendUnquote(nil, m.value)
	if err != nil {
		return why // cannot be: the body has been validated
	}
	if string(plain) == string(m.value[1:len(m.value)-1]) {
		return flawNone
	}
	from := len(f.body) + len(b.arena)
	b.arena = append(b.arena, plain...)
	to := len(f.body) + len(b.arena)
	if !fits(to) {
		return flawOverflows
	}
	*s = span{uint32(from), uint32(to)}
	return flawNone
}

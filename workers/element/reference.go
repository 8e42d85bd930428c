package element

import (
	"bytes"
	"math"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// reference is the reader over jsontext: the library decides what is JSON, this
// file what is an element. It is the measure of the hand-written reader, the
// fallback for it, and words the refusals of both.
type reference struct {
	r    *Request
	body []byte
	drop bool
	cuts []cut
}

func (r *Request) parseReference(body []byte, o Options) error {
	r.reset(body, o)
	ref := &reference{r: r, body: body, drop: o.DropUnknownMembers}
	if m := ref.document(); m != nil {
		return m.fault()
	}
	if len(ref.cuts) > 0 {
		body = without(body, ref.cuts)
		r.reset(body, Options{})
		ref = &reference{r: r, body: body}
		if m := ref.document(); m != nil {
			return m.fault()
		}
	}
	return r.settle()
}

// member is one member of an object: its name decoded, and where things are.
type member struct {
	name        []byte
	nameAt      int // offset of the name's opening quote
	value       []byte
	from, to    int // the value's place in the body
	description jsontext.Kind
}

// object reads the object at from and gives its members one by one. The body
// has been validated, so only the visitor's mistakes come back.
func (f *reference) object(from, to int, visit func(member) *mistake) *mistake {
	dec := jsontext.NewDecoder(bytes.NewBuffer(f.body[from:to:to]))
	if _, err := dec.ReadToken(); err != nil {
		return syntax(err, from)
	}
	for dec.PeekKind() != '}' {
		var m member
		token, err := dec.ReadValue()
		if err != nil {
			return syntax(err, from)
		}
		m.nameAt = from + int(dec.InputOffset()) - len(token)
		if m.name, err = jsontext.AppendUnquote(nil, token); err != nil {
			return syntax(err, m.nameAt)
		}
		if m.value, err = dec.ReadValue(); err != nil {
			return syntax(err, from)
		}
		m.to = from + int(dec.InputOffset())
		m.from = m.to - len(m.value)
		m.description = m.value2kind()
		if mistake := visit(m); mistake != nil {
			return mistake
		}
	}
	return nil
}

func (m *member) value2kind() jsontext.Kind { return jsontext.Value(m.value).Kind() }

// array reads the array at from and gives its values one by one.
func (f *reference) array(from, to int, visit func(n, from, to int) *mistake) *mistake {
	dec := jsontext.NewDecoder(bytes.NewBuffer(f.body[from:to:to]))
	if _, err := dec.ReadToken(); err != nil {
		return syntax(err, from)
	}
	for n := 0; dec.PeekKind() != ']'; n++ {
		value, err := dec.ReadValue()
		if err != nil {
			return syntax(err, from)
		}
		end := from + int(dec.InputOffset())
		if m := visit(n, end-len(value), end); m != nil {
			return m
		}
	}
	return nil
}

// wellFormed reads a document that has to be one value and says where it lies.
func wellFormed(b []byte) (from, to int, _ *mistake) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(slices.Clip(b)))
	value, err := dec.ReadValue()
	if err != nil {
		return 0, 0, syntax(err, int(dec.InputOffset()))
	}
	to = int(dec.InputOffset())
	if i := skipSpace(b, to); i != len(b) {
		return 0, 0, &mistake{offset: i, what: "bytes after the end of the JSON document"}
	}
	if at := tooDeep(b); at >= 0 {
		return 0, 0, &mistake{offset: at, what: tooDeeply()}
	}
	return to - len(value), to, nil
}

// explain words why the hand-written scanner refuses a document.
func explain(b []byte) *mistake {
	if _, _, m := wellFormed(b); m != nil {
		return m
	}
	// The readers disagree, which is a defect; the stricter one decides.
	return &mistake{offset: 0, what: "not acceptable JSON"}
}

// document validates the whole body, then looks at its shape.
func (f *reference) document() *mistake {
	from, to, m := wellFormed(f.body)
	if m != nil {
		return m
	}
	if f.body[from] != '{' {
		return &mistake{offset: from, what: "the body has to be an object with parameters and data"}
	}
	var data *member
	m = f.object(from, to, func(m member) *mistake {
		switch string(m.name) {
		case "parameters":
			return f.parameters(m)
		case "data":
			data = &m
		}
		return nil
	})
	switch {
	case m != nil:
		return m
	case f.r.Type == 0:
		return &mistake{offset: from, what: "parameters.type has to be there: nodes, relationships or graph"}
	case data == nil:
		return &mistake{offset: from, what: "data has to be there"}
	default:
		return f.data(*data)
	}
}

func (f *reference) parameters(m member) *mistake {
	if m.description != '{' {
		return &mistake{offset: m.from, what: "parameters has to be an object"}
	}
	return f.object(m.from, m.to, func(m member) *mistake {
		if string(m.name) != "type" {
			return nil
		}
		wrong := &mistake{offset: m.from, what: "parameters.type has to be nodes, relationships or graph"}
		if m.description != '"' {
			return wrong
		}
		name, err := jsontext.AppendUnquote(nil, m.value)
		if err != nil {
			return syntax(err, m.from)
		}
		var ok bool
		if f.r.Type, ok = typeOf(name); !ok {
			return wrong
		}
		return nil
	})
}

func (f *reference) data(m member) *mistake {
	switch f.r.Type {
	case TypeNodes:
		return f.elements(m, &f.r.nodes, "data")
	case TypeRelationships:
		return f.elements(m, &f.r.rels, "data")
	}
	if m.description != '{' {
		return &mistake{offset: m.from, what: "data of type graph has to be an object with nodes and relationships"}
	}
	var nodes, rels bool
	mistaken := f.object(m.from, m.to, func(m member) *mistake {
		switch string(m.name) {
		case "nodes":
			nodes = true
			return f.elements(m, &f.r.nodes, "data.nodes")
		case "relationships":
			rels = true
			return f.elements(m, &f.r.rels, "data.relationships")
		}
		return nil
	})
	if mistaken == nil && (!nodes || !rels) {
		mistaken = &mistake{offset: m.from, what: "data of type graph has to hold both nodes and relationships"}
	}
	return mistaken
}

func (f *reference) elements(m member, b *Batch, place string) *mistake {
	if m.description != '[' {
		return &mistake{offset: m.from, what: place + " has to be an array of elements"}
	}
	return f.array(m.from, m.to, func(n, from, to int) *mistake {
		if why, at := f.element(b, from, to); why != flawNone {
			return &mistake{place: elementPlace(f.r.Type, b.kind, n), offset: at, what: why.String()}
		}
		return nil
	})
}

// tooDeep returns the offset of the bracket that is nested beyond MaxDepth, or
// -1. The text is valid JSON.
func tooDeep(b []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return i
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return -1
}

// fits reports whether an offset can be noted.
func fits(n int) bool { return uint64(n) <= math.MaxUint32 }

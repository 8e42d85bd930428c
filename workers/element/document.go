package element

// document reads the whole body with the hand-written reader and returns its
// length, or what is wrong. In parameters only type has a meaning; what else is
// there, and what else is at the top level, is checked as JSON and ignored.
func (r *Request) document(b []byte) int {
	p := &r.p
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return bad
	}
	i = skipSpace(b, i+1)
	o := openObject{base: len(p.names)}
	var later int // where data begins, when it came before parameters
	var data bool
	r.Type = 0
	for {
		if i = p.name(b, i, &o); i < 0 {
			return i
		}
		switch name := p.lastName(b, &o); {
		case string(name) == "parameters":
			i = r.parameters(b, i)
		case string(name) == "data" && r.Type == 0:
			later, data = i, true
			i = p.value(b, i, 1)
		case string(name) == "data":
			data = true
			i = r.data(b, i)
		default:
			i = p.value(b, i, 1)
		}
		if i < 0 {
			return i
		}
		if i = skipSpace(b, i); i >= len(b) {
			return more
		}
		if b[i] == ',' {
			i = skipSpace(b, i+1)
			continue
		}
		if b[i] != '}' {
			return bad
		}
		if i = p.close(b, i, &o); i < 0 {
			return i
		}
		break
	}
	if i = skipSpace(b, i); i != len(b) {
		return bad
	}
	if r.Type == 0 || !data {
		return shape
	}
	if later != 0 {
		if end := r.data(b, later); end < 0 {
			return end
		}
	}
	return i
}

// lastName returns the name read last, decoded.
func (p *parser) lastName(b []byte, o *openObject) []byte {
	n := p.names[len(p.names)-1]
	if !o.esc {
		return b[n.from:n.to]
	}
	p.plain = unescape(p.plain[:0], b[n.from:n.to])
	return p.plain
}

// parameters reads the parameters object that begins at i.
func (r *Request) parameters(b []byte, i int) int {
	p := &r.p
	if i >= len(b) || b[i] != '{' {
		return shape
	}
	i = skipSpace(b, i+1)
	o := openObject{base: len(p.names)}
	for {
		if i = p.name(b, i, &o); i < 0 {
			return i
		}
		isType := string(p.lastName(b, &o)) == "type"
		from := i
		if i = p.value(b, i, 2); i < 0 {
			return i
		}
		if isType {
			if b[from] != '"' {
				return shape
			}
			p.plain = unescape(p.plain[:0], b[from+1:i-1])
			var ok bool
			if r.Type, ok = typeOf(p.plain); !ok {
				return shape
			}
		}
		if i = skipSpace(b, i); i >= len(b) {
			return more
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case '}':
			return p.close(b, i, &o)
		default:
			return bad
		}
	}
}

// data reads data, which begins at i, according to the type.
func (r *Request) data(b []byte, i int) int {
	switch r.Type {
	case TypeNodes:
		return r.p.elements(b, i, 2, &r.nodes)
	case TypeRelationships:
		return r.p.elements(b, i, 2, &r.rels)
	default:
		return r.graph(b, i)
	}
}

// graph reads data of the type graph: an object with both lists. As at the top
// level, other members are ignored.
func (r *Request) graph(b []byte, i int) int {
	p := &r.p
	if i >= len(b) || b[i] != '{' {
		return shape
	}
	i = skipSpace(b, i+1)
	o := openObject{base: len(p.names)}
	var nodes, rels bool
	for {
		if i = p.name(b, i, &o); i < 0 {
			return i
		}
		switch string(p.lastName(b, &o)) {
		case "nodes":
			nodes = true
			i = p.elements(b, i, 3, &r.nodes)
		case "relationships":
			rels = true
			i = p.elements(b, i, 3, &r.rels)
		default:
			i = p.value(b, i, 2)
		}
		if i < 0 {
			return i
		}
		if i = skipSpace(b, i); i >= len(b) {
			return more
		}
		if b[i] == ',' {
			i = skipSpace(b, i+1)
			continue
		}
		if b[i] != '}' {
			return bad
		}
		if i = p.close(b, i, &o); i < 0 {
			return i
		}
		if !nodes || !rels {
			return shape
		}
		return i
	}
}

package element

import "iter"

// View is one validated element: where its parts are in its bytes. It is a
// small value that shares memory with what it was taken from and is valid as
// long as that is. Slices that it returns must not be changed.
type View struct {
	kind  Kind
	body  []byte
	arena []byte
	rec   *record
	ends  *ends
	props []prop
}

// Property is one member of properties.
type Property struct {
	// Name is the name's token with its quotes, as it was written.
	Name []byte
	// Value is the value's bytes, as they were written.
	Value []byte
}

// Kind says what the element is.
func (v *View) Kind() Kind { return v.kind }

// Raw returns the element's own bytes.
func (v *View) Raw() []byte { return v.body[v.rec.from:v.rec.to:v.rec.to] }

// ID returns elementId, decoded.
func (v *View) ID() []byte { return text(v.body, v.arena, v.rec.id) }

// LabelsRaw returns a node's labels array as it was written.
func (v *View) LabelsRaw() []byte {
	if v.kind != Nodes {
		return nil
	}
	return v.body[v.rec.what.from:v.rec.what.to]
}

// Labels iterates over a node's labels as string tokens with their quotes.
func (v *View) Labels() iter.Seq[[]byte] {
	raw := v.LabelsRaw()
	return func(yield func([]byte) bool) {
		for i := 1; i < len(raw); {
			if raw[i] != '"' { // white space, a comma or the closing bracket
				i++
				continue
			}
			end, _ := scanString(raw, i+1)
			if !yield(raw[i:end:end]) {
				return
			}
			i = end
		}
	}
}

// Type returns a relationship's type, decoded.
func (v *View) Type() []byte {
	if v.ends == nil {
		return nil
	}
	return text(v.body, v.arena, v.rec.what)
}

// Start returns startNodeElementId, decoded; nil for a node.
func (v *View) Start() []byte { return v.end(func(e *ends) span { return e.start }) }

// End returns endNodeElementId, decoded; nil for a node.
func (v *View) End() []byte { return v.end(func(e *ends) span { return e.end }) }

// StartLabel returns startNodeLabel, decoded; nil when it is not there.
func (v *View) StartLabel() []byte { return v.end(func(e *ends) span { return e.startLabel }) }

// EndLabel returns endNodeLabel, decoded; nil when it is not there.
func (v *View) EndLabel() []byte { return v.end(func(e *ends) span { return e.endLabel }) }

func (v *View) end(which func(*ends) span) []byte {
	if v.ends == nil {
		return nil
	}
	s := which(v.ends)
	if s == (span{}) {
		return nil
	}
	return text(v.body, v.arena, s)
}

// PropertyCount returns how many properties the element has.
func (v *View) PropertyCount() int { return len(v.props) }

// Property returns property j in the order of writing.
func (v *View) Property(j int) Property {
	p := v.props[j]
	after := v.rec.props.to - 1 // the closing brace
	if j+1 < len(v.props) {
		after = skipBack(v.body, v.props[j+1].name, ',')
	}
	end := spaceBack(v.body, after)
	name := skipBack(v.body, p.value, ':')
	name = spaceBack(v.body, name)
	return Property{Name: v.body[p.name:name:name], Value: v.body[p.value:end:end]}
}

// PropertiesRaw returns where the properties object lies within Raw: from its
// opening brace to behind its closing one.
func (v *View) PropertiesRaw() (from, to int) {
	return int(v.rec.props.from - v.rec.from), int(v.rec.props.to - v.rec.from)
}

// skipBack returns the offset of the separator before i, white space allowed
// between. The text has been validated, so it is there.
func skipBack(b []byte, i uint32, separator byte) uint32 {
	for i--; b[i] != separator; i-- {
	}
	return i
}

// spaceBack returns the offset behind the last byte before i that is no white space.
func spaceBack(b []byte, i uint32) uint32 {
	for isSpace(b[i-1]) {
		i--
	}
	return i
}

// ValueOffset returns where the value of property j begins within Raw.
func (v *View) ValueOffset(j int) int { return int(v.props[j].value - v.rec.from) }

package element

// AppendKept appends element i in a form to dst. Its properties are written
// without white space around what is left, so that the bytes do not tell what was
// there; everything else keeps its bytes.
func (b *Batch) AppendKept(dst []byte, i int, f *Form) []byte {
	r := &b.recs[i]
	dst = append(dst, b.body[r.from:r.props.from]...)
	dst, _ = b.appendKept(dst, nil, r, f, false)
	return append(dst, b.body[r.props.to:r.to]...)
}

// appendKept appends the properties object of a record in a form to dst and, with
// note, where each property begins to props.
func (b *Batch) appendKept(dst []byte, props []prop, r *record, f *Form, note bool) ([]byte, []prop) {
	if f.count != int(r.propCount) {
		panic("element: the form is of other elements")
	}
	dst = append(dst, '{')
	all := b.props[r.firstProp : r.firstProp+r.propCount]
	first := true
	for j := 0; j < len(all); {
		if !f.Keeps(j) {
			j++
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		if !b.tight(all[j]) {
			var p prop
			dst, p = b.appendSpaced(dst, r, j)
			if note {
				props = append(props, p)
			}
			j++
			continue
		}
		// Kept neighbours that are written without white space are copied at once.
		delta := uint32(len(dst)) - all[j].name
		from := all[j].name
		for {
			if note {
				props = append(props, prop{all[j].name + delta, all[j].value + delta})
			}
			j++
			if j == len(all) || !f.Keeps(j) || !b.adjoins(all[j]) || !b.tight(all[j]) {
				break
			}
		}
		dst = append(dst, b.body[from:b.propertyEnd(r, uint32(j-1))]...)
	}
	return append(dst, '}'), props
}

// appendSpaced appends property j, without the white space around its colon, and
// returns where it begins.
func (b *Batch) appendSpaced(dst []byte, r *record, j int) ([]byte, prop) {
	p := b.props[r.firstProp+uint32(j)]
	at := uint32(len(dst))
	nameEnd := spaceBack(b.body, skipBack(b.body, p.value, ':'))
	dst = append(append(dst, b.body[p.name:nameEnd]...), ':')
	begins := prop{at, uint32(len(dst))}
	return append(dst, b.body[p.value:b.propertyEnd(r, uint32(j))]...), begins
}

// tight reports whether no white space stands around the property's colon.
func (b *Batch) tight(p prop) bool {
	return b.body[p.value-1] == ':' && b.body[p.value-2] == '"'
}

// adjoins reports whether nothing but a comma stands between the property and
// the one before it.
func (b *Batch) adjoins(p prop) bool {
	return b.body[p.name-1] == ',' && !isSpace(b.body[p.name-2])
}

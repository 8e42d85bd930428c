package verdict

import "github.com/muster-fleet/muster/workers/element"

// rewriter writes the elements that did not stay whole. It walks the sparse
// lists of the set in step with the ordinals, which ascend but for repetitions.
type rewriter struct {
	set    *Set
	batch  *element.Batch
	strip  int    // first strip of an ordinal not passed yet
	mask   int    // first mask of an ordinal not passed yet
	buf    []byte // rewritten elements, end to end
	chunks int
}

// touched reports whether anything of element i is stripped or masked.
func (w *rewriter) touched(i int) bool {
	if w.set.forms.of(i) != nil {
		return true
	}
	if len(w.set.strips) == 0 && len(w.set.masks) == 0 {
		return false
	}
	w.seek(uint32(i))
	return w.strip < len(w.set.strips) && w.set.strips[w.strip].Ordinal == uint32(i) ||
		w.mask < len(w.set.masks) && w.set.masks[w.mask].Ordinal == uint32(i)
}

func (w *rewriter) whole(i int) bool { return w.set.Visible(i) && !w.touched(i) }

// seek moves to the entries of ordinal i.
func (w *rewriter) seek(i uint32) {
	if w.batch.Repeats() {
		w.strip, _ = stripRange(w.set.strips, i)
		w.mask, _ = maskRange(w.set.masks, i)
		return
	}
	for w.strip < len(w.set.strips) && w.set.strips[w.strip].Ordinal < i {
		w.strip++
	}
	for w.mask < len(w.set.masks) && w.set.masks[w.mask].Ordinal < i {
		w.mask++
	}
}

// element returns element i as it may be seen. The properties of a stripped one
// are written without white space around what is left, so that the bytes do not
// tell what was there; all else, and a masked one but for its values, keeps the
// input's bytes.
func (w *rewriter) element(i int) []byte {
	if form := w.onlyForm(i); form != nil {
		w.room(len(w.batch.Raw(i)), nil)
		from := len(w.buf)
		w.buf = w.batch.AppendKept(w.buf, i, form)
		return w.buf[from:len(w.buf):len(w.buf)]
	}
	v := w.batch.View(i)
	raw := v.Raw()
	strips, masks := w.set.StripsOf(i), w.set.MasksOf(i)
	w.room(len(raw), masks)
	from := len(w.buf)
	if len(strips) == 0 {
		w.replace(&v, raw, masks)
		return w.buf[from:len(w.buf):len(w.buf)]
	}
	open, end := v.PropertiesRaw()
	w.buf = append(append(w.buf, raw[:open]...), '{')
	first := true
	for j := range v.PropertyCount() {
		p := v.Property(j)
		if stripped(strips, p.Name) {
			continue
		}
		if !first {
			w.buf = append(w.buf, ',')
		}
		first = false
		w.buf = append(append(w.buf, p.Name...), ':')
		w.buf = append(w.buf, masked(masks, p)...)
	}
	w.buf = append(append(w.buf, '}'), raw[end:]...)
	return w.buf[from:len(w.buf):len(w.buf)]
}

// onlyForm returns the form of element i when that is all that is to be changed
// of it, and positions in the batch are known.
func (w *rewriter) onlyForm(i int) *element.Form {
	f := w.set.forms
	if f == nil || f.batch != w.batch || len(w.set.sparseOf(i)) > 0 || len(w.set.MasksOf(i)) > 0 {
		return nil
	}
	return f.of(i)
}

// replace writes an element with nothing but masked values changed.
func (w *rewriter) replace(v *element.View, raw []byte, masks []Mask) {
	at := 0
	for j := range v.PropertyCount() {
		p := v.Property(j)
		value := masked(masks, p)
		if len(value) == 0 || &value[0] == &p.Value[0] {
			continue
		}
		from := v.ValueOffset(j)
		w.buf = append(append(w.buf, raw[at:from]...), value...)
		at = from + len(p.Value)
	}
	w.buf = append(w.buf, raw[at:]...)
}

// room makes sure that the next element does not move the buffer: slices of it
// have been given away.
func (w *rewriter) room(size int, masks []Mask) {
	for _, m := range masks {
		size += len(m.Value)
	}
	if cap(w.buf)-len(w.buf) >= size {
		return
	}
	const smallest, largest = 4 << 10, 1 << 20
	w.buf = make([]byte, 0, max(size, min(smallest<<w.chunks, largest)))
	if w.chunks < 8 {
		w.chunks++
	}
}

func stripped(strips []Strip, name []byte) bool {
	for _, s := range strips {
		if element.TextEqual(name, s.Name) {
			return true
		}
	}
	return false
}

// masked returns the value to show: the mask, unless it says what the input says.
func masked(masks []Mask, p element.Property) []byte {
	for _, m := range masks {
		if element.TextEqual(p.Name, m.Name) && !element.Equal(p.Value, m.Value) {
			return m.Value
		}
	}
	return p.Value
}

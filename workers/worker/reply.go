package worker

import (
	"bufio"
	"bytes"
	"net/http"
	"strconv"
)

// writeBuffer collects small elements into few writes.
const writeBuffer = 64 << 10

// writeReply answers with the visible elements in their order. Untouched elements
// go out byte for byte, which a gateway recognises without parsing them; of a
// stripped or masked one only the properties are written anew.
func writeReply(rw http.ResponseWriter, b Batch, verdicts []Verdict) {
	edited := make(map[int][]byte)
	head, tail := `{"result":{"`+b.Kind().Key()+`":[`, `]}}`
	size, shown := len(head)+len(tail), 0
	for i := range verdicts {
		v := &verdicts[i]
		if !v.Visible() {
			continue
		}
		text := b.At(i).Raw()
		if !v.Whole() {
			text = rewrite(b.At(i), v)
			edited[i] = text
		}
		size += len(text)
		shown++
	}
	size += max(shown-1, 0)
	h := rw.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(size))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")

	out := bufio.NewWriterSize(rw, writeBuffer)
	out.WriteString(head)
	first := true
	for i := range verdicts {
		if !verdicts[i].Visible() {
			continue
		}
		if !first {
			out.WriteByte(',')
		}
		first = false
		if text, ok := edited[i]; ok {
			out.Write(text)
		} else {
			out.Write(b.At(i).Raw())
		}
	}
	out.WriteString(tail)
	// bufio keeps the first error of all writes; it means that the caller went
	// away, and the announced length tells any reader that the answer is not whole.
	_ = out.Flush()
}

// rewrite returns the element's text with its properties edited and written
// without white space around what is left; everything else keeps its bytes.
func rewrite(e Element, v *Verdict) []byte {
	raw := e.Raw()
	from, to := e.propertiesAt()
	out := make([]byte, 0, len(raw)+64)
	out = append(out, raw[:from]...)
	out = append(out, '{')
	first := true
	for name, value := range e.rawProperties() {
		drop, masked := v.edited(unquote(name))
		if drop {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(append(out, name...), ':')
		if masked != nil {
			value = masked
		}
		out = append(out, bytes.TrimSpace(value)...)
	}
	out = append(out, '}')
	return append(out, raw[to:]...)
}

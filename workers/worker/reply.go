package worker

import (
	"bufio"
	"net/http"
	"strconv"

	"github.com/muster-fleet/muster/workers/element"
)

// writeBuffer collects small elements into few writes.
const writeBuffer = 64 << 10

// writeReply answers with the visible elements in their order. Untouched elements
// go out byte for byte, neighbours in one piece with all that stands between
// them, which a gateway recognises without parsing. Of a stripped or masked one
// only the properties are written anew.
func writeReply(rw http.ResponseWriter, b *element.Batch, verdicts []Verdict) {
	pieces := replyPieces(b, verdicts)
	size := max(len(pieces)-1, 0) // the commas between them
	for _, p := range pieces {
		size += len(p)
	}
	head, tail := `{"result":{"`+b.Kind().Key()+`":[`, `]}}`
	h := rw.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(head)+size+len(tail)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")

	// bufio keeps the first error of all writes. It means that the caller went
	// away, and the announced length tells any reader that the answer is not whole.
	out := bufio.NewWriterSize(rw, writeBuffer)
	_, _ = out.WriteString(head)
	for i, p := range pieces {
		if i > 0 {
			_ = out.WriteByte(',')
		}
		_, _ = out.Write(p)
	}
	_, _ = out.WriteString(tail)
	_ = out.Flush()
}

// replyPieces returns the texts of the answer's elements, several in one piece
// where the request has them side by side.
func replyPieces(b *element.Batch, verdicts []Verdict) [][]byte {
	var pieces [][]byte
	whole := func(place int) bool { return verdicts[b.Ordinal(place)].Whole() }
	for place, n := 0, b.Places(); place < n; place++ {
		ordinal := b.Ordinal(place)
		v := &verdicts[ordinal]
		switch {
		case !v.Visible():
		case !v.Whole():
			pieces = append(pieces, rewrite(b.View(ordinal), v))
		case b.Repeats():
			// A repetition's own bytes are those of the first one.
			pieces = append(pieces, b.Raw(ordinal))
		default:
			from := place
			for place+1 < n && whole(place+1) {
				place++
			}
			pieces = append(pieces, b.Span(from, place))
		}
	}
	return pieces
}

// rewrite returns the element's text with its properties edited and written
// without white space around what is left; everything else keeps its bytes.
func rewrite(view element.View, v *Verdict) []byte {
	raw := view.Raw()
	from, to := view.PropertiesRaw()
	out := make([]byte, 0, len(raw))
	out = append(append(out, raw[:from]...), '{')
	first := true
	for i := range view.PropertyCount() {
		p := view.Property(i)
		drop, masked := v.edited(p.Name)
		if drop {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(append(out, p.Name...), ':')
		if masked != nil {
			out = append(out, masked...)
		} else {
			out = append(out, p.Value...)
		}
	}
	out = append(out, '}')
	return append(out, raw[to:]...)
}

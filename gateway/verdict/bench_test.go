package verdict

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/muster-fleet/muster/workers/element"
)

// sampleBody is a body of n nodes of about 285 bytes with eleven properties.
func sampleBody(n int) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	b := []byte(`{"parameters":{"type":"nodes"},"data":[`)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"elementId":"4:1d78d5ba-072c-4cfa-96c7-dda7da1c5620:%d","labels":["Person"],"properties":{`+
			`"name":"Zo\u00eb %d","city":"Köln","age":%d,"score":%d.50,"active":true,"born":"19%02d-04-17","dept":"Research","salary":%d,"note":"line\nbreak","manager":null,"key":"K-%06d"}}`,
			1800000+i*7, i, rnd.IntN(90), rnd.IntN(1000), rnd.IntN(100), rnd.IntN(100000), i)
	}
	return append(b, `]}`...)
}

// style is a way in which workers write their replies.
type style struct {
	name    string
	shuffle bool
	rewrite func(raw []byte) []byte
}

func styles() []style {
	return []style{
		{"verbatim", false, func(raw []byte) []byte { return raw }},
		{"shuffled", true, func(raw []byte) []byte { return raw }},
		{"spaced", false, spaced}, // as Python writes
		{"indented", false, func(raw []byte) []byte {
			v := jsontext.Value(bytes.Clone(raw))
			_ = v.Indent() // valid before and after
			return v
		}},
		{"sorted", false, func(raw []byte) []byte { // as Go writes maps
			tree, _ := decode(raw)
			text, _ := json.Marshal(tree) // a decoded tree always encodes
			return text
		}},
		{"stripped", false, func(raw []byte) []byte {
			from, to := bytes.Index(raw, []byte(`"salary"`)), bytes.Index(raw, []byte(`"note"`))
			return append(append([]byte(nil), raw[:from]...), raw[to:]...)
		}},
	}
}

// spaced writes a blank behind each comma and colon outside of strings.
func spaced(raw []byte) []byte {
	var out []byte
	quoted := false
	for i, c := range raw {
		out = append(out, c)
		switch {
		case c == '"' && raw[i-1] != '\\':
			quoted = !quoted
		case !quoted && (c == ',' || c == ':'):
			out = append(out, ' ')
		}
	}
	return out
}

// sampleReply keeps nine elements of ten.
func sampleReply(b *element.Batch, s style) []byte {
	var list [][]byte
	for i := range b.Len() {
		if i%10 != 3 {
			list = append(list, s.rewrite(b.Raw(i)))
		}
	}
	if s.shuffle {
		rand.New(rand.NewPCG(1, 1)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	return append(append([]byte(`{"result":{"nodes":[`), bytes.Join(list, []byte(","))...), `]}}`...)
}

func BenchmarkReadReply(b *testing.B) {
	body := sampleBody(10_000)
	r, err := element.ParseRequest(body, element.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range styles() {
		b.Run(s.name, func(b *testing.B) {
			reply := sampleReply(r.Nodes, s)
			var hint Hint
			var reader bytes.Reader
			b.SetBytes(int64(len(reply)))
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(reply)
				if _, err := ReadReply(&reader, r.Nodes, ReplyOptions{}, &hint); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("copying only", func(b *testing.B) {
		reply := sampleReply(r.Nodes, styles()[0])
		buf := make([]byte, windowSize)
		var reader bytes.Reader
		b.SetBytes(int64(len(reply)))
		for b.Loop() {
			reader.Reset(reply)
			for {
				if _, err := reader.Read(buf); err != nil {
					break
				}
			}
		}
	})
}

func BenchmarkMeet(b *testing.B) {
	dst, others := NewWhole(100_000), make([]*Set, 8)
	for i := range others {
		others[i] = NewWhole(100_000)
	}
	b.ReportAllocs()
	for b.Loop() {
		Meet(dst, others...)
	}
}

func BenchmarkAnswer(b *testing.B) {
	r, err := element.ParseRequest(sampleBody(10_000), element.Options{})
	if err != nil {
		b.Fatal(err)
	}
	hidden := NewWhole(r.Nodes.Len())
	for i := 3; i < hidden.Len(); i += 10 {
		hidden.Hide(i)
	}
	stripped := hidden.Clone()
	for i := range stripped.Len() {
		stripped.Strip(i, "salary")
	}
	for name, s := range map[string]*Set{"hidden": hidden, "stripped": stripped} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				a := NewAnswer(r, s, nil, AnswerOptions{})
				b.SetBytes(a.Size())
				if _, err := a.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkClose(b *testing.B) {
	const n = 10_000
	body := bytes.TrimSuffix(sampleBody(n), []byte(`]}`))
	body = append([]byte(`{"parameters":{"type":"graph"},"data":{"nodes":[`), body[len(`{"parameters":{"type":"nodes"},"data":[`):]...)
	body = append(body, `],"relationships":[`...)
	for i := range n {
		if i > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"elementId":"5:%d","type":"T","startNodeElementId":"4:1d78d5ba-072c-4cfa-96c7-dda7da1c5620:%d","endNodeElementId":"4:1d78d5ba-072c-4cfa-96c7-dda7da1c5620:%d","properties":{}}`,
			i, 1800000+i*7, 1800000+(i*31%n)*7)
	}
	r, err := element.ParseRequest(append(body, `]}}`...), element.Options{})
	if err != nil {
		b.Fatal(err)
	}
	nodes, rels := NewWhole(n), NewWhole(n)
	b.ReportAllocs()
	for b.Loop() {
		Close(r, nodes, rels)
	}
}

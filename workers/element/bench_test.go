package element

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// sampleBody is a body of n nodes of about 285 bytes: eleven properties, some
// with escapes and letters beyond ASCII, ids as Neo4j gives them.
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

func BenchmarkParse(b *testing.B) {
	body := sampleBody(10_000)
	parse := func(o Options) func(*testing.B) {
		return func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			start := cpu()
			for b.Loop() {
				r, err := ParseRequest(body, o)
				if err != nil {
					b.Fatal(err)
				}
				r.Release()
			}
			reportCPU(b, start, len(body))
		}
	}
	b.Run("fast", parse(Options{}))
	b.Run("drop", parse(Options{DropUnknownMembers: true}))
	b.Run("reference", parse(Options{Reader: Reference}))
	b.Run("jsontext", func(b *testing.B) { // validates, finds nothing
		b.SetBytes(int64(len(body)))
		start := cpu()
		for b.Loop() {
			dec := jsontext.NewDecoder(bytes.NewBuffer(body))
			if _, err := dec.ReadValue(); err != nil {
				b.Fatal(err)
			}
		}
		reportCPU(b, start, len(body))
	})
	b.Run("encoding-json", func(b *testing.B) { // neither duplicates nor UTF-8 refused
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		start := cpu()
		for b.Loop() {
			var v map[string]any
			if err := json.Unmarshal(body, &v); err != nil {
				b.Fatal(err)
			}
		}
		reportCPU(b, start, len(body))
	})
}

// BenchmarkParseSizes shows that the cost is linear.
func BenchmarkParseSizes(b *testing.B) {
	for _, n := range []int{1, 100, 1_000, 10_000, 100_000, 1_000_000} {
		body := sampleBody(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			start := cpu()
			for b.Loop() {
				r, err := ParseRequest(body, Options{})
				if err != nil {
					b.Fatal(err)
				}
				r.Release()
			}
			reportCPU(b, start, len(body))
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/element")
		})
	}
}

// BenchmarkFind looks ids up, in order and shuffled.
func BenchmarkFind(b *testing.B) {
	body := sampleBody(100_000)
	r, err := ParseRequest(body, Options{})
	if err != nil {
		b.Fatal(err)
	}
	order := rand.New(rand.NewPCG(1, 1)).Perm(r.Nodes.Len())
	r.Nodes.Find(nil)
	for name, pick := range map[string]func(int) int{
		"ordered":  func(i int) int { return i },
		"shuffled": func(i int) int { return order[i] },
	} {
		b.Run(name, func(b *testing.B) {
			i := 0
			for b.Loop() {
				want := pick(i % len(order))
				if got, ok := r.Nodes.Find(r.Nodes.ID(want)); !ok || got != want {
					b.Fatal("not found")
				}
				i++
			}
		})
	}
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			r.Nodes.ids.built = false
			r.Nodes.index()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(order)), "ns/id")
	})
}

// BenchmarkProperties visits every property of every element.
func BenchmarkProperties(b *testing.B) {
	body := sampleBody(10_000)
	r, err := ParseRequest(body, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for i := range r.Nodes.Len() {
			for _, value := range r.Nodes.Properties(i) {
				n += len(value)
			}
		}
	}
	if n == 0 {
		b.Fatal("nothing visited")
	}
}

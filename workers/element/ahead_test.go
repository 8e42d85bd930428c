package element

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// apart is a Request that reads every list in four parts, however small, and
// whose scouts begin as find says.
func apart(find func(text, beginning []byte) int, begin func(func())) *Request {
	r := new(Request)
	r.p.ahead = ahead{parts: 4, find: find, begin: begin}
	return r
}

// sooner runs a scout to its end before the parser goes on.
func sooner(run func()) { run() }

// same fails when reading in parts makes a difference.
func same(t *testing.T, r *Request, body []byte, o Options) {
	t.Helper()
	want, errWhole := fast(body, o)
	errParts := r.again(body, o)
	if (errWhole == nil) != (errParts == nil) {
		t.Fatalf("whole: %v\nin parts: %v\nbody: %q", errWhole, errParts, body)
	}
	if errWhole != nil {
		return
	}
	for _, k := range []Kind{Nodes, Relationships} {
		if d := differ(r.Batch(k), want.Batch(k)); d != "" {
			t.Fatalf("%s: %s\nbody: %q", k.Key(), d, body)
		}
	}
}

// TestPartsAgree holds the reading in parts to the reading as a whole over good
// and damaged bodies. The memory is used again, as in the pool, so that nothing
// of one body may leak into the next.
func TestPartsAgree(t *testing.T) {
	defer goleak.VerifyNone(t)
	documents := 60_000
	if testing.Short() {
		documents = 6_000
	}
	g := newGen(5)
	asOne, aside := apart(nil, sooner), apart(nil, nil)
	var body []byte
	for n := range documents {
		if n%8 == 0 {
			body = g.body()
		}
		text := body
		if n%8 != 0 {
			text = g.damage(body)
		}
		o := Options{DropUnknownMembers: n%5 == 0}
		same(t, asOne, text, o)
		if n%4 == 0 {
			same(t, aside, text, o)
		}
	}
}

// small is a body with whatever parts may stumble over: escaped ids, which lie in
// the arena, elements that repeat, names that change, look-alikes of elements
// inside of elements, and white space.
func small(typ string) []byte {
	like := `{"elementId":"x","labels":["L"],"properties":{}}`
	nodes := `[{"elementId":"a\u0031","labels":["A","B\n"],"properties":{"p":1,"q":"é"}},` +
		`{"elementId":"a2","labels":["A"],"properties":{"p":2,"q":"x","r":[` + like + `,` + like + `]}} ,` +
		`{"elementId":"a\u0033","labels":[],"properties":{}},` + "\n" +
		`{"elementId":"b","labels":["A"],"properties":{"p":{"n":` + like + `},"q":null}},` +
		`{"elementId":"a2","labels":["A"],"properties":{"p":2,"q":"x","r":[` + like + `,` + like + `]}}]`
	rels := `[{"elementId":"r\u0031","type":"T\t","startNodeElementId":"a1","endNodeElementId":"b","properties":{"w":1}},` +
		`{"elementId":"r2","type":"T","startNodeElementId":"a\u0032","endNodeElementId":"b","properties":{"w":2}, "startNodeLabel":"A"},` +
		`{"elementId":"r22","type":"T2","startNodeElementId":"b","endNodeElementId":"b","properties":{"w":[]}},` +
		`{"elementId":"r\u0033","type":"U","startNodeElementId":"b","endNodeElementId":"a\u0032","properties":{}}]`
	data := map[string]string{"nodes": nodes, "relationships": rels, "graph": `{"nodes":` + nodes + `,"relationships":` + rels + `}`}[typ]
	return []byte(`{"parameters":{"type":"` + typ + `"},"data":` + data + `}`)
}

// TestPartsBeginAnywhere begins a part at each byte of a body: what a scout makes
// of it counts only where an element begins.
func TestPartsBeginAnywhere(t *testing.T) {
	for _, typ := range []string{"nodes", "relationships", "graph"} {
		body := small(typ)
		want, err := fast(body, Options{})
		if err != nil {
			t.Fatal(err)
		}
		joined := 0
		for at := range body {
			r := apart(func(text, _ []byte) int { return at - (len(body) - len(text)) }, sooner)
			if err := r.again(body, Options{}); err != nil {
				t.Fatalf("%s in parts from byte %d: %v", typ, at, err)
			}
			for _, k := range []Kind{Nodes, Relationships} {
				if d := differ(r.Batch(k), want.Batch(k)); d != "" {
					t.Fatalf("%s in parts from byte %d: %s", k.Key(), at, d)
				}
			}
			for _, s := range r.p.ahead.scouts {
				if s.end >= 0 {
					joined++
				}
			}
		}
		if joined < 2 {
			t.Errorf("%s: %d scouts came to an end; none proves anything", typ, joined)
		}
	}
}

// TestPartsOfDamagedBodies breaks a body off at each byte, and spoils each byte.
func TestPartsOfDamagedBodies(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, typ := range []string{"nodes", "relationships", "graph"} {
		body := small(typ)
		asOne, aside := apart(nil, sooner), apart(nil, nil)
		for at := range body {
			same(t, asOne, body[:at], Options{})
			same(t, aside, body[:at], Options{})
			for _, c := range []byte("\x00\"\\{}[],:1a \xff") {
				text := bytes.Clone(body)
				text[at] = c
				same(t, asOne, text, Options{})
			}
		}
	}
}

// TestPartsOfLargeBodies reads bodies in parts as they are chosen in earnest, by
// several callers at once.
func TestPartsOfLargeBodies(t *testing.T) {
	defer goleak.VerifyNone(t)
	ascending := sampleBody(3000)
	repeated := bytes.Replace(ascending, []byte(`]}`), append([]byte{','}, ascending[bytes.IndexByte(ascending, '[')+1:]...), 1)
	other := strings.Replace(string(ascending), `"key":"K-002900"`, `"key":"K-002900","elementId":{"elementId":[]}`, 1)
	bodies := [][]byte{ascending, repeated, []byte(other), ascending[:len(ascending)-400]}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, body := range bodies {
				want, errWhole := fast(body, Options{})
				r, errParts := ParseRequest(body, Options{})
				if (errWhole == nil) != (errParts == nil) {
					t.Errorf("whole: %v; in parts: %v", errWhole, errParts)
				}
				if errParts != nil {
					continue
				}
				if d := differ(r.Nodes, want.Nodes); d != "" {
					t.Error(d)
				}
				r.Release()
			}
		})
	}
	wg.Wait()
}

// TestPanicOfAScout: what goes wrong in another goroutine is raised where the
// caller can handle it.
func TestPanicOfAScout(t *testing.T) {
	r := apart(nil, sooner)
	body := sampleBody(20)
	r.p.ahead.begin = func(run func()) {
		for _, e := range r.p.ahead.waiting {
			e.scout.batch.recs, e.scout.p.batch = nil, nil // as a defect would
		}
		run()
	}
	defer func() {
		if recover() == nil {
			t.Error("the panic is lost")
		}
	}()
	t.Errorf("read, with %v", r.again(body, Options{}))
}

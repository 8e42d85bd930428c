package verdict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/muster-fleet/muster/workers/element"
)

// drip gives a text in pieces of random sizes.
type drip struct {
	*rand.Rand
	rest []byte
	most int
}

func (d *drip) Read(p []byte) (int, error) {
	if len(d.rest) == 0 {
		return 0, io.EOF
	}
	n := min(len(p), len(d.rest), 1+d.IntN(d.most))
	copy(p, d.rest[:n])
	d.rest = d.rest[n:]
	return n, nil
}

// replier writes replies to a batch: honest ones, and others.
type replier struct {
	*rand.Rand
	b *element.Batch
}

func (g *replier) reply() []byte {
	var list [][]byte
	for i := range g.b.Len() {
		if g.IntN(5) > 0 {
			list = append(list, g.rewrite(g.b.Raw(i)))
		}
	}
	if g.IntN(3) == 0 {
		g.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	if g.IntN(25) == 0 && len(list) > 0 {
		list = append(list, list[g.IntN(len(list))])
	}
	if g.IntN(25) == 0 {
		list = append(list, []byte(`{"elementId":"foreign","labels":[],"properties":{}}`))
	}
	key := g.b.Kind().Key()
	if g.IntN(40) == 0 {
		key = "edges"
	}
	text := fmt.Sprintf(`{"result":{"%s":[%s]}}`, key, bytes.Join(list, []byte(g.pick(",", ", ", " ,\n"))))
	switch g.IntN(12) {
	case 0:
		v := jsontext.Value(text)
		if v.Indent() == nil {
			text = string(v)
		}
	case 1:
		text = " \n" + text + "\t "
	case 2:
		text = strings.Replace(text, `{"result"`, `{"took":[1,{"a":2}],"result"`, 1)
	case 3:
		text = text[:len(text)-1] + `,"explain":7}`
	case 4:
		text = g.pick(text+"x", text[:len(text)-1], text+text, `{"results":{}}`, `{"result":{}}`, `[]`, ``, `{"result":{"nodes":[],"relationships":[]}}`, `{"result":[]}`)
	}
	return []byte(text)
}

func (g *replier) pick(s ...string) string { return s[g.IntN(len(s))] }

// rewrite writes one element as some worker might.
func (g *replier) rewrite(raw []byte) []byte {
	switch g.IntN(6) {
	case 0, 1:
		return raw
	case 2:
		v := jsontext.Value(bytes.Clone(raw))
		if g.IntN(2) == 0 {
			_ = v.Compact() // valid before and after
		} else {
			_ = v.Indent() // likewise
		}
		return v
	}
	tree, _ := decode(raw)
	e := tree.(map[string]any)
	props := e["properties"].(map[string]any)
	if g.IntN(3) == 0 {
		for name := range props {
			if g.IntN(3) == 0 {
				delete(props, name)
			}
		}
	}
	if g.IntN(6) == 0 {
		for name := range props {
			if g.IntN(3) == 0 {
				props[name] = []any{"***", nil, true, json.Number("1.0"), map[string]any{"x": "y"}, []any{}}[g.IntN(6)]
			}
		}
	}
	switch g.IntN(40) {
	case 0:
		e["labels"] = []any{"other"}
	case 1:
		e["type"] = "OTHER"
	case 2:
		props["added"] = 1
	case 3:
		delete(e, "properties")
	case 4:
		e["elementId"] = "other"
	case 5:
		e["endNodeElementId"] = "other"
	case 6:
		e["startNodeLabel"] = "other"
	case 7:
		delete(e, "startNodeLabel")
	}
	text, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return text
}

// batches returns one batch of each kind, with properties of all sorts.
func batches(t testing.TB) []*element.Batch {
	t.Helper()
	var nodes, rels []string
	for i := range 12 {
		nodes = append(nodes, fmt.Sprintf(`{"elementId":"4:d2b1:%d", "labels":["Person","T%d"],"properties":{"name":"Zo\u00eb %d","n":1.50, "big":9007199254740993,"nested":{"a":[1,2.0],"b":{}},"none":null,"yes":true,"emoji":"😀","e":1e999999999}}`, 1000+i, i%3, i))
		label := ""
		if i%2 == 0 {
			label = `"startNodeLabel":"A","endNodeLabel":"B",`
		}
		rels = append(rels, fmt.Sprintf(`{%s"elementId":"5:d2b1:%d","type":"KN\u004fWS","startNodeElementId":"4:d2b1:%d","endNodeElementId":"4:d2b1:%d","properties":{"since":20%02d,"x":"a\/b"}}`, label, i, 1000+i, 1001+i, i))
	}
	body := `{"parameters":{"type":"graph"},"data":{"nodes":[` + strings.Join(nodes, ",") + `],"relationships":[` + strings.Join(rels, ", ") + `]}}`
	r, err := element.ParseRequest([]byte(body), element.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return []*element.Batch{r.Nodes, r.Relationships}
}

// TestReadReplyAgreesWithOracle: the matcher and the slow reading of the
// specification give the same verdicts, or both find a violation.
func TestReadReplyAgreesWithOracle(t *testing.T) {
	rounds := 30_000
	if testing.Short() {
		rounds = 6_000
	}
	rnd := rand.New(rand.NewPCG(4, 2))
	good := 0
	hints := []*Hint{nil, {}, {}}
	all := batches(t)
	for n := range rounds {
		b := all[n%2]
		g := &replier{rnd, b}
		reply := g.reply()
		if n%4 == 3 && len(reply) > 0 {
			reply = wound(rnd, reply)
		}
		o := ReplyOptions{Mask: n%3 == 0, To: b.Len()}
		if n%5 == 0 {
			o.From, o.To = 2, 9
		}
		if checkReply(t, rnd, reply, b, o, hints[n%3]) {
			good++
		}
	}
	t.Logf("%d of %d replies good", good, rounds)
	if good < rounds/20 {
		t.Error("too few good replies to prove anything")
	}
}

func wound(rnd *rand.Rand, reply []byte) []byte {
	out := bytes.Clone(reply)
	at := rnd.IntN(len(out))
	switch rnd.IntN(4) {
	case 0:
		out[at] = byte(rnd.IntN(256))
	case 1:
		out = append(out[:at], out[at+1:]...)
	case 2:
		out = append(out[:at], append([]byte{`{}[],:"\0 1`[rnd.IntN(11)]}, out[at:]...)...)
	default:
		other := rnd.IntN(len(out))
		out[at], out[other] = out[other], out[at]
	}
	return out
}

func checkReply(t *testing.T, rnd *rand.Rand, reply []byte, b *element.Batch, o ReplyOptions, hint *Hint) (good bool) {
	t.Helper()
	var m matcher
	m.w.buf = make([]byte, 1+rnd.IntN(300)) // elements span windows
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 20
	}
	set, err := m.read(&drip{rnd, reply, 1 + rnd.IntN(400)}, b, o, hint)
	want, wantErr := oracle(reply, b, o)
	var v *Violation
	if err != nil && !errors.As(err, &v) {
		t.Fatalf("%v is no violation\nreply: %s", err, reply)
	}
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("matcher: %v, oracle: %v, options %+v\nreply: %s", err, wantErr, o, reply)
	}
	if err != nil {
		return false
	}
	if d := want.differs(set); d != "" {
		t.Fatalf("verdicts differ: %s\nreply: %s", d, reply)
	}
	return true
}

func FuzzReadReply(f *testing.F) {
	all := batches(f)
	rnd := rand.New(rand.NewPCG(8, 8))
	for n := range 20 {
		f.Add((&replier{rnd, all[n%2]}).reply(), n%2 == 0, n%3 == 0, uint64(n))
	}
	f.Fuzz(func(t *testing.T, reply []byte, nodes, mask bool, seed uint64) {
		b := all[0]
		if !nodes {
			b = all[1]
		}
		checkReply(t, rand.New(rand.NewPCG(seed, 1)), reply, b, ReplyOptions{Mask: mask, To: b.Len()}, nil)
	})
}

// TestViolations names the reason of each lie.
func TestViolations(t *testing.T) {
	all := batches(t)
	nodes, rels := all[0], all[1]
	reply := func(b *element.Batch, old, new string) string {
		return fmt.Sprintf(`{"result":{"%s":[%s]}}`, b.Kind().Key(), strings.Replace(string(b.Raw(0)), old, new, 1))
	}
	for name, c := range map[string]struct {
		b             *element.Batch
		reply, reason string
		mask          bool
	}{
		"foreign":          {nodes, reply(nodes, "1000", "77"), ReasonForeignID, false},
		"labels":           {nodes, reply(nodes, "Person", "Admin"), ReasonChangedLabels, false},
		"labels order":     {nodes, reply(nodes, `"Person","T0"`, `"T0","Person"`), ReasonChangedLabels, false},
		"added property":   {nodes, reply(nodes, `"n":1.50`, `"n":1.5,"m":2`), ReasonAddedProperty, false},
		"renamed property": {nodes, reply(nodes, `"none"`, `"nane"`), ReasonAddedProperty, false},
		"changed value":    {nodes, reply(nodes, `1.50`, `1.51`), ReasonChangedValue, false},
		"nested left out":  {nodes, reply(nodes, `,"b":{}`, ``), ReasonChangedValue, false},
		"object as mask":   {nodes, reply(nodes, `1.50`, `{}`), ReasonBadMask, true},
		"long mask":        {nodes, reply(nodes, `1.50`, `"`+strings.Repeat("x", MaxMask-1)+`"`), ReasonBadMask, true},
		"added member":     {nodes, reply(nodes, `"labels"`, `"x":1,"labels"`), ReasonAddedMember, false},
		"missing labels":   {nodes, reply(nodes, `"labels":["Person","T0"],`, ``), ReasonMissingMember, false},
		"odd properties":   {nodes, `{"result":{"nodes":[{"elementId":"4:d2b1:1000","labels":[],"properties":[]}]}}`, ReasonMissingMember, false},
		"type":             {rels, reply(rels, `KN\u004fWS`, "HATES"), ReasonChangedType, false},
		"endpoint":         {rels, reply(rels, `"4:d2b1:1000"`, `"4:d2b1:1001"`), ReasonChangedEndpoints, false},
		"end label":        {rels, reply(rels, `"A"`, `"C"`), ReasonChangedLabels, false},
		"wrong key":        {nodes, `{"result":{"relationships":[]}}`, ReasonWrongKey, false},
		"both keys":        {nodes, `{"result":{"nodes":[],"relationships":[]}}`, ReasonWrongKey, false},
		"no key":           {nodes, `{"result":{}}`, ReasonWrongKey, false},
		"no result":        {nodes, `{"error":"x","description":"y"}`, ReasonWrongShape, false},
		"null result":      {nodes, `{"result":null}`, ReasonWrongShape, false},
		"null list":        {nodes, `{"result":{"nodes":null}}`, ReasonWrongShape, false},
		"null element":     {nodes, `{"result":{"nodes":[null]}}`, ReasonWrongShape, false},
		"trailing":         {nodes, `{"result":{"nodes":[]}} {}`, ReasonTrailingBytes, false},
		"empty":            {nodes, ``, ReasonNotJSON, false},
		"HTML":             {nodes, `<html>`, ReasonNotJSON, false},
		"cut":              {nodes, `{"result":{"nodes":[`, ReasonNotJSON, false},
		"duplicate":        {nodes, `{"result":{"nodes":[]},"result":{"nodes":[]}}`, ReasonNotJSON, false},
		"duplicate inside": {nodes, reply(nodes, `"n":1.50`, `"n":1.50,"n":1.50`), ReasonNotJSON, false},
		"UTF-8":            {nodes, reply(nodes, `"emoji":"`, "\"emoji\":\"\xff"), ReasonNotJSON, false},
		"twice":            {nodes, fmt.Sprintf(`{"result":{"nodes":[%s,%[1]s]}}`, nodes.Raw(3)), ReasonRepeatedID, false},
		"twice rewritten":  {nodes, fmt.Sprintf(`{"result":{"nodes":[%s, %s]}}`, nodes.Raw(3), strings.Replace(string(nodes.Raw(3)), " ", "", 1)), ReasonRepeatedID, false},
		"too large":        {nodes, `{"result":{"nodes":[]}}` + strings.Repeat(" ", 2<<20), ReasonTooLarge, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadReply(strings.NewReader(c.reply), c.b, ReplyOptions{Mask: c.mask}, nil)
			var v *Violation
			if !errors.As(err, &v) || v.Reason != c.reason {
				t.Fatalf("%v, want %s", err, c.reason)
			}
			if strings.Contains(v.Error(), "4:d2b1") || strings.Contains(v.Error(), "HATES") {
				t.Errorf("%v quotes the reply", v)
			}
		})
	}
}

// TestReadersErrorComesBackUnchanged: an answer counts only when its body ended
// as framed, even when its JSON is complete.
func TestReadersErrorComesBackUnchanged(t *testing.T) {
	b := batches(t)[0]
	for _, text := range []string{`{"result":{"nodes":[]}}`, `{"result":{"no`, ``} {
		r := io.MultiReader(strings.NewReader(text), iotest.ErrReader(io.ErrUnexpectedEOF))
		if _, err := ReadReply(r, b, ReplyOptions{}, nil); err != io.ErrUnexpectedEOF {
			t.Errorf("after %q: %v", text, err)
		}
	}
	if _, err := ReadReply(iotest.ErrReader(io.ErrNoProgress), b, ReplyOptions{}, nil); err != io.ErrNoProgress {
		t.Errorf("%v", err)
	}
}

// TestViolationIsFoundBeforeTheEnd: a foreign element is told at once, so that
// the other workers' calls can be cancelled.
func TestViolationIsFoundBeforeTheEnd(t *testing.T) {
	b := batches(t)[0]
	r, w := io.Pipe()
	go w.Write([]byte(`{"result":{"nodes":[{"elementId":"foreign","labels":[],"properties":{}},`)) // ends when r is closed
	_, err := ReadReply(r, b, ReplyOptions{}, nil)
	r.Close()
	var v *Violation
	if !errors.As(err, &v) || v.Reason != ReasonForeignID {
		t.Fatal(err)
	}
}

func TestEmptyBatch(t *testing.T) {
	r, err := element.ParseRequest([]byte(`{"parameters":{"type":"nodes"},"data":[]}`), element.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	s, err := ReadReply(strings.NewReader(`{"result":{"nodes":[]}}`), r.Nodes, ReplyOptions{}, nil)
	if err != nil || s.Len() != 0 {
		t.Fatal(s, err)
	}
	if _, err := ReadReply(strings.NewReader(`{"result":{"nodes":[{"elementId":"a","labels":[],"properties":{}}]}}`), r.Nodes, ReplyOptions{}, nil); err == nil {
		t.Fatal("a foreign element was accepted")
	}
}

func TestHintLearns(t *testing.T) {
	b := batches(t)[0]
	var h Hint
	verbatim, anew := replyOf(b, false), replyOf(b, true)
	for n, c := range []struct {
		text []byte
		anew bool
	}{{verbatim, false}, {anew, true}, {anew, true}, {verbatim, false}, {verbatim, false}} {
		s, err := ReadReply(bytes.NewReader(c.text), b, ReplyOptions{}, &h)
		if err != nil || s.CountVisible() != b.Len() {
			t.Fatal(n, err)
		}
		if h.reformats() != c.anew {
			t.Errorf("after reply %d: %v", n, h.reformats())
		}
	}
}

func replyOf(b *element.Batch, anew bool) []byte {
	text := []byte(`{"result":{"` + b.Kind().Key() + `":[`)
	for i := range b.Len() {
		if i > 0 {
			text = append(text, ',')
		}
		v := jsontext.Value(bytes.Clone(b.Raw(i)))
		if anew {
			_ = v.Indent() // valid before and after
		}
		text = append(text, v...)
	}
	return append(text, `]}}`...)
}

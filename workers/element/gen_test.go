package element

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// gen writes random filter bodies: the shapes are right, the texture is not kind.
type gen struct {
	*rand.Rand
	b     strings.Builder
	ids   []string
	loose bool // white space anywhere, members in any order
}

func newGen(seed uint64) *gen {
	return &gen{Rand: rand.New(rand.NewPCG(seed, 7))}
}

func (g *gen) ws() {
	if !g.loose {
		return
	}
	for g.IntN(4) == 0 {
		g.b.WriteByte(" \t\n\r"[g.IntN(4)])
	}
}

func (g *gen) pick(s ...string) string { return s[g.IntN(len(s))] }

// text writes a string token, with escapes and all planes of Unicode.
func (g *gen) text(max int) string {
	var b strings.Builder
	b.WriteByte('"')
	for range g.IntN(max + 1) {
		switch g.IntN(14) {
		case 0:
			b.WriteString(g.pick(`\n`, `\"`, `\\`, `\/`, `\u0041`, `\u00e9`, `\ud83d\ude00`, `\uD800\uDC00`, `\u0000`, `\t`))
		case 1:
			b.WriteString(g.pick("é", "ß", "漢", "😀", "\u2028", "\x7f", "\U0010FFFF"))
		default:
			b.WriteByte("abcdefghijklmnopqrstuvwxyz0123456789 :{}[],'"[g.IntN(44)])
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (g *gen) number() string {
	return g.pick("0", "-0", "1", "-1", "1.5", "1.50", "15e-1", "1E+2", "12345678901234567890", "0.0e5",
		"1e999999999", "-3.14", strconv.Itoa(g.IntN(1000)), "9007199254740993")
}

func (g *gen) value(depth int) {
	k := g.IntN(12)
	if depth <= 0 && k >= 10 {
		k = 0
	}
	switch k {
	case 0, 1, 2, 3, 4:
		g.b.WriteString(g.text(12))
	case 5, 6, 7:
		g.b.WriteString(g.number())
	case 8, 9:
		g.b.WriteString(g.pick("true", "false", "null"))
	case 10:
		g.list(g.IntN(4), func(int) { g.value(depth - 1) })
	default:
		g.members(g.names(g.IntN(4)), func(string) { g.value(depth - 1) })
	}
}

func (g *gen) list(n int, item func(int)) {
	g.b.WriteByte('[')
	g.ws()
	for i := range n {
		if i > 0 {
			g.b.WriteByte(',')
			g.ws()
		}
		item(i)
		g.ws()
	}
	g.b.WriteByte(']')
}

// members writes an object of the given name tokens.
func (g *gen) members(names []string, value func(string)) {
	g.b.WriteByte('{')
	g.ws()
	for i, name := range names {
		if i > 0 {
			g.b.WriteByte(',')
			g.ws()
		}
		g.b.WriteString(name)
		g.ws()
		g.b.WriteByte(':')
		g.ws()
		value(name)
		g.ws()
	}
	g.b.WriteByte('}')
}

// names returns n name tokens that differ once decoded, most of the time.
func (g *gen) names(n int) []string {
	out := make([]string, 0, n)
	for i := range n {
		switch g.IntN(8) {
		case 0:
			out = append(out, g.text(3))
		case 1:
			out = append(out, fmt.Sprintf(`"\u%04x%d"`, 'a'+g.IntN(3), i))
		default:
			out = append(out, fmt.Sprintf(`"%s%d"`, g.pick("name", "a_longer_property_name_", "k", "ü"), i))
		}
	}
	return out
}

func (g *gen) id(prefix string, i int) string {
	if len(g.ids) > 0 && g.IntN(60) == 0 {
		return g.ids[g.IntN(len(g.ids))]
	}
	id := fmt.Sprintf(`"%s:%d"`, prefix, i+g.IntN(2)*1000)
	if g.IntN(20) == 0 {
		id = fmt.Sprintf(`"\u0034%s:%d"`, prefix, i)
	}
	g.ids = append(g.ids, id)
	return id
}

func (g *gen) element(k Kind, i int) {
	names := []string{`"elementId"`, `"labels"`, `"properties"`}
	prefix := "4:d2b1"
	if k == Relationships {
		prefix = "5:d2b1"
		names = []string{`"elementId"`, `"type"`, `"startNodeElementId"`, `"endNodeElementId"`, `"properties"`}
		if g.IntN(2) == 0 {
			names = append(names, `"startNodeLabel"`, `"endNodeLabel"`)
		}
	}
	if g.IntN(40) == 0 {
		names = append(names, g.pick(`"extra"`, `"Labels"`, `"label"`, `"element\u0049d"`))
	}
	if g.IntN(60) == 0 {
		names = names[1:]
	}
	if g.loose {
		g.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for i := range names {
			if g.IntN(30) == 0 {
				names[i] = fmt.Sprintf(`"\u%04x%s`, names[i][1], names[i][2:])
			}
		}
	}
	g.members(names, func(name string) {
		switch decoded := string(AppendText(nil, []byte(name))); decoded {
		case "elementId":
			g.b.WriteString(g.id(prefix, i))
		case "labels":
			g.list(g.IntN(3), func(int) { g.b.WriteString(g.text(6)) })
		case "properties":
			n := g.IntN(8)
			if g.IntN(50) == 0 {
				n = 30 + g.IntN(20)
			}
			g.members(g.names(n), func(string) { g.value(2) })
		case "startNodeElementId", "endNodeElementId":
			fmt.Fprintf(&g.b, `"4:d2b1:%d"`, g.IntN(8))
		case "extra":
			g.value(2)
		default:
			g.b.WriteString(g.text(6))
		}
	})
}

// body writes a whole request.
func (g *gen) body() []byte {
	g.b.Reset()
	g.ids = g.ids[:0]
	g.loose = g.IntN(2) == 0
	typ := g.pick("nodes", "relationships", "graph")
	names := []string{`"parameters"`, `"data"`}
	if g.IntN(4) == 0 {
		names = append(names, `"trace"`)
		g.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	}
	g.ws()
	g.members(names, func(name string) {
		switch name {
		case `"parameters"`:
			g.members([]string{`"type"`}, func(string) { fmt.Fprintf(&g.b, "%q", typ) })
		case `"trace"`:
			g.value(2)
		default:
			g.data(typ)
		}
	})
	g.ws()
	return []byte(g.b.String())
}

func (g *gen) data(typ string) {
	kinds := map[string]Kind{"nodes": Nodes, "relationships": Relationships}
	if k, ok := kinds[typ]; ok {
		g.list(g.IntN(6), func(i int) { g.element(k, i) })
		return
	}
	names := []string{`"nodes"`, `"relationships"`}
	if g.IntN(3) == 0 {
		names[0], names[1] = names[1], names[0]
	}
	g.members(names, func(name string) {
		k := kinds[strings.Trim(name, `"`)]
		g.list(g.IntN(5), func(i int) { g.element(k, i) })
	})
}

// damage returns the body with a few random wounds.
func (g *gen) damage(body []byte) []byte {
	out := append([]byte(nil), body...)
	for range 1 + g.IntN(2) {
		if len(out) == 0 {
			return out
		}
		at := g.IntN(len(out))
		switch g.IntN(8) {
		case 0:
			out[at] = byte(g.IntN(256))
		case 1:
			out = append(out[:at], out[at+1:]...)
		case 2:
			out = out[:at]
		case 3:
			out = append(out[:at], append([]byte{`{}[],:"\0 t-.e`[g.IntN(14)]}, out[at:]...)...)
		case 4: // repeat a piece
			to := min(len(out), at+g.IntN(40))
			out = append(out[:to], append(append([]byte(nil), out[at:to]...), out[to:]...)...)
		case 5: // drop a piece
			to := min(len(out), at+g.IntN(40))
			out = append(out[:at], out[to:]...)
		case 6:
			other := g.IntN(len(out))
			out[at], out[other] = out[other], out[at]
		default:
			wound := g.pick(`\ud800`, `\udc00\ud800`, "\xc3", "\xed\xa0\x80", "\xf5", `\x`, `\u12`, "01", "nul", `"k0":1,`, "\x00", "+1", "1.", ",,")
			out = append(out[:at], append([]byte(wound), out[at:]...)...)
		}
	}
	return out
}

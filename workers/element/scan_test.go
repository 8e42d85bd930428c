package element

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// valid asks the hand-written scanner whether text is one JSON value.
func valid(text []byte) bool {
	var s nameScanner
	_, ok := s.only(text)
	return ok
}

func checkValid(t *testing.T, text string) {
	t.Helper()
	if got, want := valid([]byte(text)), jsontext.Value(text).IsValid(); got != want {
		t.Fatalf("%q: scanner %v, jsontext %v", text, got, want)
	}
}

// combine calls visit with every text of up to n bytes of the alphabet.
func combine(alphabet string, n int, visit func(string)) {
	var build func(prefix []byte)
	build = func(prefix []byte) {
		visit(string(prefix))
		if len(prefix) == n {
			return
		}
		for i := range len(alphabet) {
			build(append(prefix, alphabet[i]))
		}
	}
	build(make([]byte, 0, n))
}

func TestNumbersExhaustively(t *testing.T) {
	n := 6
	if testing.Short() {
		n = 5
	}
	combine("-+019.eE", n, func(s string) { checkValid(t, s) })
}

func TestStructureExhaustively(t *testing.T) {
	n := 7
	if testing.Short() {
		n = 6
	}
	combine(`[]{}:,1`, n, func(s string) { checkValid(t, s) })
}

func TestEscapesExhaustively(t *testing.T) {
	for c := range 256 {
		checkValid(t, `"`+string([]byte{'\\', byte(c)})+`"`)
		checkValid(t, `"`+string([]byte{byte(c)})+`"`)
		checkValid(t, string([]byte{byte(c)}))
		for _, digits := range []string{"%c000", "0%c00", "00%c0", "000%c"} {
			checkValid(t, `"\u`+fmt.Sprintf(digits, byte(c))+`"`)
		}
	}
	// Every unit by itself, and pairs around the borders of the surrogates.
	for u := range 1 << 16 {
		checkValid(t, fmt.Sprintf(`"\u%04x"`, u))
	}
	borders := []int{0, 0x41, 0xD7FF, 0xD800, 0xD801, 0xDBFF, 0xDC00, 0xDC01, 0xDFFF, 0xE000, 0xFFFF}
	for _, a := range borders {
		for _, b := range borders {
			for _, between := range []string{"", "x", `\n`, `\`, `\u`} {
				checkValid(t, fmt.Sprintf(`"\u%04X%s\u%04x"`, a, between, b))
			}
		}
	}
}

// TestUTF8Exhaustively puts every pair of bytes, and the borders of longer
// sequences, at each offset of the eight bytes that are looked at together.
func TestUTF8Exhaustively(t *testing.T) {
	for shift := range 9 {
		pad := strings.Repeat("x", shift)
		step := 1
		if shift > 0 {
			step = 7
		}
		for a := 0x7f; a < 256; a += step {
			for b := 0; b < 256; b += step {
				checkValid(t, `"`+pad+string([]byte{byte(a), byte(b)})+`"`)
				checkValid(t, `"`+pad+string([]byte{byte(a), byte(b)})+`yyyyyyyyy"`)
			}
		}
		for _, a := range []byte{0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff} {
			for _, b := range []byte{0x00, 0x22, 0x5c, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0} {
				for _, c := range []byte{0x22, 0x7f, 0x80, 0xbf, 0xc0} {
					checkValid(t, `"`+pad+string([]byte{a, b, c})+`"`)
					checkValid(t, `"`+pad+string([]byte{a, b, c, 0x80})+`"`)
					checkValid(t, `"`+pad+string([]byte{a, b, c, 0xbf})+`tail of it"`)
				}
			}
		}
	}
}

// TestStringsEndWhereTheyEnd puts each special byte at each offset.
func TestStringsEndWhereTheyEnd(t *testing.T) {
	for size := range 40 {
		plain := strings.Repeat("a", size)
		for _, tail := range []string{"", " ", `,"next":1`, strings.Repeat("z", 20)} {
			text := []byte(`"` + plain + `"` + tail)
			if end, escaped := scanString(text, 1); end != size+2 || escaped {
				t.Fatalf("%q ends at %d", text, end)
			}
			if end := skipString(text, 1); end != size+2 {
				t.Fatalf("%q ends at %d for skipString", text, end)
			}
		}
		for at := range size {
			for _, special := range []string{`\"`, `\\`, `\n`, `\u0022`, "é", "\x00", "\x1f", "\xff"} {
				text := []byte(`"` + plain[:at] + special + plain[at:] + `" "`)
				want := len(text) - 2
				if strings.ContainsAny(special, "\x00\x1f") || special == "\xff" {
					want = bad
				}
				end, escaped := scanString(text, 1)
				if end != want || want > 0 && escaped != (special[0] == '\\') {
					t.Fatalf("%q ends at %d, escaped %v", text, end, escaped)
				}
				if end := skipString(text, 1); end != want {
					t.Fatalf("%q ends at %d for skipString", text, end)
				}
			}
		}
	}
}

func TestUnescapeAgreesWithJsontext(t *testing.T) {
	g := newGen(21)
	for range 20_000 {
		token := []byte(g.text(20))
		want, err := jsontext.AppendUnquote(nil, token)
		if err != nil {
			t.Fatalf("%s: %v", token, err)
		}
		if got := AppendText(nil, token); !bytes.Equal(got, want) {
			t.Fatalf("%s: %q, want %q", token, got, want)
		}
		if !TextEqual(token, string(want)) || TextEqual(token, string(want)+"x") {
			t.Fatalf("%s: TextEqual", token)
		}
		quoted, err := jsontext.AppendQuote(nil, want)
		if err != nil || !SameText(token, quoted) {
			t.Fatalf("%s and %s differ: %v", token, quoted, err)
		}
	}
}

// TestDuplicatesWhereverTheyStand: one repeated name among many, in any spelling
// and place, is found; many names that only look alike are not.
func TestDuplicatesWhereverTheyStand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 90).Draw(t, "names")
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf("%s%d", rapid.SampledFrom([]string{"", "a", "property", "a_much_longer_name_"}).Draw(t, "name"), i)
		}
		twice := rapid.Bool().Draw(t, "twice") && n > 1
		if twice {
			i := rapid.IntRange(0, n-1).Draw(t, "first")
			j := rapid.IntRange(0, n-1).Filter(func(j int) bool { return j != i }).Draw(t, "second")
			names[j] = names[i]
		}
		var b strings.Builder
		b.WriteByte('{')
		for i, name := range names {
			if i > 0 {
				b.WriteByte(',')
			}
			token := `"` + name + `"`
			if rapid.IntRange(0, 20).Draw(t, "escape") == 0 {
				token = fmt.Sprintf(`"\u%04x%s"`, name[0], name[1:])
			}
			b.WriteString(token + `:0`)
		}
		b.WriteByte('}')
		for _, text := range []string{b.String(), `[` + b.String() + `]`, `{"x":` + b.String() + `}`} {
			if got := valid([]byte(text)); got == twice {
				t.Fatalf("accepted %v with a repeated name %v: %s", got, twice, text)
			}
		}
	})
}

// TestNamesThatCollide: names made to share the cheap hash are only compared,
// not confused.
func TestNamesThatCollide(t *testing.T) {
	byHash := map[uint64][]string{}
	for i := range 4000 {
		name := fmt.Sprintf("n%d", i)
		h := hashName([]byte(name)) & 0xff
		byHash[h] = append(byHash[h], name)
	}
	for _, names := range byHash {
		if len(names) > maxLinear {
			names = names[:maxLinear]
		}
		text := `{"` + strings.Join(names, `":0,"`) + `":0}`
		checkValid(t, text)
		checkValid(t, strings.TrimSuffix(text, "}")+`,"`+names[0]+`":0}`)
	}
}

func TestDepth(t *testing.T) {
	for depth, want := range map[int]bool{1: true, MaxDepth: true, MaxDepth + 1: false, 1 << 20: false} {
		for _, pair := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
			text := strings.Repeat(pair[0], depth) + "1" + strings.Repeat(pair[1], depth)
			if got := valid([]byte(text)); got != want {
				t.Errorf("%d times %s: %v", depth, pair[0], got)
			}
		}
	}
}

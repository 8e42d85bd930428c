package rules

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/workers/element"
)

// texts are short and long, alike at both ends, and with what has to be escaped.
func texts() *rapid.Generator[string] {
	part := rapid.SampledFrom([]string{"", "a", "b", "ab", "1234567", "12345678", "seventeen bytes ..", `"`, `\`, "\n", "\x00", "é", "😀"})
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(part, 0, 5).Draw(t, "parts"), "")
	})
}

// spell writes a text as a JSON string, some of it escaped that need not be.
func spell(t *rapid.T, text string) string {
	plain, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	s := string(plain)
	if rapid.Bool().Draw(t, "escaped") {
		s = strings.ReplaceAll(s, "a", `\u0061`)
	}
	return s
}

// behind is what may follow a string: nothing, little and much.
func behind() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"", "}", "]}]}", `,"\\":"a","b":"12345678"}]}`, ` ,"a"]`, "\"\\" + strings.Repeat(" ", 40)})
}

// TestTitlesAreFoundByTheirTokens: reading a label in place finds what decoding
// it and looking among all titles finds.
func TestTitlesAreFoundByTheirTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]int{}
		all := rapid.SliceOfNDistinct(texts(), 0, 12, rapid.ID[string]).Draw(t, "titles")
		for k, title := range all {
			want[title] = k
		}
		x := newTitles(all)
		text := texts().Draw(t, "text")
		if len(all) > 0 && rapid.Bool().Draw(t, "known") {
			text = rapid.SampledFrom(all).Draw(t, "one")
		}
		number, is := want[text]
		if !is {
			number = -1
		}
		if got := x.find([]byte(text)); got != number {
			t.Fatalf("%q: found %d", text, got)
		}
		token := spell(t, text)
		k, n := x.begins([]byte(token + behind().Draw(t, "behind")))
		if n != 0 && (n != len(token) || k != number) {
			t.Fatalf("%s: found %d in %d bytes", token, k, n)
		}
		if n == 0 && len(text) <= shortTitle && !strings.Contains(token, `\`) {
			k, n := x.begins([]byte(token + strings.Repeat(" ", 20)))
			if n != len(token) || k != number {
				t.Fatalf("%s: found %d in %d bytes", token, k, n)
			}
		}
	})
}

// TestValuesAreFoundWithoutDecoding: a string that is surely found, or surely
// not, is what decoding it says.
func TestValuesAreFoundWithoutDecoding(t *testing.T) {
	sure, found := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var v values
		var tokens []token
		for _, text := range rapid.SliceOfNDistinct(texts(), 1, fewValues, rapid.ID[string]).Draw(t, "wanted") {
			v.add(text)
			tokens = append(tokens, newToken(text))
		}
		text := texts().Draw(t, "text")
		if rapid.Bool().Draw(t, "known") {
			text = rapid.SampledFrom(v.few).Draw(t, "one")
		}
		value := spell(t, text)
		want := v.find(element.AppendText(nil, []byte(value)))
		got, is := quick(tokens, []byte(value+behind().Draw(t, "behind")), v.max)
		if is && got != want {
			t.Fatalf("%s among %q: %d, not %d", value, v.few, got, want)
		}
		if is {
			sure++
		}
		if is && got >= 0 {
			found++
		}
	})
	if sure == 0 || found == 0 {
		t.Errorf("%d values were surely told, %d found: nothing was tried", sure, found)
	}
}

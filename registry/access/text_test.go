package access

import (
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

func TestFoldEmail(t *testing.T) {
	same := [][]string{
		{"alice@example.org", "ALICE@example.org", " Alice@Example.ORG\t"},
		{"straße@example.org", "STRAẞE@example.org"},
		{"σίσυφος@example.org", "ΣΊΣΥΦΟΣ@EXAMPLE.ORG"},
		{"kelvin@example.org", "KELVIN@example.org"},
		{"", " "},
	}
	for i, of := range same {
		for _, text := range of {
			if FoldEmail(text) != FoldEmail(of[0]) {
				t.Errorf("%q is %q, but %q is %q", text, FoldEmail(text), of[0], FoldEmail(of[0]))
			}
			if j := (i + 1) % len(same); FoldEmail(text) == FoldEmail(same[j][0]) {
				t.Errorf("%q is the same as %q", text, same[j][0])
			}
		}
	}
	// An attacker's address that would become another's in some upper or lower case.
	for _, pair := range [][2]string{{"mıke@example.org", "mike@example.org"}, {"İ@example.org", "i@example.org"}, {"\u212Aelvin@example.org", "kelvin@example.org"}, {"\u017Fam@example.org", "sam@example.org"}, {"ﬀ@x", "ff@x"}, {"a\xff@x", "a\xfe@x"}, {"a\xff@x", "a\ufffd@x"}} {
		if FoldEmail(pair[0]) == FoldEmail(pair[1]) {
			t.Errorf("%q and %q are the same", pair[0], pair[1])
		}
	}
	if got := FoldEmail("Alice@EXAMPLE.org"); got != "alice@example.org" {
		t.Errorf("folded to %q", got)
	}
}

// sameLetters is strings.EqualFold, except that nothing else becomes ASCII.
func sameLetters(a, b string) bool {
	x, y := []rune(a), []rune(b)
	if len(x) != len(y) || !strings.EqualFold(a, b) {
		return false
	}
	for i := range x {
		if (x[i] <= unicode.MaxASCII) != (y[i] <= unicode.MaxASCII) {
			return false
		}
	}
	return true
}

// Folding is what strings.EqualFold compares by, and is done once for all.
func TestFoldEmailIsEqualFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.String().Draw(t, "text")
		b := rapid.OneOf(rapid.Just(strings.ToUpper(a)), rapid.Just(strings.Map(unicode.SimpleFold, a)), rapid.String()).Draw(t, "other")
		if folded := FoldEmail(a); FoldEmail(folded) != folded {
			t.Fatalf("%q is %q, which is %q", a, folded, FoldEmail(folded))
		}
		if want := sameLetters(strings.TrimSpace(a), strings.TrimSpace(b)); (FoldEmail(a) == FoldEmail(b)) != want {
			t.Fatalf("%q and %q are %q and %q", a, b, FoldEmail(a), FoldEmail(b))
		}
	})
}

func TestChecks(t *testing.T) {
	for _, c := range []struct {
		check func(string) error
		text  string
		wrong string // part of the message, empty when there is nothing wrong
	}{
		{CheckGroupName, "Data platform / Zürich 北京", ""},
		{CheckGroupName, strings.Repeat("ä", 127) + "a", ""},
		{CheckGroupName, strings.Repeat("ä", 128), "255 bytes, not 256"},
		{CheckGroupName, "", "empty"},
		{CheckGroupName, " Admin", "white space"},
		{CheckGroupName, "Admin\u200b", "U+200B at byte 6"},
		{CheckGroupName, "Ad\u202emin", "U+202E at byte 3"},
		{CheckGroupName, "a\x00b", "U+0000 at byte 2"},
		{CheckGroupName, "a\u00a0b", "U+00A0"},
		{CheckGroupName, "a\nb", "U+000A"},
		{CheckGroupName, "a\xffb", "UTF-8"},
		{CheckTokenName, "nightly build", ""},
		{CheckTokenName, "", "empty"},
		{CheckTokenName, strings.Repeat("a", 256), "255 bytes"},
		{CheckDescription, "", ""},
		{CheckDescription, "first line\n\tsecond line ", ""},
		{CheckDescription, "a\rb", "U+000D"},
		{CheckDescription, strings.Repeat("a", 4097), "4096 bytes"},
		{CheckEmail, "alice@example.org", ""},
		{CheckEmail, "\"a@b\"@example.org", ""},
		{CheckEmail, "älice@exämple.org", ""},
		{CheckEmail, "", "empty"},
		{CheckEmail, "alice", "a name, an @ and a domain"},
		{CheckEmail, "@example.org", "a name, an @ and a domain"},
		{CheckEmail, "alice@", "a name, an @ and a domain"},
		{CheckEmail, "alice @example.org", "white space"},
		{CheckEmail, "alice\x7f@example.org", "U+007F"},
		{CheckEmail, strings.Repeat("a", 243) + "@example.org", "254 bytes, not 255"},
	} {
		err := c.check(c.text)
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%q is said to be wrong by %v, not by %q", c.text, err, c.wrong)
		}
	}
}

func TestSources(t *testing.T) {
	for _, s := range Sources() {
		if !s.Known() || s.String() != string(s) {
			t.Errorf("%s is unknown", s)
		}
	}
	for _, s := range []Source{"", "Admin", "cli_break_glass", "google_sync"} {
		if s.Known() {
			t.Errorf("%q is known", s)
		}
	}
}

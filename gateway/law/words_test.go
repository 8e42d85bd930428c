package law_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// word is something that must not stand in the tree. The patterns are written
// so that this file does not match itself.
type word struct {
	pattern *regexp.Regexp
	// near are literals in small letters of which every hit holds one: looking for
	// them is much cheaper than the pattern.
	near []string
	why  string
}

// in returns what of a line is the word.
func (w *word) in(line, small []byte) []byte {
	for _, s := range w.near {
		if bytes.Contains(small, []byte(s)) {
			return w.pattern.Find(line)
		}
	}
	return nil
}

var words = []word{
	{regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`), []string{"to" + "do", "fix" + "me", "xx" + "x", "ha" + "ck"}, "unfinished work is finished or filed, not noted in the source"},
	{regexp.MustCompile(`(?i)not (yet )?implem` + `ented\b`), []string{"implem" + "ented"}, "nothing here is a stub"},
	{regexp.MustCompile(`(?i)lorem ip` + `sum`), []string{"lorem"}, "text is real"},
	{regexp.MustCompile(`(^|[^\w.$}/-])/(wo` + `rk|ro` + `ot|ho` + `me|Us` + `ers)/[\w.]`), []string{"/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/us" + "ers/"}, "a path of one machine tells readers nothing"},
	{regexp.MustCompile(`(?i)\b(language mod` + `el|chat` + `bot|as an a` + `i\b|generated (by|with) a` + `i\b)`), []string{"language mod" + "el", "chat" + "bot", " a" + "i"}, "the tree speaks of Muster alone"},
	{regexp.MustCompile(`(?i)\bprior sys` + `tem\b`), []string{"prior sys" + "tem"}, "Muster is described by what it does"},
	{regexp.MustCompile(`\bfmt\.Prin` + `tln\("here|^\s*print` + `ln\(`), []string{"print" + "ln("}, "left over from debugging"},
}

// foreign are files whose words are not ours.
func foreign(name string) bool {
	base := filepath.Base(name)
	switch base {
	case "LICENSE", "go.sum", "go.work.sum", "package-lock.json":
		return true
	}
	return generated(name) || strings.Contains(name, "/testdata/fuzz/")
}

func TestWords(t *testing.T) {
	top := root(t)
	for _, name := range tracked(t) {
		if foreign(name) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(text, 0) >= 0 {
			continue // not a text
		}
		line := 0
		for l := range bytes.Lines(text) {
			line++
			small := bytes.ToLower(l)
			for i := range words {
				w := &words[i]
				if hit := w.in(l, small); hit != nil {
					t.Errorf("%s:%d: %q: %s", name, line, strings.TrimSpace(string(hit)), w.why)
				}
			}
		}
	}
}

func TestWordsAreFound(t *testing.T) {
	for _, bad := range []string{
		"// TO" + "DO: later", "see /wo" + "rk/main", "panic(\"not implem" + "ented\")", "cd /ho" + "me/x",
	} {
		found := false
		for i := range words {
			found = found || words[i].in([]byte(bad), bytes.ToLower([]byte(bad))) != nil
		}
		if !found {
			t.Errorf("%q is not found", bad)
		}
	}
	for _, good := range []string{"https://example.test/home/x", "a network", "$ROOT/work/x", "User-Agent", "todo list"} {
		for _, w := range words {
			if w.pattern.MatchString(good) {
				t.Errorf("%q is taken for %s", good, w.why)
			}
		}
	}
}

// What is large, or built, does not belong in the tree.
func TestTrackedFilesAreSmall(t *testing.T) {
	const limit = 1 << 20
	top := root(t)
	for _, name := range tracked(t) {
		info, err := os.Stat(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > limit {
			t.Errorf("%s has %d bytes; build it, or make it in the test that needs it", name, info.Size())
		}
	}
}

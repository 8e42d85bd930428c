package access

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of texts, in bytes of UTF-8.
const (
	MaxName        = 255
	MaxEmail       = 254
	MaxDescription = 4096
)

// Sources are all there are, by what they are called.
func Sources() []Source {
	return []Source{SourceAdmin, SourceBreakGlass, SourceSync, SourceSeed}
}

// Known reports whether a source is one of Sources.
func (s Source) Known() bool { return slices.Contains(Sources(), s) }

// String is the source as it is stored and shown.
func (s Source) String() string { return string(s) }

// FoldEmail is what e-mail addresses and usernames are compared by: without white
// space around it, and with each character in one case, whatever the language.
// Characters that only look alike stay apart, and so do the two beyond ASCII that
// Unicode folds into it, the Kelvin sign and the long s: an address with one of them
// is another mailbox. Folding twice changes nothing.
func FoldEmail(email string) string {
	email = strings.TrimSpace(email)
	if !utf8.ValidString(email) {
		return email // else texts that differ would become the same one
	}
	return strings.Map(fold, email)
}

// fold is one character for all that differ in case alone, by Unicode's simple
// case folding, ASCII and the rest apart: the lower case of the least of them.
func fold(r rune) rune {
	least := r
	for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
		least = min(least, o)
	}
	if least <= unicode.MaxASCII && r > unicode.MaxASCII {
		return r
	}
	lower := unicode.ToLower(least)
	for o := unicode.SimpleFold(least); o != least; o = unicode.SimpleFold(o) {
		if o == lower {
			return lower
		}
	}
	return least
}

// CheckGroupName tells what is wrong with the name of a group, to be read after
// it, or nil.
func CheckGroupName(name string) error { return checkName(name) }

// CheckTokenName tells what is wrong with the name of a token, to be read after
// it, or nil.
func CheckTokenName(name string) error { return checkName(name) }

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("must not be empty")
	case strings.TrimSpace(name) != name:
		return errors.New("must not begin or end with white space")
	}
	return checkText(name, MaxName, "")
}

// CheckDescription tells what is wrong with the description of a group, to be read
// after it, or nil. It may be empty and have several lines.
func CheckDescription(text string) error { return checkText(text, MaxDescription, "\n\t") }

// CheckEmail tells what is wrong with an e-mail address, to be read after it, or
// nil. Whether mail arrives there is not known.
func CheckEmail(email string) error {
	at := strings.LastIndexByte(email, '@')
	switch {
	case email == "":
		return errors.New("must not be empty")
	case at <= 0 || at == len(email)-1:
		return errors.New("must be a name, an @ and a domain")
	case strings.ContainsFunc(email, unicode.IsSpace):
		return errors.New("must not contain white space")
	}
	return checkText(email, MaxEmail, "")
}

// checkText refuses what is too long, and what people cannot see or would take
// for a space.
func checkText(text string, limit int, also string) error {
	if len(text) > limit {
		return fmt.Errorf("must have at most %d bytes, not %d", limit, len(text))
	}
	if !utf8.ValidString(text) {
		return errors.New("must be UTF-8")
	}
	for at, r := range text {
		if !unicode.IsPrint(r) && !strings.ContainsRune(also, r) {
			return fmt.Errorf("must have no control or invisible characters, but has %U at byte %d", r, at+1)
		}
	}
	return nil
}

package rule

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Subjects are what rules may name a principal by. This file is the only place
// where it is decided whom a rule names.
type Subjects struct {
	// User is the username as FoldUser writes it; empty when there is none.
	User string
	// Groups are the principal's groups as GroupKey writes them, each once.
	Groups []string
	// Client is the client whose own service account the principal is; empty for
	// everybody else.
	Client string
}

// serviceAccount precedes the client's id in the name of its service account.
const serviceAccount = "service-account-"

// SubjectsOf says by what rules may name the principal with this username,
// authorised party (the token's azp) and these groups. A client is named only
// when the username is exactly that of its service account: azp alone says
// through which client a person came.
func SubjectsOf(username, azp string, groups []string) Subjects {
	sub := Subjects{User: FoldUser(username)}
	if azp != "" && username == serviceAccount+azp {
		sub.Client = azp
	}
	seen := make(map[string]bool, len(groups))
	for _, g := range groups {
		if key := GroupKey(g); key != "" && !seen[key] {
			seen[key] = true
			sub.Groups = append(sub.Groups, key)
		}
	}
	return sub
}

// FoldUser writes a username so that two are the same under Unicode's simple
// case folding exactly when what it returns is the same: FoldUser(a) ==
// FoldUser(b) is strings.EqualFold(a, b). What is folded already comes back as
// it is, without an allocation.
func FoldUser(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return s[:i] + strings.Map(foldRune, s[i:])
		}
	}
	return s
}

// foldRune is one rune for all that are equal under simple folding: the smallest
// of them, but the lower case one of ASCII's.
func foldRune(r rune) rune {
	least := r
	for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
		least = min(least, other)
	}
	if 'A' <= least && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}

// GroupKey writes a group's path so that rules and tokens may write it with or
// without a leading slash; only one is ignored.
func GroupKey(s string) string { return strings.TrimPrefix(s, "/") }

// ClientOf is the client that a rule names: by its id, or by the name of its
// service account. It is empty when there is none.
func ClientOf(s string) string { return strings.TrimPrefix(s, serviceAccount) }

package admin

import (
	"encoding/base64"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/registry/access"
)

// list names a list, so that a cursor of one is not taken for one of another.
type list string

// The lists.
const (
	listGroups      list = "g"
	listMembers     list = "m"
	listGrants      list = "r"
	listUsers       list = "u"
	listMemberships list = "s"
	listEffective   list = "e"
	listWhoCan      list = "w"
	listTokens      list = "t"
	listSuggestions list = "n"
	listTables      list = "b"
)

const (
	// cursorVersion begins every cursor, so that the form can change.
	cursorVersion = "1"
	maxCursor     = 4 << 10
	// between parts the two halves of a key; no id, name, type or source holds it.
	between = "\x00"
)

// cursor is a place in a list: behind the entry of this key, whether it is still
// there or not, so that pages stay right while entries come and go. Callers are
// to take it as opaque.
func (l list) cursor(key string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorVersion + string(l) + key))
}

// key decodes what cursor made; ok is false for anything else.
func (l list) key(cursor string) (key string, ok bool) {
	if len(cursor) > maxCursor {
		return "", false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || !utf8.Valid(raw) {
		return "", false
	}
	key, ok = strings.CutPrefix(string(raw), cursorVersion+string(l))
	return key, ok && key != ""
}

// after reads the parameter cursor; empty when it is not given.
func (l list) after(q *rest.Parameters) string {
	given := q.Get("cursor")
	if given == "" {
		return ""
	}
	key, ok := l.key(given)
	if !ok {
		badCursor(q)
	}
	return key
}

// afterID is after for a list that is ordered by id.
func (l list) afterID(q *rest.Parameters) access.ID {
	key := l.after(q)
	if key == "" {
		return access.ID{}
	}
	id, ok := parseID(key)
	if !ok {
		badCursor(q)
	}
	return id
}

// afterPair is after for a list whose keys are an id and something else.
func (l list) afterPair(q *rest.Parameters) (access.ID, string) {
	key := l.after(q)
	if key == "" {
		return access.ID{}, ""
	}
	first, second, ok := strings.Cut(key, between)
	id, good := parseID(first)
	if !ok || !good {
		badCursor(q)
	}
	return id, second
}

func badCursor(q *rest.Parameters) {
	q.Add("cursor is not a cursor of this list; start again without one")
}

// parseID reads an id as it is written everywhere: 36 characters, any case.
func parseID(s string) (access.ID, bool) {
	if len(s) != len(access.ID{}.String()) {
		return access.ID{}, false // the parser takes other spellings, which would be other paths to the same thing
	}
	id, err := uuid.Parse(s)
	return id, err == nil
}

// page takes the first limit entries that render keeps out of an ordered
// sequence, and makes the cursor of the page after, empty on the last one. It
// stops reading at the first entry behind the page.
func page[T, R any](l list, seq iter.Seq[T], limit int, key func(T) string, render func(T) (R, bool)) (items []R, next string) {
	items = []R{}
	last := ""
	for entry := range seq {
		record, ok := render(entry)
		switch {
		case !ok:
			continue
		case len(items) == limit:
			return items, l.cursor(last)
		}
		items, last = append(items, record), key(entry)
	}
	return items, ""
}

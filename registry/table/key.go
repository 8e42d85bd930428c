package table

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// errKey says all that a primary key may be written as.
var errKey = errors.New(`is a list that cannot be read: write ["order_id", "line"], or order_id, line`)

// ParseKey reads a primary key as a text: a JSON array, a list as Python writes it,
// names with commas between them, or one name. Blanks around names mean nothing, and
// neither do an empty text and null, which are no key. What it returns is not checked
// otherwise. Its error is to be read after the text.
func ParseKey(text string) ([]string, error) {
	text = strings.TrimSpace(text)
	switch {
	case len(text) > MaxColumns*(MaxColumn+4):
		return nil, errors.New("is too long for a primary key")
	case text == "" || text == "null" || text == "None":
		return nil, nil
	case text[0] == '[':
		return parseList(text)
	default:
		return trimmed(strings.Split(text, ",")), nil
	}
}

func parseList(text string) ([]string, error) {
	var list []*string
	if json.Unmarshal([]byte(text), &list) != nil {
		return parseRepr(text)
	}
	if slices.Contains(list, nil) {
		return nil, errKey
	}
	columns := make([]string, len(list))
	for i, c := range list {
		columns[i] = *c
	}
	return trimmed(columns), nil
}

// parseRepr reads a list as Python writes it: each text within ' or ", with a
// backslash before what would end it.
func parseRepr(text string) ([]string, error) {
	rest, closed := strings.CutSuffix(text[1:], "]")
	if !closed {
		return nil, errKey
	}
	var columns []string
	for rest = strings.TrimSpace(rest); rest != ""; {
		column, behind, ok := quotedText(rest)
		if !ok {
			return nil, errKey
		}
		columns = append(columns, column)
		rest = strings.TrimSpace(behind)
		if rest == "" {
			break
		}
		if rest, ok = strings.CutPrefix(rest, ","); !ok {
			return nil, errKey
		}
		rest = strings.TrimSpace(rest)
	}
	return trimmed(columns), nil
}

// quotedText reads a text within quotes at the beginning of another one.
func quotedText(s string) (text, behind string, ok bool) {
	quote := s[0]
	if quote != '\'' && quote != '"' {
		return "", "", false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == quote:
			return b.String(), s[i+1:], true
		case s[i] == '\\':
			if i++; i == len(s) || !strings.ContainsRune(`\'"`, rune(s[i])) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// trimmed is a list without blanks around its texts; nil for an empty one.
func trimmed(columns []string) []string {
	if len(columns) == 0 {
		return nil
	}
	for i := range columns {
		columns[i] = strings.TrimSpace(columns[i])
	}
	return columns
}

package table

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of a table, in bytes of UTF-8 where they are of texts.
const (
	// MaxTables is the most tables that may be registered.
	MaxTables = 50_000
	MaxID     = 200
	// MaxName bounds names and sources: views and directories are called so.
	MaxName = 64
	// MaxUpstream bounds buckets and tables of sources.
	MaxUpstream = 128
	MaxFolder   = 255
	// MaxDescription bounds descriptions, which may have several lines.
	MaxDescription = 4096
	// MaxColumns is the most columns that a primary key may have, MaxColumn bounds
	// each.
	MaxColumns = 64
	MaxColumn  = 128
)

// CheckName tells what keeps a text from being the name of a table, to be read after
// it, or nil. Names become views and files, so only letters, digits and _ of ASCII
// are taken.
func CheckName(name string) error {
	if err := checkIdentifier(name); err != nil {
		return fmt.Errorf("%w%s", err, suggested(name))
	}
	return nil
}

func checkIdentifier(name string) error {
	switch {
	case name == "":
		return errors.New("must not be empty")
	case len(name) > MaxName:
		return fmt.Errorf("must have at most %d characters, not %d", MaxName, len(name))
	}
	for i, r := range name {
		if !letter(r) && r != '_' && (i == 0 || !digit(r)) {
			return errors.New("must be letters, digits and _ of ASCII, and not begin with a digit")
		}
	}
	return nil
}

// suggested is a name like one that is refused, with what may not be in it as _, to
// be read after why it is; nothing where there is none.
func suggested(name string) string {
	like := strings.Map(func(r rune) rune {
		if letter(r) || digit(r) {
			return r
		}
		return '_'
	}, name)
	if like != "" && digit(rune(like[0])) {
		like = "_" + like
	}
	if strings.Trim(like, "_") == "" || len(like) > MaxName {
		return ""
	}
	return ", such as " + like
}

// CheckID tells what keeps a text from being the id of a table, to be read after it,
// or nil. An id may have more in it than IDOf gives: tables that were discovered have
// ids of their sources.
func CheckID(id string) error {
	switch {
	case id == "":
		return errors.New("must not be empty")
	case len(id) > MaxID:
		return fmt.Errorf("must have at most %d characters, not %d", MaxID, len(id))
	case id == "." || id == "..":
		return errors.New("means something else in a path")
	}
	for _, r := range id {
		if !letter(r) && !digit(r) && !strings.ContainsRune("_.-", r) {
			return errors.New("must be letters, digits, dots, dashes and _ of ASCII")
		}
	}
	return nil
}

// CheckSource tells what keeps a text from being a source, to be read after it, or
// nil. One that does not come with Muster is a custom one, whose name begins with a
// small letter and goes on with small letters, digits and _.
func CheckSource(source string) error {
	if slices.Contains(Sources(), source) {
		return nil
	}
	if lower := strings.ToLower(strings.TrimSpace(source)); slices.Contains(Sources(), lower) {
		return fmt.Errorf("must be written %s", lower)
	}
	err := checkIdentifier(source)
	if err == nil && (source[0] == '_' || strings.ToLower(source) != source) {
		err = errors.New("must begin with a letter and have no capitals")
	}
	if err != nil {
		return fmt.Errorf("%w; it is one of %s, or the name of a custom source such as erp_export", err, strings.Join(Sources(), ", "))
	}
	return nil
}

// CheckUpstream tells what keeps a text from being a bucket or a table of a source,
// to be read after it, or nil. It may be empty.
func CheckUpstream(name string) error {
	if len(name) > MaxUpstream {
		return fmt.Errorf("must have at most %d characters, not %d", MaxUpstream, len(name))
	}
	for i, r := range name {
		if !letter(r) && !digit(r) && r != '_' && (i == 0 || r != '.' && r != '-') {
			return errors.New("must be letters, digits, _, dots and dashes of ASCII, and not begin with a dot or dash")
		}
	}
	return nil
}

// CheckStrategy tells what keeps a text from being a strategy, to be read after it,
// or nil.
func CheckStrategy(s Strategy) error { return oneOf(s, Strategies()) }

// CheckMode tells what keeps a text from being a mode, to be read after it, or nil.
func CheckMode(m Mode) error { return oneOf(m, Modes()) }

func oneOf[T ~string](one T, all []T) error {
	if slices.Contains(all, one) {
		return nil
	}
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = string(s)
	}
	return fmt.Errorf("must be one of %s", strings.Join(names, ", "))
}

// CheckFolder tells what keeps a text from being a folder, to be read after it, or
// nil. It may be empty.
func CheckFolder(folder string) error {
	if strings.TrimSpace(folder) != folder {
		return errors.New("must not begin or end with white space")
	}
	return checkText(folder, MaxFolder, "")
}

// CheckDescription tells what keeps a text from being a description, to be read
// after it, or nil. It may be empty and have several lines.
func CheckDescription(text string) error { return checkText(text, MaxDescription, "\n\t") }

// CheckKey tells what keeps columns from being a primary key, to be read after them,
// or nil. There may be none.
func CheckKey(columns []string) error {
	if len(columns) > MaxColumns {
		return fmt.Errorf("must have at most %d columns, not %d", MaxColumns, len(columns))
	}
	for i, c := range columns {
		err := checkText(c, MaxColumn, "")
		switch {
		case strings.TrimSpace(c) == "":
			err = errors.New("must not be empty")
		case strings.TrimSpace(c) != c:
			err = errors.New("must not begin or end with white space")
		case slices.Contains(columns[:i], c):
			err = errors.New("stands there twice")
		}
		if err != nil {
			return fmt.Errorf("has the column %d, which %w", i+1, err)
		}
	}
	return nil
}

// checkText refuses what is too long, and what people cannot see or would take for a
// space.
func checkText(text string, limit int, also string) error {
	switch {
	case len(text) > limit:
		return fmt.Errorf("must have at most %d bytes, not %d", limit, len(text))
	case !utf8.ValidString(text):
		return errors.New("must be UTF-8")
	}
	for at, r := range text {
		if !unicode.IsPrint(r) && !strings.ContainsRune(also, r) {
			return fmt.Errorf("must have no control or invisible characters, but has %U at byte %d", r, at+1)
		}
	}
	return nil
}

func letter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
func digit(r rune) bool  { return r >= '0' && r <= '9' }

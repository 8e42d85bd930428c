package ruleloader

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxMappingBytes bounds a mapping file.
const MaxMappingBytes = 4 << 20

// The defaults and bounds of a mapping.
const (
	DefaultMemory = 64 << 20
	MinMemory     = 1 << 20
	MaxMemory     = 64 << 30
	MaxPrefix     = 64
)

// Mapping is a mapping file that was found good. It is immutable and safe for
// concurrent use.
type Mapping struct {
	file    string
	prefix  string
	sources []*sourceMapping
	lookups map[string]*lookupMapping
	memory  int64
	tempDir string
	minRows int64
}

// Prefix is what the names of all rules begin with.
func (m *Mapping) Prefix() string { return m.prefix }

// Sources is how many sources are read.
func (m *Mapping) Sources() int { return len(m.sources) }

// sourceMapping says where rows come from and what their columns mean.
type sourceMapping struct {
	name     string
	csv      *csvSource
	parquet  *parquetSource
	postgres *postgresSource

	user, group, client *field
	entity              *field
	properties          *field
	relationships       *field
	functions           *field
	conditionProperty   *field
	conditionValue      *field
	active              *field
	skipBad             bool
}

// field is where a value comes from: a column, or the mapping itself.
type field struct {
	key    string // its name in the mapping, for messages
	column string // empty for literals
	values []string
	all    bool
	// separator splits a column's text into several values; empty leaves it whole.
	separator string
	lookup    string
	// ids says that the values are numbers of the graph model and not titles.
	ids bool
}

// lookupMapping translates values of a column.
type lookupMapping struct {
	values   map[string]string
	file     string
	from, to string
}

// Mistake is one thing wrong with a mapping.
type Mistake struct {
	File string
	// Line and Column count from 1; both 0 for the file as a whole.
	Line, Column int
	Text         string
}

// Error returns "file:line:column: text".
func (m *Mistake) Error() string {
	if m.Line == 0 {
		return fmt.Sprintf("%s: %s", m.File, m.Text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, m.Text)
}

// LoadMapping reads a mapping file. Paths in it are relative to it.
func LoadMapping(file string) (*Mapping, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("ruleloader: read the mapping: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxMappingBytes+1))
	if err == nil && len(text) > MaxMappingBytes {
		err = fmt.Errorf("%s has more than %d bytes", file, MaxMappingBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("ruleloader: read the mapping: %w", err)
	}
	return ParseMapping(file, text)
}

// ParseMapping reads a mapping's text, YAML or JSON; file is for messages and for
// relative paths. Its error joins every *Mistake, in the file's order.
func ParseMapping(file string, text []byte) (*Mapping, error) {
	r := &reader{file: file}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		r.yamlMistake(err)
		return nil, r.result()
	}
	if doc.Kind == 0 {
		r.bad(nil, "the file is empty; a mapping needs prefix and sources")
		return nil, r.result()
	}
	m := &Mapping{file: file, lookups: map[string]*lookupMapping{}, memory: DefaultMemory}
	r.mapping(m, doc.Content[0])
	if err := r.result(); err != nil {
		return nil, err
	}
	return m, nil
}

// beside makes a path of the mapping absolute or relative to its file.
func (r *reader) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(r.file), path)
}

// reader turns YAML into a mapping and collects every mistake on the way.
type reader struct {
	file     string
	mistakes []*Mistake
}

func (r *reader) result() error {
	if len(r.mistakes) == 0 {
		return nil
	}
	slices.SortStableFunc(r.mistakes, func(a, b *Mistake) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	errs := make([]error, len(r.mistakes))
	for i, m := range r.mistakes {
		errs[i] = m
	}
	return errors.Join(errs...)
}

func (r *reader) bad(at *yaml.Node, format string, args ...any) {
	m := &Mistake{File: r.file, Text: fmt.Sprintf(format, args...)}
	if at != nil {
		m.Line, m.Column = at.Line, at.Column
	}
	r.mistakes = append(r.mistakes, m)
}

// yamlMistake takes the line out of the YAML reader's own message.
func (r *reader) yamlMistake(err error) {
	m := &Mistake{File: r.file, Text: strings.TrimPrefix(err.Error(), "yaml: "), Line: 1, Column: 1}
	if _, err := fmt.Sscanf(m.Text, "line %d:", &m.Line); err == nil {
		_, m.Text, _ = strings.Cut(m.Text, ": ")
	}
	m.Text = "not YAML: " + m.Text
	r.mistakes = append(r.mistakes, m)
}

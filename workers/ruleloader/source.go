package ruleloader

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// cell is the value of one column in one row: nothing, one text or a list. It is
// good until the next row is read.
type cell struct {
	set  bool
	one  string
	list []string // counts when it is not nil
}

func textCell(s string) cell { return cell{set: true, one: s} }

// text is the one text; empty when there is none, or a list.
func (c cell) text() string {
	if c.list != nil {
		return ""
	}
	return c.one
}

// source is a table. Implementations are used for one read at a time.
type source interface {
	// read gives every row to each, with its place (a CSV's line, else the row's
	// number, from 1) and the cells of the columns asked for, in that order, until
	// the last row, the first error or ctx's end. A source that ends before its
	// end is an error.
	read(ctx context.Context, columns []string, each func(at int64, cells []cell) error) error
	// place is what the numbers of rows count: "line" or "row".
	place() string
}

func (s *sourceMapping) table() source {
	switch {
	case s.csv != nil:
		return s.csv
	case s.parquet != nil:
		return s.parquet
	default:
		return s.postgres
	}
}

// columns are the columns that the fields name, each once.
func (s *sourceMapping) columns() []string {
	var all []string
	for _, f := range s.fields() {
		if f.column != "" && !slices.Contains(all, f.column) {
			all = append(all, f.column)
		}
	}
	return all
}

// places finds the asked columns among those that there are.
func places(there, asked []string) ([]int, error) {
	out := make([]int, len(asked))
	var missing, twice []string
	for i, name := range asked {
		out[i] = slices.Index(there, name)
		if out[i] < 0 {
			missing = append(missing, name)
		} else if slices.Contains(there[out[i]+1:], name) {
			twice = append(twice, name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("there is no column %s; there are: %s", strings.Join(missing, ", "), strings.Join(there, ", "))
	}
	if len(twice) > 0 {
		return nil, fmt.Errorf("the column %s is there twice", strings.Join(twice, ", "))
	}
	return out, nil
}

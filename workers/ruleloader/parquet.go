package ruleloader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	"go.yaml.in/yaml/v3"
)

// parquetSource is a Parquet file. Columns of texts, whole numbers, booleans and
// floating point numbers can be used, and lists of them.
type parquetSource struct{ file string }

func (r *reader) parquet(n *yaml.Node) *parquetSource {
	s := &parquetSource{}
	has, ok := r.members(n, "parquet", map[string]taker{"file": r.text("parquet.file", &s.file)})
	if ok && !has["file"] {
		r.bad(n, "parquet needs the key file")
	}
	s.file = r.beside(s.file)
	return s
}

func (s *parquetSource) place() string { return "row" }

// read streams the columns that are asked for, and no others. A file whose end is
// missing does not open; one that is damaged elsewhere fails on the way.
func (s *parquetSource) read(ctx context.Context, columns []string, each func(int64, []cell) error) error {
	f, err := os.Open(s.file)
	if err != nil {
		return fmt.Errorf("open the Parquet file: %w", err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at the Parquet file: %w", err)
	}
	file, err := openParquet(f, before.Size())
	if err != nil {
		return err
	}
	leaves, err := parquetLeaves(file.Schema(), columns)
	if err != nil {
		return err
	}
	at := int64(0)
	for _, group := range file.RowGroups() {
		if at, err = readRowGroup(ctx, group, leaves, at, each); err != nil {
			return err
		}
	}
	return unchanged(f, before)
}

func openParquet(f io.ReaderAt, size int64) (file *parquet.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = damaged(r)
		}
	}()
	file, err = parquet.OpenFile(f, size, parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return nil, fmt.Errorf("the file is no whole Parquet file; was it cut off? %w", err)
	}
	return file, nil
}

// damaged makes an error of a panic of the library's, which it answers some
// damaged files with.
func damaged(r any) error { return fmt.Errorf("the Parquet file is damaged: %v", r) }

// parquetLeaf is a column that can be read.
type parquetLeaf struct {
	index int
	list  bool
	text  func(parquet.Value) string
}

// parquetLeaves finds columns by the names of top-level fields; a list's values
// lie deeper.
func parquetLeaves(schema *parquet.Schema, columns []string) ([]parquetLeaf, error) {
	var there []string
	var paths [][]string
	for _, path := range schema.Columns() {
		there = append(there, path[0])
		paths = append(paths, path)
	}
	out := make([]parquetLeaf, len(columns))
	for i, name := range columns {
		j := slices.Index(there, name)
		if j < 0 {
			return nil, fmt.Errorf("there is no column %s; there are: %s", name, strings.Join(slices.Compact(there), ", "))
		}
		leaf, ok := schema.Lookup(paths[j]...)
		if !ok || slices.Contains(there[j+1:], name) || leaf.MaxRepetitionLevel > 1 {
			return nil, fmt.Errorf("the column %s is nested; only single values and lists of them can be used", name)
		}
		text := parquetText(leaf.Node.Type())
		if text == nil {
			return nil, fmt.Errorf("the column %s is of type %s, which has no one spelling as a text; write it as a text", name, leaf.Node.Type())
		}
		out[i] = parquetLeaf{index: leaf.ColumnIndex, list: leaf.MaxRepetitionLevel == 1, text: text}
	}
	return out, nil
}

func readRowGroup(ctx context.Context, group parquet.RowGroup, leaves []parquetLeaf, at int64, each func(int64, []cell) error) (end int64, err error) {
	cursors := make([]*parquetCursor, len(leaves))
	chunks := group.ColumnChunks()
	for i, l := range leaves {
		cursors[i] = &parquetCursor{leaf: l, pages: chunks[l.index].Pages()}
	}
	defer func() {
		for _, c := range cursors {
			err = errors.Join(err, c.close())
		}
	}()
	cells := make([]cell, len(leaves))
	const look = 1024
	for n := range group.NumRows() {
		if n%look == 0 && ctx.Err() != nil {
			return at, ctx.Err()
		}
		at++
		for i, c := range cursors {
			if cells[i], err = c.next(); err != nil {
				return at, fmt.Errorf("row %d: %w", at, err)
			}
		}
		if err := each(at, cells); err != nil {
			return at, err
		}
	}
	return at, nil
}

// parquetCursor reads one column of a row group, row by row.
type parquetCursor struct {
	leaf   parquetLeaf
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buf    [256]parquet.Value
	have   []parquet.Value
}

// next returns the value, or the list, of the next row.
func (c *parquetCursor) next() (out cell, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = damaged(r)
		}
	}()
	v, ok, err := c.peek()
	if err != nil {
		return cell{}, err
	}
	if !ok {
		return cell{}, errors.New("the column has fewer values than the file has rows")
	}
	if c.leaf.list {
		out.list = []string{}
	}
	for first := true; ok && (first || v.RepetitionLevel() > 0); first = false {
		switch {
		case v.IsNull():
		case c.leaf.list:
			out.set, out.list = true, append(out.list, c.leaf.text(v))
		default:
			out = textCell(c.leaf.text(v))
		}
		c.have = c.have[1:]
		if !c.leaf.list {
			return out, nil
		}
		if v, ok, err = c.peek(); err != nil {
			return cell{}, err
		}
	}
	return out, nil
}

// peek returns the next value and leaves it; ok is false after the last one.
func (c *parquetCursor) peek() (v parquet.Value, ok bool, err error) {
	for len(c.have) == 0 {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if errors.Is(err, io.EOF) {
				return v, false, nil
			}
			if err != nil {
				return v, false, fmt.Errorf("read a page: %w", err)
			}
			c.page, c.values = page, page.Values()
		}
		n, err := c.values.ReadValues(c.buf[:])
		c.have = c.buf[:n]
		if err != nil && !errors.Is(err, io.EOF) {
			return v, false, fmt.Errorf("read values: %w", err)
		}
		if n == 0 {
			parquet.Release(c.page)
			c.page, c.values = nil, nil
		}
	}
	return c.have[0], true, nil
}

func (c *parquetCursor) close() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = damaged(r)
		}
	}()
	if c.page != nil {
		parquet.Release(c.page)
	}
	if err := c.pages.Close(); err != nil {
		return fmt.Errorf("close a column: %w", err)
	}
	return nil
}

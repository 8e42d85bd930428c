package ruleloader

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// csvSource is a CSV file (RFC 4180) in UTF-8 whose first line names the columns.
// An empty field is no value.
type csvSource struct {
	file  string
	comma rune
	// looseEnd takes a last line without a line break, which may be half a line.
	looseEnd bool
}

func (r *reader) csv(n *yaml.Node) *csvSource {
	s := &csvSource{comma: ','}
	var comma string
	has, ok := r.members(n, "csv", map[string]taker{
		"file":      r.text("csv.file", &s.file),
		"delimiter": r.text("csv.delimiter", &comma),
		"looseEnd":  r.yes("csv.looseEnd", &s.looseEnd),
	})
	if ok && !has["file"] {
		r.bad(n, "csv needs the key file")
	}
	if comma != "" {
		c, size := utf8.DecodeRuneInString(comma)
		if size != len(comma) || c == utf8.RuneError || c == '"' || c == '\r' || c == '\n' {
			r.bad(n, "csv.delimiter must be one character, and neither a quote nor a line break")
		}
		s.comma = c
	}
	s.file = r.beside(s.file)
	return s
}

func (s *csvSource) place() string { return "line" }

// read streams the file. A line with another number of fields, a quote that is not
// closed, bytes that are no UTF-8, a missing last line break, and a file that
// changes while it is read are errors: what cannot be trusted as a whole is not
// read in part.
func (s *csvSource) read(ctx context.Context, columns []string, each func(int64, []cell) error) error {
	f, err := os.Open(s.file)
	if err != nil {
		return fmt.Errorf("open the CSV file: %w", err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at the CSV file: %w", err)
	}
	end := &lastByte{r: f}
	if err := s.rows(ctx, end, columns, each); err != nil {
		return err
	}
	if err := unchanged(f, before); err != nil {
		return err
	}
	if end.last != '\n' && !s.looseEnd {
		return errors.New("the file does not end with a line break, so its last line may have been cut off; end it with one, or set looseEnd: true")
	}
	return nil
}

func (s *csvSource) rows(ctx context.Context, in io.Reader, columns []string, each func(int64, []cell) error) error {
	const buffer = 256 << 10
	buffered := bufio.NewReaderSize(in, buffer)
	if err := skipBOM(buffered); err != nil {
		return err
	}
	c := csv.NewReader(buffered)
	c.Comma, c.ReuseRecord = s.comma, true
	head, err := c.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty; its first line must name the columns")
	}
	if err != nil {
		return csvError(err)
	}
	at, err := places(append([]string(nil), head...), columns)
	if err != nil {
		return err
	}
	cells := make([]cell, len(columns))
	const look = 1024
	for n := 0; ; n++ {
		if n%look == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		record, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return csvError(err)
		}
		line, _ := c.FieldPos(0)
		for i, j := range at {
			if !utf8.ValidString(record[j]) {
				return fmt.Errorf("line %d, column %s: the text is not UTF-8", line, columns[i])
			}
			cells[i] = cell{set: record[j] != "", one: record[j]}
		}
		if err := each(int64(line), cells); err != nil {
			return err
		}
	}
}

// unchanged looks at an open file again. A new file renamed into its place is no
// change: what was opened is still read to its end.
func unchanged(f *os.File, before os.FileInfo) error {
	after, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look at the file again: %w", err)
	}
	if before.Size() != after.Size() || !before.ModTime().Equal(after.ModTime()) {
		return errors.New("the file was changed while it was read; write a new file elsewhere and rename it into place")
	}
	return nil
}

// csvError names the line; the reader's own words quote nothing of the file.
func csvError(err error) error {
	var p *csv.ParseError
	if !errors.As(err, &p) {
		return fmt.Errorf("read the CSV file: %w", err)
	}
	switch {
	case errors.Is(p.Err, csv.ErrFieldCount):
		return fmt.Errorf("line %d has another number of fields than the first line; is the delimiter right, or is the line cut off?", p.Line)
	case p.StartLine != p.Line:
		return fmt.Errorf("line %d, in the row that begins there: %w", p.StartLine, p.Err)
	default:
		return fmt.Errorf("line %d: %w", p.Line, p.Err)
	}
}

func skipBOM(in *bufio.Reader) error {
	mark, err := in.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the CSV file: %w", err)
	}
	if string(mark) == "\ufeff" {
		_, err := in.Discard(len(mark))
		return err
	}
	return nil
}

// lastByte remembers the last byte that was read.
type lastByte struct {
	r    io.Reader
	last byte
}

// Read implements io.Reader.
func (l *lastByte) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if n > 0 {
		l.last = p[n-1]
	}
	return n, err
}

package ruleloader

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// sorter sorts any number of records by their keys in bounded memory: whenever its
// memory is full, what is there is sorted and written to a file (a run), and at
// the end the runs are merged. It must not be used by two goroutines at once; close
// releases its files, which have no name by then.
type sorter struct {
	dir    string // empty until the first run
	parent string
	budget int64

	records []record
	blocks  [][]byte // full ones and the current one, the last
	used    int      // blocks in use
	held    int64    // bytes of all blocks
	runs    []*run
}

// record is a key and a payload, one after the other, in a block.
type record struct {
	text []byte
	key  int
}

func (r record) keyBytes() []byte     { return r.text[:r.key] }
func (r record) payloadBytes() []byte { return r.text[r.key:] }

const (
	// blockBytes is the unit in which memory is taken.
	blockBytes = 256 << 10
	// recordBytes is what a record takes beside its text.
	recordBytes = 32
	// runBuffer is the memory per run while merging, writeBuffer while writing one.
	runBuffer   = 64 << 10
	writeBuffer = 256 << 10
	// mostRuns are merged at once; more are merged in steps.
	mostRuns = 32
	// maxRecord bounds a record: one row.
	maxRecord = 64 << 20
)

func newSorter(parent string, budget int64) *sorter { return &sorter{parent: parent, budget: budget} }

// add copies a record.
func (s *sorter) add(key, payload []byte) error {
	size := len(key) + len(payload)
	if size > maxRecord {
		return fmt.Errorf("ruleloader: a row has more than %d bytes", maxRecord)
	}
	if len(s.records) > 0 && s.memory(size) > s.budget {
		if err := s.spill(); err != nil {
			return err
		}
	}
	b := s.room(size)
	b = append(append(b, key...), payload...)
	text := b[len(b)-size:]
	s.blocks[s.used-1] = b
	s.records = append(s.records, record{text: text[:size:size], key: len(key)})
	return nil
}

// memory is what is taken once a record of this size is added. A list that grows
// is there twice for a moment, and doubles.
func (s *sorter) memory(size int) int64 {
	blocks := s.held
	if s.used == 0 || len(s.blocks[s.used-1])+size > cap(s.blocks[s.used-1]) {
		if s.used == len(s.blocks) {
			blocks += max(blockBytes, int64(size))
		}
	}
	list := int64(cap(s.records))
	if len(s.records) == cap(s.records) {
		list += list * 5 / 4
	}
	return blocks + list*recordBytes
}

// room returns a block that takes size more bytes.
func (s *sorter) room(size int) []byte {
	if s.used > 0 {
		if b := s.blocks[s.used-1]; len(b)+size <= cap(b) {
			return b
		}
	}
	for ; s.used < len(s.blocks); s.used++ {
		if b := s.blocks[s.used]; size <= cap(b) {
			s.used++
			return b[:0]
		}
	}
	s.blocks = append(s.blocks, make([]byte, 0, max(blockBytes, size)))
	s.held += int64(max(blockBytes, size))
	s.used = len(s.blocks)
	return s.blocks[s.used-1]
}

func (s *sorter) sort() {
	slices.SortFunc(s.records, func(a, b record) int {
		if c := bytes.Compare(a.keyBytes(), b.keyBytes()); c != 0 {
			return c
		}
		return bytes.Compare(a.payloadBytes(), b.payloadBytes())
	})
	s.records = slices.CompactFunc(s.records, func(a, b record) bool { return a.key == b.key && bytes.Equal(a.text, b.text) })
}

// spill writes what is there as a run and forgets it.
func (s *sorter) spill() error {
	s.sort()
	err := s.write(func(put func(key, payload []byte) error) error {
		for _, r := range s.records {
			if err := put(r.keyBytes(), r.payloadBytes()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// A block made for one large record is not kept.
	s.blocks = slices.DeleteFunc(s.blocks, func(b []byte) bool { return cap(b) > blockBytes })
	s.held = int64(len(s.blocks)) * blockBytes
	for i := range s.blocks {
		s.blocks[i] = s.blocks[i][:0]
	}
	clear(s.records)
	s.records, s.used = s.records[:0], 0
	if len(s.runs) < mostRuns {
		return nil
	}
	return s.compact()
}

// compact merges all runs into one.
func (s *sorter) compact() error {
	old := s.runs
	s.runs = nil
	err := s.write(func(put func(key, payload []byte) error) error { return merge(old, put) })
	return errors.Join(err, closeRuns(old))
}

// write makes a run of what from puts.
func (s *sorter) write(from func(put func(key, payload []byte) error) error) error {
	f, err := s.create()
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, writeBuffer)
	var head []byte
	err = from(func(key, payload []byte) error {
		head = binary.AppendUvarint(head[:0], uint64(len(key)))
		head = binary.AppendUvarint(head, uint64(len(payload)))
		for _, part := range [][]byte{head, key, payload} {
			if _, err := w.Write(part); err != nil {
				return fmt.Errorf("ruleloader: write to the temporary directory: %w", err)
			}
		}
		return nil
	})
	if err == nil {
		if err = w.Flush(); err != nil {
			err = fmt.Errorf("ruleloader: write to the temporary directory: %w", err)
		}
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.runs = append(s.runs, &run{f: f})
	return nil
}

// create opens a file of the sorter's own directory and takes its name away at
// once, where the system lets it, so that a process that is killed leaves nothing.
func (s *sorter) create() (*os.File, error) {
	if s.dir == "" {
		dir, err := os.MkdirTemp(s.parent, "ruleloader-")
		if err != nil {
			return nil, fmt.Errorf("ruleloader: make a temporary directory (the mapping's tempDir says where): %w", err)
		}
		s.dir = dir
	}
	f, err := os.CreateTemp(s.dir, "run-")
	if err != nil {
		return nil, fmt.Errorf("ruleloader: make a temporary file: %w", err)
	}
	// Where an open file cannot be removed, close removes it with the directory.
	_ = os.Remove(f.Name())
	return f, nil
}

// sorted gives all records in order; what it gives is good until put returns.
func (s *sorter) sorted(put func(key, payload []byte) error) error {
	if len(s.runs) == 0 {
		s.sort()
		for _, r := range s.records {
			if err := put(r.keyBytes(), r.payloadBytes()); err != nil {
				return err
			}
		}
		return nil
	}
	if len(s.records) > 0 {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.records, s.blocks, s.used, s.held = nil, nil, 0, 0
	return merge(s.runs, put)
}

func (s *sorter) close() error {
	err := closeRuns(s.runs)
	s.runs, s.records, s.blocks = nil, nil, nil
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

func closeRuns(runs []*run) error {
	var errs []error
	for _, r := range runs {
		errs = append(errs, r.f.Close())
	}
	return errors.Join(errs...)
}

// run is a sorted file, and where its reading stands.
type run struct {
	f    *os.File
	in   *bufio.Reader
	head record
	buf  []byte
}

func (r *run) rewind() error {
	if _, err := r.f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("ruleloader: read a temporary file: %w", err)
	}
	r.in = bufio.NewReaderSize(r.f, runBuffer)
	return nil
}

// next reads the next record; ok is false after the last one.
func (r *run) next() (ok bool, err error) {
	key, err := binary.ReadUvarint(r.in)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	payload, err2 := binary.ReadUvarint(r.in)
	if err := errors.Join(err, err2); err != nil || key+payload > maxRecord {
		return false, errors.Join(errRecord, err)
	}
	size := int(key + payload)
	r.buf = slices.Grow(r.buf[:0], size)[:size]
	if _, err := io.ReadFull(r.in, r.buf); err != nil {
		return false, errors.Join(errRecord, err)
	}
	r.head = record{text: r.buf, key: int(key)}
	return true, nil
}

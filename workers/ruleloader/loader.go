package ruleloader

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/client"
	"github.com/muster-fleet/muster/workers/worker"
)

// Loader makes rules by a mapping file. It is safe for concurrent use.
type Loader struct {
	file   string
	logger *slog.Logger
}

// New reads the mapping file, so that its mistakes are known at start. The file is
// read again at the beginning of each run; a run whose mapping has mistakes fails.
func New(mappingFile string, logger *slog.Logger) (*Loader, error) {
	if _, err := LoadMapping(mappingFile); err != nil {
		return nil, err
	}
	return &Loader{file: mappingFile, logger: logger}, nil
}

// Transform is the worker's function: it reads all sources to their ends, and only
// then posts rules, under one generation that takes effect as a whole.
func (l *Loader) Transform(ctx context.Context, t *worker.Transformation) error {
	begun := time.Now()
	generation, err := t.Rules.NewGeneration()
	if err != nil {
		return err
	}
	report, err := l.run(ctx, &t.TransformRequest, func(a client.AccessRule) error { return generation.Add(ctx, a) })
	if err != nil {
		return err
	}
	counts, err := generation.Commit(ctx)
	if err != nil {
		return fmt.Errorf("commit the rules: %w", err)
	}
	report.Generation, report.Created, report.Deleted = generation.ID(), counts.Created, counts.Deleted
	l.logger.LogAttrs(ctx, slog.LevelInfo, "rules loaded", slog.String("generation", report.Generation),
		slog.Int64("rows", report.Rows), slog.Int64("rowsSkipped", report.RowsSkipped), slog.Int64("badRows", report.BadRows),
		slog.Int("rules", report.Rules), slog.Any("skipped", report.Skipped), slog.Duration("took", time.Since(begun)))
	return t.Report(report)
}

// Preview writes the rules that a run with this request would post, one JSON object
// a line, and posts nothing.
func (l *Loader) Preview(ctx context.Context, request *worker.TransformRequest, out io.Writer) (*Report, error) {
	return l.run(ctx, request, func(a client.AccessRule) error {
		text, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("ruleloader: encode a rule: %w", err)
		}
		if _, err := out.Write(append(text, '\n')); err != nil {
			return fmt.Errorf("ruleloader: write a rule: %w", err)
		}
		return nil
	})
}

// run reads, groups and gives every rule to emit, in the order of their keys.
func (l *Loader) run(ctx context.Context, request *worker.TransformRequest, emit func(client.AccessRule) error) (report *Report, err error) {
	m, err := LoadMapping(l.file)
	if err != nil {
		return nil, fault.New(fault.Internal, "bad_mapping", "the worker's mapping has mistakes: %s", err).Wrap(err)
	}
	s := newSorter(m.tempDir, m.memory)
	defer func() { err = errors.Join(err, s.close()) }()
	report = &Report{Skipped: map[string]int64{}}
	if err := l.read(ctx, m, request, s, report); err != nil {
		return nil, err
	}
	if err := l.emit(ctx, m, s, report, emit); err != nil {
		return nil, err
	}
	return report, nil
}

// read takes all sources into the sorter.
func (l *Loader) read(ctx context.Context, m *Mapping, request *worker.TransformRequest, s *sorter, report *Report) error {
	lookups := map[string]map[string]string{}
	for name, lookup := range m.lookups {
		values, err := lookup.load(ctx)
		if err != nil {
			return sourceFault(ctx, "the lookup "+name, err)
		}
		lookups[name] = values
	}
	known := newModel(request)
	failOnBad := false
	for _, source := range m.sources {
		pl := &plan{s: source, m: known, lookups: lookups, columns: source.columns(), report: report}
		before := report.BadRows
		if err := source.table().read(ctx, pl.columns, pl.into(s)); err != nil && !errors.Is(err, errTooBad) {
			return sourceFault(ctx, "the source "+source.name, err)
		}
		failOnBad = failOnBad || !source.skipBad && report.BadRows > before
	}
	if failOnBad {
		return fault.New(fault.Unprocessable, "bad_rows", "rows that cannot be made into rules; nothing was changed "+
			"(mend them, or set onBadRow: skip to leave them out): %s", report.badText())
	}
	if report.BadRows > 0 {
		l.logger.LogAttrs(ctx, slog.LevelWarn, "bad rows were skipped",
			slog.Int64("rows", report.BadRows), slog.String("first", report.badText()))
	}
	if report.Rows < m.minRows {
		return fault.New(fault.Unprocessable, "too_few_rows", "the sources have %d rows and the mapping's minRows is %d; nothing was changed",
			report.Rows, m.minRows)
	}
	return nil
}

// errTooBad ends the reading of a source that has shown enough bad rows.
var errTooBad = errors.New("too many bad rows")

// into adds every good row to the sorter.
func (pl *plan) into(s *sorter) func(int64, []cell) error {
	var key, payload []byte
	here := int64(0)
	return func(at int64, cells []cell) error {
		pl.report.Rows++
		p, err := pl.permission(cells)
		var bad *badRow
		switch {
		case errors.Is(err, errSkip):
			pl.report.RowsSkipped++
			return nil
		case errors.As(err, &bad):
			pl.report.bad(pl.s, at, err)
			if here++; here >= mostBad && !pl.s.skipBad {
				return errTooBad
			}
			return nil
		case err != nil:
			return err
		}
		key, payload = appendKey(key[:0], p), appendPayload(payload[:0], p)
		return s.add(key, payload)
	}
}

// emit makes one rule of all records with the same key.
func (l *Loader) emit(ctx context.Context, m *Mapping, s *sorter, report *Report, emit func(client.AccessRule) error) error {
	var g *grant
	flush := func() error {
		if g == nil {
			return nil
		}
		a, err := g.rule(m.prefix)
		if err != nil {
			return err
		}
		report.Rules++
		return emit(a)
	}
	err := s.sorted(func(key, payload []byte) error {
		if g == nil || !bytes.Equal(g.key, key) {
			if err := flush(); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			g = newGrant(key)
		}
		return g.add(payload)
	})
	if err != nil {
		return err
	}
	return flush()
}

// sourceFault says which source is to blame, and that nothing was changed.
func sourceFault(ctx context.Context, name string, err error) error {
	var f *fault.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &f):
		return fault.New(f.Kind, f.Code, "%s: %s", name, f.Detail).Wrap(err)
	default:
		return fault.New(fault.BadWorker, "source_failed", "%s: %s; nothing was changed", name, err).Wrap(err)
	}
}

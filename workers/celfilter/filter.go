package celfilter

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/muster-fleet/muster/workers/worker"
)

// settle is how long a file must have been left alone before it is read again, so
// that a policy is not read while it is being written.
const settle = 100 * time.Millisecond

// Filter judges by a policy file and follows its changes. Its JudgeBatch is a
// worker.BatchFunc. It is safe for concurrent use.
type Filter struct {
	file    string
	logger  *slog.Logger
	policy  atomic.Pointer[Policy]
	seen    [sha256.Size]byte // of the text read last, good or bad; used by Run alone
	reloads atomic.Int64
}

// New reads the policy file. A mistake in it is an error that lists all mistakes
// with file, line and column; a worker should then not start.
func New(file string, logger *slog.Logger) (*Filter, error) {
	text, err := readPolicy(file)
	if err != nil {
		return nil, err
	}
	p, err := ParsePolicy(file, text)
	if err != nil {
		return nil, err
	}
	f := &Filter{file: file, logger: logger, seen: sha256.Sum256(text)}
	f.policy.Store(p)
	return f, nil
}

// JudgeBatch decides on a batch by the policy of the moment: a change of the file
// shows between batches, never within one.
func (f *Filter) JudgeBatch(ctx context.Context, p *worker.Principal, b worker.Batch) ([]worker.Verdict, error) {
	policy := f.policy.Load()
	s, err := newSubject(p)
	if err != nil {
		return nil, err
	}
	out := make([]worker.Verdict, b.Len())
	for i, e := range b.All() {
		out[i] = policy.judge(ctx, s, e)
		if err := out[i].Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Reloads returns how often a changed policy was taken.
func (f *Filter) Reloads() int64 { return f.reloads.Load() }

// Run follows the file until ctx ends. A changed policy with a mistake is logged
// and the last good one keeps serving. The directory is watched, because editors
// and Kubernetes replace files instead of writing into them.
func (f *Filter) Run(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("celfilter: watch the policy: %w", err)
	}
	defer w.Close()
	if err := w.Add(filepath.Dir(f.file)); err != nil {
		return fmt.Errorf("celfilter: watch %s: %w", filepath.Dir(f.file), err)
	}
	timer := time.NewTimer(settle) // a change between New and here is not missed
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-w.Events:
			if !ok {
				return nil
			}
			timer.Reset(settle)
		case err, ok := <-w.Errors:
			if !ok {
				return nil
			}
			// Events may have been lost: look at the file.
			f.logger.LogAttrs(ctx, slog.LevelWarn, "watching the policy failed", slog.String("error", err.Error()))
			timer.Reset(settle)
		case <-timer.C:
			f.reload(ctx)
		}
	}
}

// reload takes the file's policy when its text has changed and is good.
func (f *Filter) reload(ctx context.Context) {
	text, err := readPolicy(f.file)
	if err != nil {
		f.logger.LogAttrs(ctx, slog.LevelError, "the policy cannot be read; the last good one keeps serving",
			slog.String("error", err.Error()))
		return
	}
	sum := sha256.Sum256(text)
	if sum == f.seen {
		return
	}
	f.seen = sum
	p, err := ParsePolicy(f.file, text)
	if err != nil {
		f.logger.LogAttrs(ctx, slog.LevelError, "the changed policy has mistakes; the last good one keeps serving",
			slog.String("error", err.Error()))
		return
	}
	f.policy.Store(p)
	f.reloads.Add(1)
	f.logger.LogAttrs(ctx, slog.LevelInfo, "policy reloaded", slog.String("file", f.file), slog.Int("rules", p.Len()))
}

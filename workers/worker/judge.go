package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/element"
)

// checkEvery is how many elements are judged between two looks at the deadline.
const checkEvery = 256

// judge runs the author's function over a batch. Its error is a *fault.Error;
// with an error no verdict counts.
func (w *Worker) judge(ctx context.Context, p *Principal, b *element.Batch) (verdicts []Verdict, err error) {
	defer func() {
		if r := recover(); r != nil {
			w.logPanic(ctx, r)
			verdicts, err = nil, fault.New(fault.Internal, "internal",
				"the worker's function failed; the worker's log has it")
		}
	}()
	if b.Len() == 0 {
		return nil, contextFault(ctx)
	}
	if w.cfg.JudgeBatch != nil {
		verdicts, err = w.judgeBatch(ctx, p, b)
	} else {
		verdicts, err = w.judgeEach(ctx, p, b)
	}
	if err != nil {
		return nil, w.failure(ctx, err)
	}
	if err := contextFault(ctx); err != nil {
		return nil, err
	}
	w.metrics.count(b.Kind(), verdicts)
	return verdicts, nil
}

func (w *Worker) judgeEach(ctx context.Context, p *Principal, b *element.Batch) ([]Verdict, error) {
	verdicts := make([]Verdict, b.Len())
	for i := range verdicts {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		verdicts[i] = w.cfg.Judge(ctx, p, Element{view: b.View(i)})
		if err := verdicts[i].err; err != nil {
			return nil, err
		}
	}
	return verdicts, nil
}

func (w *Worker) judgeBatch(ctx context.Context, p *Principal, b *element.Batch) ([]Verdict, error) {
	verdicts, err := w.cfg.JudgeBatch(ctx, p, Batch{b: b})
	if err != nil {
		return nil, err
	}
	if len(verdicts) != b.Len() {
		return nil, fault.New(fault.Internal, "internal", "the worker's function failed; the worker's log has it").
			Wrap(fmt.Errorf("JudgeBatch returned %d verdicts for %d elements", len(verdicts), b.Len()))
	}
	for i := range verdicts {
		if verdicts[i].err != nil {
			return nil, verdicts[i].err
		}
	}
	return verdicts, nil
}

// failure turns an author's error into what the caller sees, and logs the rest.
func (w *Worker) failure(ctx context.Context, err error) *fault.Error {
	if ctx.Err() != nil {
		return fault.From(ctx.Err())
	}
	var f *fault.Error
	if !errors.As(err, &f) {
		f = fault.New(fault.Unavailable, "policy_unavailable",
			"the worker cannot judge at present; its log has the reason").Wrap(err)
	}
	w.cfg.Logger.LogAttrs(ctx, slog.LevelError, "request failed: no verdict could be found",
		slog.String("code", f.Code), slog.String("error", err.Error()), causeAttr(f))
	return f
}

func causeAttr(f *fault.Error) slog.Attr {
	if cause := f.Unwrap(); cause != nil {
		return slog.String("cause", cause.Error())
	}
	return slog.Attr{}
}

// logPanic logs where the function failed. Only the runtime's own texts are
// logged: what an author panics with may quote property values.
func (w *Worker) logPanic(ctx context.Context, r any) {
	text := fmt.Sprintf("a %T", r)
	var re runtime.Error
	if err, ok := r.(error); ok && errors.As(err, &re) {
		text = re.Error()
	}
	w.cfg.Logger.LogAttrs(ctx, slog.LevelError, "the worker's function panicked; the request failed",
		slog.String("panic", text), slog.String("stack", string(debug.Stack())))
}

// contextFault is nil while the request may go on.
func contextFault(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.From(err)
	}
	return nil
}

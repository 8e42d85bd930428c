package token

import (
	"context"
	"log/slog"
	"slices"
)

// failed logs the first failure of a row loudly and the others quietly: an
// issuer that is down is asked every second.
func (r *keyring) failed(ctx context.Context, err error) {
	level := slog.LevelDebug
	if r.failures == 0 {
		level = slog.LevelWarn
	}
	r.failures++
	r.log.Log(ctx, level, "the issuer's keys cannot be fetched; the last good ones serve",
		"error", err.Error(), "failures", r.failures, "keys_known", r.set.Load() != nil)
}

func (r *keyring) succeeded(ctx context.Context, old, next keySet) {
	failures := r.failures
	r.failures = 0
	was, is := old.kids(), next.kids()
	switch {
	case !slices.Equal(was, is):
		r.log.Log(ctx, slog.LevelInfo, "the issuer's keys have changed", "before", was, "now", is)
	case failures > 0:
		r.log.Log(ctx, slog.LevelInfo, "the issuer's keys are fetched again", "failures", failures)
	default:
		r.log.Log(ctx, slog.LevelDebug, "the issuer's keys are unchanged", "keys", is)
	}
}

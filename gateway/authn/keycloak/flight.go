package keycloak

import (
	"context"
	"errors"
)

// flight is one exchange that several callers wait for. It ends when the last of
// them has gone, not when the first has.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int // under Exchanger.mu

	// Set before done is closed.
	token string
	err   error
}

// join returns the flight for key, begun if there is none, or the token when one
// has just landed.
func (e *Exchanger) join(ctx context.Context, key cacheKey, subjectToken, audience string) (*flight, string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.flights[key]
	if f == nil {
		if t, ok := e.cached(key); ok {
			return nil, t
		}
		// The values of the first caller's context, its trace among them, go
		// along; its end does not.
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTimeout)
		f = &flight{done: make(chan struct{}), cancel: cancel}
		e.flights[key] = f
		e.running.Go(func() { e.fly(shared, f, key, subjectToken, audience) })
	}
	f.waiters++
	return f, ""
}

// leave takes a caller away; without any the exchange is cancelled.
func (e *Exchanger) leave(key cacheKey, f *flight) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f.waiters--
	if f.waiters > 0 {
		return
	}
	f.cancel()
	if e.flights[key] == f {
		delete(e.flights, key)
	}
}

func (e *Exchanger) fly(ctx context.Context, f *flight, key cacheKey, subjectToken, audience string) {
	defer close(f.done)
	defer f.cancel()
	got, err := e.queue(ctx, subjectToken, audience)
	if err == nil {
		e.cache.Set(key, got)
		f.token = got.token
	} else {
		f.err = e.failed(ctx, audience, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.flights[key] == f {
		delete(e.flights, key)
	}
}

func (e *Exchanger) queue(ctx context.Context, subjectToken, audience string) (issued, error) {
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
		return e.ask(ctx, subjectToken, audience)
	case <-ctx.Done():
		return issued{}, errors.New("too many exchanges are under way")
	}
}

// failed makes the fault of a failed exchange: the issuer's own words go to the
// log, its error code to the caller.
func (e *Exchanger) failed(ctx context.Context, audience string, err error) error {
	var refused *refusal
	if errors.As(err, &refused) {
		e.config.Logger.WarnContext(ctx, "the issuer refused to exchange a token",
			"audience", audience, "status", refused.status, "error", refused.code, "description", refused.description)
		return unavailable("the issuer refused to exchange the token for audience %q (%s)", audience, refused.code).Wrap(err)
	}
	e.config.Logger.WarnContext(ctx, "a token could not be exchanged", "audience", audience, "error", err.Error())
	return unavailable("the token could not be exchanged for audience %q; the issuer did not answer as it should", audience).Wrap(err)
}

package rest

import "context"

type callerKey struct{}

// WithCaller returns a context that carries who makes a call, for services whose
// calls are guarded before they get them.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the caller of a context; ok is false when it has none.
func CallerFrom(ctx context.Context) (c Caller, ok bool) {
	c, ok = ctx.Value(callerKey{}).(Caller)
	return c, ok
}

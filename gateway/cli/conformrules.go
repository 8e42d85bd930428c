package cli

import (
	"context"

	"github.com/muster-fleet/muster/workers/workertest"
)

// conformSink runs the receiver of a transformation's rules until stop is called,
// which is never nil.
func conformSink(ctx context.Context, f conformFlags, o *workertest.Options) (stop func(), err error) {
	o.Prefix = f.prefix
	if f.sink == "" {
		return func() {}, nil
	}
	sink, err := workertest.NewRuleSink(ctx, f.sink)
	if err != nil {
		return func() {}, usagef("give a free HOST:PORT, which the worker was started with as its gateway", "--sink: %v", err)
	}
	o.Sink = sink
	return func() {
		// All rules of the run are in memory and go with the process.
		_ = sink.Close()
	}, nil
}

package fanout_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// What a worker says of its failure goes to the caller. It never gets into a log:
// a careless worker repeats the token or a property's value in it.
func TestWhatAWorkerSaysIsNotLogged(t *testing.T) {
	const said = "secret s-n0 of token eyJhbGciOiJ"
	body := `{"description":"` + said + `","error":"` + said + `"}`
	overGRPC := func(c codes.Code) func(t *testing.T) string {
		return func(t *testing.T) string {
			return faulttest.GRPCWith(t, func(faulttest.Stream) error { return status.Error(c, said) })
		}
	}
	for name, url := range map[string]func(t *testing.T) string{
		"500": refusing("500 Oops", body), "401": refusing("401 Unauthorized", body), "403": refusing("403 Forbidden", body),
		"grpc internal": overGRPC(codes.Internal), "grpc denied": overGRPC(codes.PermissionDenied),
	} {
		t.Run(name, func(t *testing.T) {
			log := &bytes.Buffer{}
			f, _ := faulttest.Fleet(t, fanout.Config{}, func(d *fanout.Deps) { d.Logger = slog.New(slog.NewJSONHandler(log, nil)) })
			_, err := f.Ask(within(t, 30*time.Second), call(faulttest.Nodes(t, 1), faulttest.Worker(1, url(t))))
			if e := fault.From(err); !strings.Contains(e.Detail, said) {
				t.Errorf("the caller gets %q", e.Detail)
			}
			// What the edge logs as the cause.
			if cause := errors.Unwrap(fault.From(err)); cause == nil || strings.Contains(cause.Error(), "s-n0") {
				t.Errorf("the cause is %v", cause)
			}
			if !strings.Contains(log.String(), "worker failed") || strings.Contains(log.String(), "s-n0") {
				t.Errorf("the log says %s", log)
			}
		})
	}
}

// Only a worker whose present version obeys the laws is asked in pieces, whatever
// its settings say: the setting outlives a new version, the proof does not.
func TestWithoutTheLawsBatchesStayWhole(t *testing.T) {
	url, calls := faulttest.REST(t, func(string, string) faulttest.Verdict { return faulttest.Verdict{} }, false)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	for name, c := range map[string]struct {
		proof registry.Conformance
		calls int
	}{
		"laws":          {registry.Conformance{Level: registry.LevelLaws, Version: "1"}, 4},
		"robust":        {registry.Conformance{Level: registry.LevelRobust, Version: "1"}, 1},
		"other version": {registry.Conformance{Level: registry.LevelLaws, Version: "0"}, 1},
		"none":          {registry.Conformance{Level: registry.LevelNone}, 1},
	} {
		w := faulttest.Worker(1, url)
		w.Settings.MaxElementsPerCall, w.Conformance = 3, c.proof
		before := len(calls.Headers())
		if _, err := f.Ask(within(t, 30*time.Second), call(faulttest.Nodes(t, 10), w)); err != nil {
			t.Fatal(err)
		}
		if n := len(calls.Headers()) - before; n != c.calls {
			t.Errorf("%s: %d calls, want %d", name, n, c.calls)
		}
	}
}

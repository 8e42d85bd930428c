package workertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/element"
)

// testCase is one case of the suite.
type testCase struct {
	name  string
	level Level
	// rest and grpc say where the case applies.
	rest, grpc bool
	// run returns nil for a pass, a *skipError for a skip, a *doubtError for what
	// went well and proves nothing, anything else for a failure.
	run func(ctx context.Context, s *suite) error
}

// skipError says why a case was not run.
type skipError struct {
	why      string
	unproven bool
}

// Error returns the reason.
func (e *skipError) Error() string { return e.why }

// doubtError says why a case that went well proves nothing.
type doubtError struct{ why string }

// Error returns the reason.
func (e *doubtError) Error() string { return e.why }

// suite is what the cases of one run share. Cases run one after the other.
type suite struct {
	o      Options
	target target
	rest   *restTarget // nil for a gRPC worker
	grpc   *grpcTarget // nil for a REST worker
	people *population
	info   Info
}

// Run runs the suite against a worker. Its error is for a run that could not be
// made: bad options, or a worker that cannot be reached at all (a *fault.Error,
// worker_unreachable). What a worker does wrong is in the report. ctx ends the run
// early; what was not run is then skipped.
func Run(ctx context.Context, o Options) (*Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	s, err := newSuite(o)
	if err != nil {
		return nil, err
	}
	defer s.target.close()
	s.await(ctx)
	r := &Report{URL: o.URL, Asked: o.Level, Partial: len(o.Only) > 0, Seed: o.Seed, Begun: time.Now()}
	info, err := s.target.describe(ctx)
	if errors.Is(err, errNoConnection) {
		return nil, fault.New(fault.Unavailable, "worker_unreachable",
			"the worker at %s cannot be reached; is it running, and is this the URL that its registration has?", o.URL).Wrap(err)
	}
	s.info, r.Info = info, info
	s.adopt(info)
	gone := ""
	for _, c := range s.cases() {
		if gone == "" && ctx.Err() != nil {
			gone = "the run was ended early: " + ctx.Err().Error()
		}
		done := Case{Name: c.name, Level: c.level, Status: Skip, Detail: gone, Unproven: true}
		if gone == "" {
			done = s.runCase(ctx, c)
			if done.Status == Fail {
				gone = s.lost(ctx, c.name)
			}
		}
		r.Cases = append(r.Cases, done)
	}
	r.Duration = time.Since(r.Begun)
	return r, nil
}

// await gives a worker that has just been started time to take the good token. It
// tells nothing: the cases find what is still wrong when the time is over.
func (s *suite) await(ctx context.Context) {
	if s.o.Wait == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Wait)
	defer cancel()
	const pause = 200 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		var none *skipError // there is no token to wait with
		if err := s.ready(ctx); err == nil || errors.As(err, &none) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ready is nil once the worker takes the good token; no run of a transformation
// is started for it.
func (s *suite) ready(ctx context.Context) error {
	info, err := s.target.describe(ctx)
	if err != nil {
		return err
	}
	s.adopt(info)
	if s.o.Type == TypeTransformation {
		a, err := s.transform(ctx, "[]")
		if err == nil && (a.status == http.StatusUnauthorized || a.status >= http.StatusInternalServerError) {
			err = fmt.Errorf("not ready: status %d", a.status)
		}
		return err
	}
	_, err = s.ask(ctx, call{kind: element.Nodes})
	return err
}

func newSuite(o Options) (*suite, error) {
	people, err := newPopulation(o, o.Seed)
	if err != nil {
		return nil, err
	}
	s := &suite{o: o, people: people}
	if strings.HasPrefix(o.URL, "grpc") {
		if s.grpc, err = newGRPC(o); err != nil {
			return nil, fmt.Errorf("workertest: %w", err)
		}
		s.target = s.grpc
	} else {
		s.rest = newREST(o)
		s.target = s.rest
	}
	return s, nil
}

// cases returns those that apply, in their order.
func (s *suite) cases() (list []testCase) {
	groups := [][]testCase{coreCases(), tokenCases(), robustCases(), wireCases(), decideCases(), lawCases()}
	if s.o.Type == TypeTransformation {
		groups = [][]testCase{transformCases()}
	}
	for _, group := range groups {
		for _, c := range group {
			wanted := len(s.o.Only) == 0 || slices.Contains(s.o.Only, string(c.level)+"/"+c.name)
			if wanted && c.level.rank() <= s.o.Level.rank() && (c.rest && s.rest != nil || c.grpc && s.grpc != nil) {
				list = append(list, c)
			}
		}
	}
	return list
}

func (s *suite) runCase(ctx context.Context, c testCase) Case {
	begun := time.Now()
	out := Case{Name: c.name, Level: c.level, Status: Pass}
	err := c.run(ctx, s)
	out.Duration = time.Since(begun)
	var skip *skipError
	var doubt *doubtError
	switch {
	case err == nil:
	case errors.As(err, &skip):
		out.Status, out.Detail, out.Unproven = Skip, skip.why, skip.unproven
	case errors.As(err, &doubt):
		out.Status, out.Detail = NotProved, doubt.why
	default:
		out.Status, out.Detail = Fail, err.Error()
	}
	return out
}

// lost reports, after a failure, whether the worker can still be reached.
func (s *suite) lost(ctx context.Context, after string) string {
	if _, err := s.target.describe(ctx); errors.Is(err, errNoConnection) {
		return "the worker is gone since the case " + after + ": " + err.Error()
	}
	return ""
}

// good returns the good token.
func (s *suite) good(ctx context.Context) (string, error) {
	if s.o.Tokens == nil {
		return "", &skipError{"needs a good token, and none was given", true}
	}
	t, err := s.o.Tokens.Good(ctx)
	if err != nil {
		return "", &skipError{"no good token could be had: " + err.Error(), true}
	}
	return t, nil
}

// ask gives elements with a good token and demands verdicts.
func (s *suite) ask(ctx context.Context, c call) (outcome, error) {
	t, err := s.good(ctx)
	if err != nil {
		return outcome{}, err
	}
	c.token, c.bearer = t, true
	out, err := s.target.filter(ctx, c)
	if err != nil {
		return outcome{}, err
	}
	if out.refused != nil {
		return outcome{}, fmt.Errorf("a good request was refused: %s", out.refused)
	}
	if len(out.masked) > 0 && !s.o.Mask {
		return outcome{}, fmt.Errorf("element %d came back with a changed value, which only a registration with mask allows", out.masked[0])
	}
	return out, nil
}

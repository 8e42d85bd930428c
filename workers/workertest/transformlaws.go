package workertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/client"
)

// caseTransformUnknown: members that the contract does not name are ignored.
func caseTransformUnknown(ctx context.Context, s *suite) error {
	want, err := s.loaded(ctx)
	if err != nil {
		return err
	}
	body := strings.TrimSpace(s.request())
	if err := s.succeed(ctx, `{"version":2,"trace":{"id":null},`+strings.TrimPrefix(body, "{")); err != nil {
		return fmt.Errorf("with unknown members: %w", err)
	}
	return sameRules("with unknown members", want, s.o.Sink.Rules())
}

// caseTwoAtOnce: a second run meanwhile succeeds or is turned away; the rules are
// those of one run.
func caseTwoAtOnce(ctx context.Context, s *suite) error {
	want, err := s.loaded(ctx)
	if err != nil {
		return err
	}
	const callers = 2
	var group sync.WaitGroup
	answers, errs := make([]answer, callers), make([]error, callers)
	for i := range callers {
		group.Go(func() { answers[i], errs[i] = s.transformOnce(ctx, s.request()) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	ok := 0
	for _, a := range answers {
		switch {
		case a.status == http.StatusOK:
			ok++
		case a.refused == nil:
			return fmt.Errorf("status %d; 200, or a refusal such as 409 or 503, is due", a.status)
		case a.refused.flaw != nil:
			return a.refused.flaw
		}
	}
	if ok == 0 {
		return errors.New("of two runs at once none succeeded")
	}
	// Whichever came last may have been superseded; one run more settles it.
	if err := s.succeed(ctx, s.request()); err != nil {
		return fmt.Errorf("after two runs at once: %w", err)
	}
	return sameRules("after two runs at once", want, s.o.Sink.Rules())
}

// caseTransformVanished lets callers go away in the middle of their body.
func caseTransformVanished(ctx context.Context, s *suite) error {
	t, err := s.good(ctx)
	if err != nil {
		return err
	}
	const callers = 4
	for range callers {
		if err := s.rest.vanish(ctx, t); err != nil {
			return err
		}
	}
	// A place is given back when the worker notices; until then it may be busy.
	a, err := s.transform(ctx, s.request())
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("status %d", a.status)
	}
	if err != nil {
		return fmt.Errorf("after %d callers went away: %w", callers, err)
	}
	return nil
}

// caseGatewayRefuses: a run whose rules are refused has failed, and what was in
// force stays.
func caseGatewayRefuses(ctx context.Context, s *suite) error {
	want, err := s.loaded(ctx)
	if err != nil {
		return err
	}
	s.o.Sink.Refuse(fault.New(fault.Denied, "denied", "the suite refuses every rule for a moment"))
	a, err := s.transform(ctx, s.request())
	s.o.Sink.Refuse(nil)
	switch {
	case err != nil:
		return err
	case a.refused == nil:
		return fmt.Errorf("status %d although the gateway refused the rules; the run has failed, and whoever started it must be told", a.status)
	case a.refused.flaw != nil:
		return a.refused.flaw
	}
	return sameRules("after a run whose rules were refused", want, s.o.Sink.Rules())
}

// caseRunTwice: runs are repeated by schedules and retries.
func caseRunTwice(ctx context.Context, s *suite) error {
	first, err := s.loaded(ctx)
	if err != nil {
		return err
	}
	second, err := s.loaded(ctx)
	if err != nil {
		return fmt.Errorf("the second time: %w", err)
	}
	return sameRules("the second time", first, second)
}

// caseRevoked plants a rule as if a run before had posted it, for a permission that
// the source no longer has: it must be gone after the next run, and a rule of
// another creator must not.
func caseRevoked(ctx context.Context, s *suite) error {
	want, err := s.loaded(ctx)
	if err != nil {
		return err
	}
	creators := s.o.Sink.creators()
	if len(creators) != 1 {
		return fmt.Errorf("the rules belong to %d creators; one worker posts with one identity", len(creators))
	}
	old := want[slices.Min(slices.Collect(maps.Keys(want)))]
	old.Name += "-revoked"
	s.o.Sink.plant(creators[0], old)
	foreign := old
	foreign.Name = "of-another-creator"
	s.o.Sink.plant("another creator", foreign)
	got, err := s.loaded(ctx)
	if err != nil {
		return err
	}
	if _, there := got[old.Name]; there {
		return errors.New("a rule that the source has no permission for any more is still in force after the next run; " +
			"post with DeleteAllForUser: neither Ignore nor DeleteOnConflict ever removes a rule")
	}
	if _, there := got[foreign.Name]; !there {
		return errors.New("a rule of another creator is gone")
	}
	delete(got, foreign.Name)
	s.o.Sink.Clear()
	return sameRules("after a revocation", want, got)
}

// sameRules compares by names and contents; the order of lists means nothing.
func sameRules(when string, want, got map[string]client.AccessRule) error {
	for name, w := range want {
		g, ok := got[name]
		if !ok {
			return fmt.Errorf("%s the rule %q is missing", when, clip(name))
		}
		if !reflect.DeepEqual(inOrder(w), inOrder(g)) {
			return fmt.Errorf("%s the rule %q says something else", when, clip(name))
		}
	}
	if len(got) > len(want) {
		return fmt.Errorf("%s there are %d rules; %d are due", when, len(got), len(want))
	}
	return nil
}

func inOrder(r client.AccessRule) client.AccessRule {
	for _, l := range []*[]string{&r.Users, &r.Groups, &r.Clients} {
		*l = append([]string{}, *l...)
		slices.Sort(*l)
	}
	for _, l := range []*[]int64{&r.Relationships, &r.Functions} {
		*l = append([]int64{}, *l...)
		slices.Sort(*l)
	}
	r.Entities = append([]client.EntityGrant{}, r.Entities...)
	for i := range r.Entities {
		p := append([]int64{}, r.Entities[i].Properties...)
		slices.Sort(p)
		r.Entities[i].Properties = p
	}
	slices.SortFunc(r.Entities, func(a, b client.EntityGrant) int { return int(a.ID - b.ID) })
	r.Conditions = append([]client.Condition{}, r.Conditions...)
	slices.SortFunc(r.Conditions, func(a, b client.Condition) int {
		if a.Property != b.Property {
			return int(a.Property - b.Property)
		}
		return strings.Compare(a.Value, b.Value)
	})
	return r
}

package workertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/muster-fleet/muster/workers/client"
)

// TypeTransformation is the type of workers that post rules. Their suite needs a
// RuleSink, which the worker takes for its gateway while it is tested.
const TypeTransformation = "RuleTransformation"

// sampleTransform is the contract's own body.
const sampleTransform = `{"users":["admin"],"clients":["service-account-user"],"groups":["Test Group"],` +
	`"entities":[{"id":414,"title":"Benchmark","properties":[{"id":5303,"title":"Benchmark_ID"},{"id":5296,"title":"BK_IDdd"}]}],` +
	`"relationships":[{"id":415,"entityNameFrom":"Benchmark","entityNameTo":"Benchmark","name":"PARENTS","alias":"PARENTS"}]}`

// adopt settles which suite is run: the type that was asked for, else the worker's
// word when it is a type that the suite knows.
func (s *suite) adopt(info Info) {
	switch {
	case s.o.Type != "":
	case info.Type == TypeTransformation:
		s.o.Type = TypeTransformation
	default:
		s.o.Type = TypeGraphSecurity
	}
}

func transformCases() []testCase {
	list := []testCase{
		{"info", Core, true, false, caseInfo},
		{"info-stable", Core, true, false, caseInfoStable},
		{"succeeds", Core, true, false, caseSucceeds},
		{"rules", Core, true, false, caseRules},
		{"names", Core, true, false, caseNames},
	}
	for _, kind := range []string{"users", "groups", "clients", "entities", "relationships"} {
		list = append(list,
			testCase{"absent-" + kind, Core, true, false, caseWithout(kind)},
			testCase{"empty-" + kind, Core, true, false, caseEmptied(kind)})
	}
	list = append(list, testCase{"absent-all", Core, true, false, caseTolerates(`{}`)})
	for _, c := range [][2]string{
		{"malformed-json", `{"users":["admin"],`},
		{"no-object", `[]`},
		{"wrong-type", `{"users":"admin"}`},
		{"entities-no-list", `{"entities":{"id":1}}`},
	} {
		list = append(list, testCase{"refuses-" + c[0], Core, true, false, caseTransformRefuses(c[1])})
	}
	list = append(list, tokenCases()...)
	return append(list,
		testCase{"info-four-keys", Robust, true, false, caseFourKeys},
		testCase{"unknown-members", Robust, true, false, caseTransformUnknown},
		testCase{"two-at-once", Robust, true, false, caseTwoAtOnce},
		testCase{"vanished-caller", Robust, true, false, caseTransformVanished},
		testCase{"gateway-refuses", Robust, true, false, caseGatewayRefuses},
		testCase{"repeatable", Laws, true, false, caseRunTwice},
		testCase{"revoked", Laws, true, false, caseRevoked},
	)
}

// request is the body of a run.
func (s *suite) request() string {
	if s.o.Transform != nil {
		return string(s.o.Transform)
	}
	return sampleTransform
}

// transform runs with the good token. A worker that does one run at a time may
// turn a run away because of one whose caller has gone and of which it learns late:
// such a run is asked for again, for as long as an answer may take.
func (s *suite) transform(ctx context.Context, body string) (answer, error) {
	for end := time.Now().Add(s.rest.within); ; {
		a, err := s.transformOnce(ctx, body)
		const pause = 50 * time.Millisecond
		if err != nil || !a.later || time.Now().After(end) || !wait(ctx, pause) {
			return a, err
		}
	}
}

// transformOnce starts a run with the good token.
func (s *suite) transformOnce(ctx context.Context, body string) (answer, error) {
	t, err := s.good(ctx)
	if err != nil {
		return answer{}, err
	}
	return s.rest.post(ctx, call{token: t, bearer: true}, strings.NewReader(body), nil)
}

// succeed demands exactly 200, and nothing wrong with what was posted meanwhile.
func (s *suite) succeed(ctx context.Context, body string) error {
	s.flaws()
	a, err := s.transform(ctx, body)
	if err != nil {
		return err
	}
	if a.refused != nil {
		return fmt.Errorf("a good run was refused: %s (%q)", a.refused, clip(a.refused.description))
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("status %d; a transformation that succeeded answers 200 exactly", a.status)
	}
	return s.flawless()
}

func (s *suite) flaws() []string {
	if s.o.Sink == nil {
		return nil
	}
	return s.o.Sink.Flaws()
}

func (s *suite) flawless() error {
	flaws := s.flaws()
	const most = 5
	if n := len(flaws); n > most {
		flaws = append(flaws[:most], fmt.Sprintf("and %d more", n-most))
	}
	if len(flaws) > 0 {
		return errors.New(strings.Join(flaws, "; "))
	}
	return nil
}

// loaded runs once and returns what is in force then.
func (s *suite) loaded(ctx context.Context) (map[string]client.AccessRule, error) {
	if s.o.Sink == nil {
		return nil, &skipError{"needs a rule sink that the worker posts to, and none was given", true}
	}
	if err := s.succeed(ctx, s.request()); err != nil {
		return nil, err
	}
	rules := s.o.Sink.Rules()
	if len(rules) == 0 {
		why := "the worker posted no rule for the request; give one that its source has permissions for"
		if s.o.Sink.Posts() == 0 {
			why = "the worker posted nothing to the sink; is " + s.o.Sink.URL() + " its gateway?"
		}
		return nil, &skipError{why, true}
	}
	return rules, nil
}

func caseSucceeds(ctx context.Context, s *suite) error { return s.succeed(ctx, s.request()) }

// caseRules: what the sink finds wrong fails the run in loaded.
func caseRules(ctx context.Context, s *suite) error {
	_, err := s.loaded(ctx)
	return err
}

// caseNames: rules are known by their names over all workers, so a worker's own
// begin with something of its own.
func caseNames(ctx context.Context, s *suite) error {
	rules, err := s.loaded(ctx)
	if err != nil {
		return err
	}
	prefix, first := s.o.Prefix, true
	for name := range rules {
		if s.o.Prefix != "" {
			if !strings.HasPrefix(name, prefix) {
				return fmt.Errorf("the rule %q does not begin with %q", clip(name), prefix)
			}
			continue
		}
		if first {
			prefix, first = name, false
		}
		for !strings.HasPrefix(name, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	if prefix == "" {
		return errors.New("the names of the rules have no beginning in common; begin them with something of the worker's own, " +
			"or workers with equal names delete or block each other's rules")
	}
	return nil
}

// changed is the request with one list changed; nil takes it away.
func (s *suite) changed(kind string, list json.RawMessage) (string, error) {
	var body map[string]json.RawMessage
	if err := json.Unmarshal([]byte(s.request()), &body); err != nil {
		return "", fmt.Errorf("the request given is no JSON object: %w", err)
	}
	delete(body, kind)
	if list != nil {
		body[kind] = list
	}
	text, err := json.Marshal(body)
	return string(text), err
}

func caseWithout(kind string) func(context.Context, *suite) error {
	return func(ctx context.Context, s *suite) error {
		body, err := s.changed(kind, nil)
		if err != nil {
			return err
		}
		return caseTolerates(body)(ctx, s)
	}
}

func caseEmptied(kind string) func(context.Context, *suite) error {
	return func(ctx context.Context, s *suite) error {
		body, err := s.changed(kind, json.RawMessage("[]"))
		if err != nil {
			return err
		}
		return caseTolerates(body)(ctx, s)
	}
}

// caseTolerates: a step need not send every list. A worker that cannot do without
// one says so with 4xx and the error body; it does not break, and posts no rule
// that lacks a subject or an entity.
func caseTolerates(body string) func(context.Context, *suite) error {
	return func(ctx context.Context, s *suite) error {
		s.flaws()
		a, err := s.transform(ctx, body)
		switch {
		case err != nil:
			return err
		case a.refused != nil && a.refused.flaw != nil:
			return a.refused.flaw
		case a.refused != nil && a.status >= http.StatusInternalServerError:
			return fmt.Errorf("%s (%q); a list that is absent or empty is no failure of the worker's: do without it, or refuse with 422",
				a.refused, clip(a.refused.description))
		case a.refused == nil && a.status != http.StatusOK:
			return fmt.Errorf("status %d; a transformation that succeeded answers 200 exactly", a.status)
		}
		return s.flawless()
	}
}

// caseTransformRefuses sends a body that makes no sense.
func caseTransformRefuses(body string) func(context.Context, *suite) error {
	return func(ctx context.Context, s *suite) error {
		a, err := s.transform(ctx, body)
		switch {
		case err != nil:
			return err
		case a.refused == nil:
			return fmt.Errorf("status %d; a request that makes no sense needs a status outside 200-299", a.status)
		case a.refused.flaw != nil:
			return a.refused.flaw
		case a.status >= http.StatusInternalServerError:
			return fmt.Errorf("status %d; 400 is due, because the mistake is the caller's", a.status)
		}
		return nil
	}
}

// refusesRun starts a run with a bad token: 401, the error body, and nothing is
// posted.
func (s *suite) refusesRun(ctx context.Context, token string, bearer bool) error {
	before := 0
	if s.o.Sink != nil {
		before = s.o.Sink.Posts()
	}
	a, err := s.rest.post(ctx, call{token: token, bearer: bearer}, strings.NewReader(s.request()), nil)
	switch {
	case err != nil:
		return err
	case a.refused == nil:
		return errors.New("the run was accepted; a bad token must be refused with 401")
	case a.refused.flaw != nil:
		return a.refused.flaw
	case a.status != http.StatusUnauthorized:
		return fmt.Errorf("%s; 401 with the error invalid_token is due", a.refused)
	case s.o.Sink != nil && s.o.Sink.Posts() != before:
		return errors.New("rules were posted for a run with a bad token")
	}
	return nil
}

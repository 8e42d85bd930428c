package workertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/muster-fleet/muster/workers/element"
)

// tokenCases give a good request with a bad token. The sorts that the contract
// names are core; the rest is robust.
func tokenCases() []testCase {
	list := []testCase{
		{"token-missing", Core, true, true, caseNoToken},
		{"token-garbage", Core, true, true, caseToken(func(context.Context, *suite) (string, error) { return "not.a.token", nil })},
	}
	for _, f := range []Forgery{Expired, WrongKey, AlgNone, WrongIssuer} {
		list = append(list, testCase{"token-" + string(f), Core, true, true, caseForged(f)})
	}
	for _, f := range []Forgery{WrongAudience, NotYetValid, Tampered, PublicKeyAsSecret} {
		list = append(list, testCase{"token-" + string(f), Robust, true, true, caseForged(f)})
	}
	return list
}

func sortCases(list []testCase) {
	slices.SortStableFunc(list, func(a, b testCase) int {
		ra, rb := strings.HasPrefix(a.name, "refuses-"), strings.HasPrefix(b.name, "refuses-")
		switch {
		case ra != rb && ra:
			return 1
		case ra != rb:
			return -1
		case ra:
			return strings.Compare(a.name, b.name)
		default:
			return 0
		}
	})
}

// caseForged gives a forged token. What refusing it does not prove is not passed.
func caseForged(how Forgery) func(context.Context, *suite) error {
	refuses := caseToken(func(ctx context.Context, s *suite) (string, error) {
		if s.o.Tokens == nil {
			return "", &skipError{"needs a good token to build the bad one from, and none was given", true}
		}
		t, err := s.o.Tokens.Forge(ctx, how)
		if errors.Is(err, errors.ErrUnsupported) {
			return "", &skipError{why: err.Error()}
		}
		if err != nil {
			return "", fmt.Errorf("make the token: %w", err)
		}
		return t, nil
	})
	return func(ctx context.Context, s *suite) error {
		if err := refuses(ctx, s); err != nil {
			return err
		}
		if d, ok := s.o.Tokens.(Doubter); ok {
			if why := d.Doubt(how); why != "" {
				return &doubtError{why}
			}
		}
		return nil
	}
}

func caseNoToken(ctx context.Context, s *suite) error { return s.refusesToken(ctx, "", false) }

func caseToken(get func(context.Context, *suite) (string, error)) func(context.Context, *suite) error {
	return func(ctx context.Context, s *suite) error {
		t, err := get(ctx, s)
		if err != nil {
			return err
		}
		return s.refusesToken(ctx, t, true)
	}
}

// refusesToken asks with a bad token: 401, the error body, and nothing of the data.
// It asks for both kinds: a worker may guard one and forget the other.
func (s *suite) refusesToken(ctx context.Context, token string, bearer bool) error {
	if s.o.Type == TypeTransformation {
		return s.refusesRun(ctx, token, bearer)
	}
	const few = 3
	for _, kind := range []element.Kind{element.Nodes, element.Relationships} {
		out, err := s.target.filter(ctx, call{
			kind: kind, elements: s.people.batch(kind, 1, few), token: token, bearer: bearer,
		})
		if err != nil {
			return fmt.Errorf("%s: %w", kind.Key(), err)
		}
		if out.refused == nil {
			return fmt.Errorf("%s were answered; a bad token must be refused with 401", kind.Key())
		}
		if out.refused.leaks {
			return fmt.Errorf("%s: the refusal's body holds elements of the request", kind.Key())
		}
		if out.refused.flaw != nil {
			return fmt.Errorf("%s: %w", kind.Key(), out.refused.flaw)
		}
		if out.refused.status != http.StatusUnauthorized {
			return fmt.Errorf("%s: %s; 401 with the error invalid_token is due", kind.Key(), out.refused)
		}
	}
	return nil
}

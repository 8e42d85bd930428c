package workertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/grpc/metadata"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
)

// decideCases are about Decide, by which a gateway asks about few elements. They
// are for workers whose capabilities say that they serve it.
func decideCases() []testCase {
	return []testCase{
		{"decide", Core, false, true, whenDecides(caseDecide)},
		{"decide-tokens", Core, false, true, whenDecides(caseDecideTokens)},
		{"decide-refuses", Robust, false, true, whenDecides(caseDecideRefuses)},
	}
}

// whenDecides skips a case for workers that are asked over streams alone.
func whenDecides(run func(context.Context, *suite) error) func(context.Context, *suite) error {
	return func(ctx context.Context, s *suite) error {
		d, err := s.grpc.capabilities(ctx)
		if err != nil {
			return err
		}
		if !d.GetCapabilities().GetDecide() {
			return &skipError{why: "the worker's capabilities do not say decide, so it is asked over streams alone"}
		}
		return run(ctx, s)
	}
}

// caseDecide: one message gets the verdicts that a stream gets.
func caseDecide(ctx context.Context, s *suite) error {
	t, err := s.good(ctx)
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		all := s.people.batch(kind, 1, len(s.people.all(kind)))
		for _, n := range []int{1, min(2, len(all)), min(9, len(all)), len(all)} {
			c := call{kind: kind, elements: all[:n]}
			want, err := s.ask(ctx, c)
			if err != nil {
				return err
			}
			c.token, c.bearer = t, true
			got, err := s.grpc.decide(ctx, c, nil)
			if err != nil {
				return fmt.Errorf("Decide with %d %s: %w", n, kind.Key(), err)
			}
			if got.refused != nil {
				return fmt.Errorf("Decide with %d %s: refused with %s, where a stream is judged", n, kind.Key(), got.refused)
			}
			if i := firstDifference(want.verdicts, got.verdicts); i >= 0 {
				return fmt.Errorf("Decide with %d %s: another verdict on element %d than over a stream", n, kind.Key(), i)
			}
		}
	}
	return nil
}

// caseDecideTokens: a worker may guard one method and forget the other.
func caseDecideTokens(ctx context.Context, s *suite) error {
	bad := []struct {
		what, token string
		bearer      bool
	}{{what: "no token"}, {"garbage for a token", "not.a.token", true}}
	if s.o.Tokens != nil {
		for _, how := range []Forgery{Expired, WrongKey, AlgNone, WrongIssuer} {
			t, err := s.o.Tokens.Forge(ctx, how)
			if errors.Is(err, errors.ErrUnsupported) {
				continue // the cases about streams tell that it could not be tried
			}
			if err != nil {
				return fmt.Errorf("make the token: %w", err)
			}
			bad = append(bad, struct {
				what, token string
				bearer      bool
			}{"a token that is bad by " + string(how), t, true})
		}
	}
	const few = 3
	for _, kind := range kinds {
		for _, b := range bad {
			out, err := s.grpc.decide(ctx, call{kind: kind, elements: s.people.batch(kind, 1, few), token: b.token, bearer: b.bearer}, nil)
			if err != nil {
				return fmt.Errorf("Decide with %s and %s: %w", kind.Key(), b.what, err)
			}
			if out.refused == nil {
				return fmt.Errorf("Decide with %s and %s was judged; UNAUTHENTICATED is due", kind.Key(), b.what)
			}
			if out.refused.status != http.StatusUnauthorized {
				return fmt.Errorf("Decide with %s and %s: %s; UNAUTHENTICATED is due", kind.Key(), b.what, out.refused)
			}
		}
	}
	return nil
}

// caseDecideRefuses: what is not well formed is refused rather than guessed at.
func caseDecideRefuses(ctx context.Context, s *suite) error {
	t, err := s.good(ctx)
	if err != nil {
		return err
	}
	const few = 3
	c := call{kind: kinds[0], elements: s.people.batch(kinds[0], 1, few), token: t, bearer: true}
	for what, spoil := range map[string]func(*workerv1.DecideRequest){
		"elements whose ordinals do not begin at 0": func(q *workerv1.DecideRequest) { q.Elements.Base = 1 },
		"no kind": func(q *workerv1.DecideRequest) { q.Kind = workerv1.Kind_KIND_UNSPECIFIED },
		"an element that ends behind its data": func(q *workerv1.DecideRequest) {
			q.Elements.Ends[few-1] = uint32(len(q.Elements.Data)) + 1
		},
	} {
		out, err := s.grpc.decide(ctx, c, spoil)
		switch {
		case errors.Is(err, errNoConnection):
			return err
		case err == nil && out.refused == nil:
			return fmt.Errorf("Decide with %s was judged; INVALID_ARGUMENT is due", what)
		}
	}
	return nil
}

// decide asks by one message, spoilt if spoil is not nil, and reads the verdicts.
func (t *grpcTarget) decide(ctx context.Context, c call, spoil func(*workerv1.DecideRequest)) (outcome, error) {
	sent, err := sentBatch(c.kind, c.elements, false)
	if err != nil {
		return outcome{}, err
	}
	c.chunk = len(c.elements)
	q := &workerv1.DecideRequest{Kind: wireKind(c.kind), Elements: chunksOf(c)[0]}
	if spoil != nil {
		spoil(q)
	}
	ctx, cancel := context.WithTimeout(ctx, t.within)
	defer cancel()
	if c.bearer {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
	}
	answer, err := workerv1.NewGraphSecurityClient(t.conn).Decide(ctx, q)
	if err != nil {
		return t.ended(ctx, err)
	}
	v := newVerdictReader(sent)
	if err := v.add(answer.GetChunk()); err != nil {
		return outcome{}, err
	}
	return v.finish()
}

package workertest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/muster-fleet/muster/workers/element"
)

// universeSize is how many elements of each kind the laws are tried on.
const universeSize = 160

// lawCases decide whether the worker may be given parts of a batch, side by side.
func lawCases() []testCase {
	return []testCase{
		{"repeatable", Laws, true, true, caseLaw(lawRepeatable)},
		{"idempotent", Laws, true, true, caseLaw(lawIdempotent)},
		{"order-free", Laws, true, true, caseLaw(lawOrderFree)},
		{"restriction", Laws, true, true, caseLaw(lawRestriction)},
		{"one-by-one", Laws, true, true, caseLaw(lawOneByOne)},
		{"side-by-side", Laws, true, true, caseLaw(lawSideBySide)},
		{"parts-of-many", Laws, true, true, casePartsOfMany},
	}
}

// casePartsOfMany: a large batch and its parts agree, which is what splitting
// large batches needs.
func casePartsOfMany(ctx context.Context, s *suite) error {
	const parts, size = 6, 500
	for _, kind := range kinds {
		u := &universe{kind: kind, elements: s.people.batch(kind, 1, s.o.Elements)}
		out, err := s.ask(ctx, call{kind: kind, elements: u.elements})
		if err != nil {
			return fmt.Errorf("%s: %w", kind.Key(), err)
		}
		u.verdicts = out.verdicts
		for range parts {
			part := s.people.rng.Perm(len(u.elements))[:min(size, len(u.elements))]
			if err := u.restricted(ctx, s, part); err != nil {
				return fmt.Errorf("%s: a part of a large batch: %w", kind.Key(), err)
			}
		}
	}
	return nil
}

// universe is a batch with the verdicts on the whole of it: f(U).
type universe struct {
	kind     element.Kind
	elements []string
	verdicts []string
	answer   []string
}

// caseLaw tries a law on both kinds.
func caseLaw(law func(context.Context, *suite, *universe) error) func(context.Context, *suite) error {
	return func(ctx context.Context, s *suite) error {
		shown := 0
		for _, kind := range kinds {
			u := &universe{kind: kind, elements: s.people.batch(kind, 1, universeSize)}
			out, err := s.ask(ctx, call{kind: kind, elements: u.elements})
			if err != nil {
				return err
			}
			u.verdicts, u.answer = out.verdicts, out.elements
			shown += out.shown()
			if err := law(ctx, s, u); err != nil {
				return fmt.Errorf("%s: %w", kind.Key(), err)
			}
		}
		if shown == 0 {
			return nothingShown(element.Nodes, "any content, nor relationships")
		}
		return nil
	}
}

// restricted asks for a part of the universe, given by ordinals in any order, and
// compares with f(U).
func (u *universe) restricted(ctx context.Context, s *suite, part []int) error {
	elements := make([]string, len(part))
	for i, o := range part {
		elements[i] = u.elements[o]
	}
	out, err := s.ask(ctx, call{kind: u.kind, elements: elements})
	if err != nil {
		return err
	}
	for i, o := range part {
		if out.verdicts[i] != u.verdicts[o] {
			return fmt.Errorf("element %d of %d has another verdict among %d elements, at place %d (%s), than in the whole batch (%s)",
				o, len(u.elements), len(part), i, name(out.verdicts[i]), name(u.verdicts[o]))
		}
	}
	return nil
}

// name tells a verdict without its values.
func name(verdict string) string {
	switch verdict {
	case hidden, whole:
		return verdict
	default:
		return "edited"
	}
}

func firstDifference(a, b []string) int {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return -1
}

func ordinals(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// lawRepeatable: the same question has the same answer.
func lawRepeatable(ctx context.Context, s *suite, u *universe) error {
	const times = 3
	for range times {
		if err := u.restricted(ctx, s, ordinals(len(u.elements))); err != nil {
			return fmt.Errorf("asked the same again: %w", err)
		}
	}
	return nil
}

// lawIdempotent: filtering an answer changes nothing of what was shown whole. Of
// an edited element the rest may be judged anew, because the properties that the
// policy looked at may be those that were taken away.
func lawIdempotent(ctx context.Context, s *suite, u *universe) error {
	if len(u.answer) == 0 {
		return nil
	}
	out, err := s.ask(ctx, call{kind: u.kind, elements: u.answer})
	if err != nil {
		return fmt.Errorf("filtering the answer again: %w", err)
	}
	was := make(map[string]string, len(u.answer))
	sent, err := sentBatch(u.kind, u.elements, false)
	if err != nil {
		return err
	}
	for i, v := range u.verdicts {
		was[string(sent.ID(i))] = v
	}
	again, err := sentBatch(u.kind, u.answer, false)
	if err != nil {
		return err
	}
	for i, v := range out.verdicts {
		if was[string(again.ID(i))] == whole && v != whole {
			return fmt.Errorf("an element that was shown whole is %s when the answer is filtered again", name(v))
		}
	}
	return nil
}

// lawOrderFree: an element's verdict does not depend on its place.
func lawOrderFree(ctx context.Context, s *suite, u *universe) error {
	const times = 3
	for range times {
		if err := u.restricted(ctx, s, s.people.rng.Perm(len(u.elements))); err != nil {
			return fmt.Errorf("in another order: %w", err)
		}
	}
	return nil
}

// lawRestriction: f(S) = f(U) restricted to S, for random S of all sizes.
func lawRestriction(ctx context.Context, s *suite, u *universe) error {
	sizes := []int{1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, universeSize - 1}
	for _, n := range sizes {
		if err := u.restricted(ctx, s, s.people.rng.Perm(len(u.elements))[:n]); err != nil {
			return fmt.Errorf("a random part: %w", err)
		}
	}
	return nil
}

// lawOneByOne: every element alone has the verdict that it has among all; the
// answers of parts, joined, are the answer for the whole.
func lawOneByOne(ctx context.Context, s *suite, u *universe) error {
	const singles = 48
	for _, o := range s.people.rng.Perm(len(u.elements))[:singles] {
		if err := u.restricted(ctx, s, []int{o}); err != nil {
			return err
		}
	}
	return nil
}

// lawSideBySide: parts asked for at the same time have the same verdicts.
func lawSideBySide(ctx context.Context, s *suite, u *universe) error {
	order := s.people.rng.Perm(len(u.elements))
	parts := min(s.o.Callers, len(order))
	errs := make([]error, parts)
	var group sync.WaitGroup
	for p := range parts {
		group.Go(func() {
			from, to := p*len(order)/parts, (p+1)*len(order)/parts
			errs[p] = u.restricted(ctx, s, order[from:to])
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("parts asked for at the same time: %w", errs[firstError(errs)])
	}
	return nil
}

func firstError(errs []error) int {
	for i, err := range errs {
		if err != nil {
			return i
		}
	}
	return 0
}

package workertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/workers/element"
)

var kinds = []element.Kind{element.Nodes, element.Relationships}

// coreCases are what a gateway needs to call the worker at all.
func coreCases() []testCase {
	list := []testCase{
		{"info", Core, true, true, caseInfo},
		{"info-stable", Core, true, true, caseInfoStable},
		{"nodes", Core, true, true, caseKind(element.Nodes)},
		{"relationships", Core, true, true, caseKind(element.Relationships)},
		{"empty-nodes", Core, true, true, caseEmpty(element.Nodes)},
		{"empty-relationships", Core, true, true, caseEmpty(element.Relationships)},
		{"both-kinds-at-once", Core, true, true, caseBothKinds},
	}
	for name, body := range map[string]string{
		"unknown-type":   `{"parameters":{"type":"edges"},"data":[]}`,
		"no-parameters":  `{"data":[]}`,
		"no-data":        `{"parameters":{"type":"nodes"}}`,
		"malformed-json": `{"parameters":{"type":"nodes"},"data":[{"elementId":"4:` + graphUUID + `:1",`,
		"data-no-list":   `{"parameters":{"type":"nodes"},"data":{"elementId":"4:` + graphUUID + `:1"}}`,
	} {
		list = append(list, testCase{"refuses-" + name, Core, true, false, caseRefuses(body)})
	}
	sortCases(list)
	return list
}

func caseInfo(ctx context.Context, s *suite) error {
	info, err := s.target.describe(ctx)
	if err != nil {
		return err
	}
	if info.Class != "result" || info.Type != s.o.Type {
		return fmt.Errorf("class is %q and type %q; %q and %q are due", clip(info.Class), clip(info.Type), "result", s.o.Type)
	}
	id, err := canonical(info.UUID)
	if err != nil {
		return fmt.Errorf("uuid %q: %w", clip(info.UUID), err)
	}
	if s.o.UUID == "" {
		return nil
	}
	want, err := canonical(s.o.UUID)
	if err != nil {
		return fmt.Errorf("the expected uuid %q: %w", clip(s.o.UUID), err)
	}
	if id != want {
		return fmt.Errorf("uuid is %s; %s was expected", id, want)
	}
	return nil
}

func canonical(text string) (string, error) {
	const plain, braced = 36, 38
	if n := len(text); n != plain && n != braced {
		return "", errors.New("not a uuid of 36 characters")
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return "", fmt.Errorf("not a uuid: %w", err)
	}
	return id.String(), nil
}

// caseInfoStable asks again and again, over new connections, and every replica.
func caseInfoStable(ctx context.Context, s *suite) error {
	first, err := s.target.describe(ctx)
	if err != nil {
		return err
	}
	const times = 8
	for range times {
		again, err := s.target.describe(ctx)
		if err != nil {
			return fmt.Errorf("asked again: %w", err)
		}
		if again != first {
			return fmt.Errorf("asked again, the worker told another identity (uuid %q, version %q; before: %q, %q); replicas behind one URL must be alike",
				clip(again.UUID), clip(again.Version), clip(first.UUID), clip(first.Version))
		}
	}
	for _, url := range s.o.Replicas {
		o := s.o
		o.URL = url
		replica, err := newSuite(o)
		if err != nil {
			return fmt.Errorf("replica %s: %w", url, err)
		}
		info, err := replica.target.describe(ctx)
		replica.target.close()
		if err != nil {
			return fmt.Errorf("replica %s: %w", url, err)
		}
		if info != first {
			return fmt.Errorf("the replica at %s tells another identity (uuid %q, version %q; the first: %q, %q)",
				url, clip(info.UUID), clip(info.Version), clip(first.UUID), clip(first.Version))
		}
	}
	return nil
}

// caseKind gives a few elements of one kind; reading the answer does the checking.
func caseKind(kind element.Kind) func(context.Context, *suite) error {
	return func(ctx context.Context, s *suite) error {
		_, err := s.ask(ctx, call{kind: kind, elements: s.people.batch(kind, 1, 2*len(s.people.all(kind)))})
		return err
	}
}

func caseEmpty(kind element.Kind) func(context.Context, *suite) error {
	return func(ctx context.Context, s *suite) error {
		_, err := s.ask(ctx, call{kind: kind})
		if err != nil {
			return fmt.Errorf("empty data is no error: %w", err)
		}
		return nil
	}
}

// caseBothKinds asks for the two kinds in turn: an answer must be of the kind
// that was asked, whatever was asked before.
func caseBothKinds(ctx context.Context, s *suite) error {
	const rounds, size = 3, 5
	for range rounds {
		for _, kind := range kinds {
			if _, err := s.ask(ctx, call{kind: kind, elements: s.people.batch(kind, 1, size)}); err != nil {
				return fmt.Errorf("%s after the other kind: %w", kind.Key(), err)
			}
		}
	}
	return nil
}

// caseRefuses sends a body that cannot be answered: never verdicts, always the
// error body, and not as the worker's own fault.
func caseRefuses(body string) func(context.Context, *suite) error {
	return func(ctx context.Context, s *suite) error {
		t, err := s.good(ctx)
		if err != nil {
			return err
		}
		a, err := s.rest.post(ctx, call{token: t, bearer: true}, strings.NewReader(body), nil)
		if err != nil {
			return err
		}
		if a.refused == nil {
			return fmt.Errorf("status %d; a request that makes no sense needs a status outside 200-299", a.status)
		}
		if a.refused.flaw != nil {
			return a.refused.flaw
		}
		if a.status >= http.StatusInternalServerError {
			return fmt.Errorf("status %d; 400 is due, because the mistake is the caller's", a.status)
		}
		return nil
	}
}

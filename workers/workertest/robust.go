package workertest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/muster-fleet/muster/workers/element"
)

// robustCases are what traffic brings.
func robustCases() []testCase {
	return []testCase{
		{"many-nodes", Robust, true, true, caseMany(element.Nodes)},
		{"many-relationships", Robust, true, true, caseMany(element.Relationships)},
		{"big-numbers", Robust, true, true, caseValues(bigNumbers())},
		{"unicode", Robust, true, true, caseValues(unicodeValues())},
		{"nested-values", Robust, true, true, caseValues(nestedValues())},
		{"long-values", Robust, true, true, caseValues([]string{quote(strings.Repeat("long ", 1<<15))})},
		{"odd-names", Robust, true, true, caseOddNames},
		{"odd-ids", Robust, true, true, caseOddIDs},
		{"concurrent-callers", Robust, true, true, caseConcurrent},
	}
}

func bigNumbers() []string {
	return []string{
		"9007199254740993", "-9007199254740993", "12345678901234567890", "98765432109876543210987654321098765432109876543210",
		"0.1234567890123456789012345", "1e400", "-1.5e-400", "1.50", "100000000000000000000000", "-0",
	}
}

func unicodeValues() []string {
	return []string{
		`"Žluťoučký kůň"`, `"日本語 한국어 العربية"`, `"👩‍👩‍👧‍👦 🏳️‍🌈"`, `"\ud83d\ude00"`, `"e\u0301 é"`, `"\u0000\u001f"`,
		`"\"\\\/\b\f\n\r\t"`, "\"\u2028\u2029\ufeff\"", `"</script>&amp;<!--"`, `"%00%2e../"`, `""`,
	}
}

func nestedValues() []string {
	const deep = 60
	return []string{
		"null", "true", "false", "[]", "{}", `[null,[[],{}],{"a":[1,{"b":null}]}]`, `{"a":{"b":{"c":[1,2,3]}},"":""}`,
		`"{\"json\":\"in a string\"}"`, strings.Repeat("[", deep) + strings.Repeat("]", deep),
		`[ 1 , 2 ,{ "spaced" : true } ]`,
	}
}

// caseMany gives large batches; the answer must come in time and be right.
func caseMany(kind element.Kind) func(context.Context, *suite) error {
	return func(ctx context.Context, s *suite) error {
		_, err := s.ask(ctx, call{kind: kind, elements: s.people.batch(kind, 1, s.o.Elements)})
		return err
	}
}

// caseValues gives every value within every template. What is shown must be what
// was sent; over REST a value was seen at all only if some element that holds it
// is shown with it.
func caseValues(values []string) func(context.Context, *suite) error {
	return func(ctx context.Context, s *suite) error {
		for _, kind := range kinds {
			out, err := s.ask(ctx, call{kind: kind, elements: s.people.with(kind, values)})
			if err != nil {
				return fmt.Errorf("%s: %w", kind.Key(), err)
			}
			if s.rest == nil {
				continue // values do not travel back
			}
			if err := allCarried(kind, out.verdicts, len(values)); err != nil {
				return err
			}
		}
		return nil
	}
}

// allCarried demands that every value came back in some element, if any did. A
// policy that shows one value of a made-up property and not another is far less
// likely than a JSON library that cannot keep it.
func allCarried(kind element.Kind, verdicts []string, values int) error {
	lost := -1
	shown := false
	for j := range values {
		if carried(verdicts, j, values) {
			shown = true
		} else if lost < 0 {
			lost = j
		}
	}
	switch {
	case !shown:
		return nothingShown(kind, "the property probe")
	case lost >= 0:
		return fmt.Errorf("%s: the value number %d of the property probe was taken away or changed wherever it was sent, others were not",
			kind.Key(), lost)
	default:
		return nil
	}
}

// carried reports whether an element with value j came back with it.
func carried(verdicts []string, j, values int) bool {
	for i := j; i < len(verdicts); i += values {
		if v := verdicts[i]; v != hidden && !strings.Contains(v, "probe") {
			return true
		}
	}
	return false
}

func nothingShown(kind element.Kind, what string) error {
	return &skipError{fmt.Sprintf(
		"the worker shows the caller none of the suite's %s with %s, so nothing can be compared; give elements that he may see (Options.%s%s)",
		kind.Key(), what, strings.ToUpper(kind.Key()[:1]), kind.Key()[1:]), true}
}

// caseOddNames gives properties whose names JSON libraries like to change.
func caseOddNames(ctx context.Context, s *suite) error {
	names := []string{
		`"toString"`, `"__proto__"`, `"constructor"`, `"ключ"`, `"with space"`, `"with.dot"`, `"\u0041\ud83d\ude00"`,
		`""`, `"10"`, `"2"`, `"elementId"`, `"Elementid"`,
	}
	for _, kind := range kinds {
		var elements []string
		for i, t := range s.people.all(kind) {
			var more []member
			for j, n := range names {
				more = append(more, member{n, strconv.Itoa(j)})
			}
			elements = append(elements, t.element(elementID(kind, i), more...))
		}
		if _, err := s.ask(ctx, call{kind: kind, elements: elements}); err != nil {
			return fmt.Errorf("%s: %w", kind.Key(), err)
		}
	}
	return nil
}

// caseOddIDs gives ids with escapes and letters: they are names, compared decoded.
func caseOddIDs(ctx context.Context, s *suite) error {
	ids := []string{
		`"\u0034:` + graphUUID + `:7"`, `"é"`, `"e\u0301"`, `"A"`, `"a"`, `" a"`, `"0"`, `"00"`, `"id\/with\"quotes"`,
		`"\ud83d\ude00"`, quote(strings.Repeat("i", 2000)),
	}
	for _, kind := range kinds {
		list := s.people.all(kind)
		for i := range list {
			elements := make([]string, len(ids))
			for j, id := range ids {
				elements[j] = list[(i+j)%len(list)].element(id)
			}
			if _, err := s.ask(ctx, call{kind: kind, elements: elements}); err != nil {
				return fmt.Errorf("%s: %w", kind.Key(), err)
			}
			const enough = 4
			if i >= enough {
				break
			}
		}
	}
	return nil
}

// caseConcurrent lets many ask at once, each for elements of its own; an answer
// that belongs to another caller has ids that this one did not send.
func caseConcurrent(ctx context.Context, s *suite) error {
	const rounds, size = 4, 40
	type job struct {
		call call
		err  error
	}
	jobs := make([]job, s.o.Callers)
	for i := range jobs {
		kind := kinds[i%len(kinds)]
		jobs[i].call = call{kind: kind, elements: s.people.batch(kind, 1+i*size, 1+(i*7)%size)}
	}
	var group sync.WaitGroup
	for i := range jobs {
		group.Go(func() {
			j := &jobs[i]
			for range rounds {
				if _, j.err = s.ask(ctx, j.call); j.err != nil {
					return
				}
			}
		})
	}
	group.Wait()
	for _, j := range jobs {
		var skip *skipError
		if errors.As(j.err, &skip) {
			return skip
		}
		if j.err != nil {
			return fmt.Errorf("with %d callers at once: %w", s.o.Callers, j.err)
		}
	}
	return nil
}

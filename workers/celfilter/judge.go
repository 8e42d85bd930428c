package celfilter

import (
	"context"
	"errors"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/muster-fleet/muster/workers/worker"
)

// subject is a principal as expressions see it, made once per request.
type subject struct {
	principal *Principal
	claims    map[string]any
}

// facts are what the expressions of one element see.
type facts struct {
	subject subject
	element *Element
	kind    string
}

// ResolveName implements cel's Activation.
func (f *facts) ResolveName(name string) (any, bool) {
	switch name {
	case "element":
		return f.element, true
	case "principal":
		return f.subject.principal, true
	case "claims":
		return f.subject.claims, true
	case "kind":
		return f.kind, true
	default:
		return nil, false
	}
}

// Parent implements cel's Activation; there is none.
func (f *facts) Parent() cel.Activation { return nil }

// Judge decides on one element for one principal, as a worker does. Its error is
// for claims that are no JSON object; the verdict then hides.
func (p *Policy) Judge(ctx context.Context, who *worker.Principal, e worker.Element) (worker.Verdict, error) {
	s, err := newSubject(who)
	if err != nil {
		return worker.Verdict{}, err
	}
	return p.judge(ctx, s, e), nil
}

// judge decides on one element. It never shows more than a rule that was
// evaluated without failure, or one whose missing says so, has decided.
func (p *Policy) judge(ctx context.Context, s subject, e worker.Element) worker.Verdict {
	f := &facts{subject: s, element: view(e), kind: kindOf(e)}
	var strips []string
	for i := range p.rules {
		r := &p.rules[i]
		if r.kind != "" && r.kind != f.kind {
			continue
		}
		holds, why := r.holds(ctx, f)
		if err := ctx.Err(); err != nil {
			return worker.Fail(err)
		}
		switch {
		case why == failed, why == absent && r.missing == missingHides:
			return worker.Hide(r.name + ": " + string(why))
		case why == absent:
			holds = r.missing == missingMatches
		}
		if !holds {
			continue
		}
		switch r.decide {
		case decideHide:
			return worker.Hide(r.name)
		case decideKeep:
			return stripped(strips, r.name)
		case decideStrip:
			strips = append(strips, r.properties...)
		}
	}
	if p.keepByRest {
		return stripped(strips, "default")
	}
	return worker.Hide("default")
}

func stripped(names []string, reason string) worker.Verdict {
	if len(names) == 0 {
		return worker.Keep()
	}
	return worker.Strip(names...).Because(reason)
}

// trouble is why a rule could not be evaluated.
type trouble string

const (
	none   trouble = ""
	absent trouble = "missing attribute"
	failed trouble = "failed"
)

// holds evaluates a rule. Only a true that came without trouble holds.
func (r *rule) holds(ctx context.Context, f *facts) (bool, trouble) {
	out, _, err := r.program.ContextEval(ctx, f)
	if err != nil {
		if isAbsent(err) {
			return false, absent
		}
		return false, failed
	}
	return isTrue(out)
}

func isTrue(out ref.Val) (bool, trouble) {
	b, ok := out.(types.Bool)
	if !ok {
		return false, failed
	}
	return bool(b), none
}

// isAbsent recognises what cel reports for a key or an index that is not there;
// its error type is not exported, so the beginning of its text has to do. A test
// holds the library to it.
func isAbsent(err error) bool {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			break
		}
		err = inner
	}
	text := err.Error()
	return strings.HasPrefix(text, "no such key: ") || strings.HasPrefix(text, "index out of bounds: ")
}

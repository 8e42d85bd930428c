package verdict

import (
	"encoding/json"
	"slices"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/element"
)

// Cause is who hid, stripped or masked something, and why. One of Rule and
// Worker is set.
type Cause struct {
	// Rule is the name of a Graph Access Rule that speaks for the element, or one of
	// RuleClosure and RuleAccess.
	Rule string `json:"rule,omitempty"`
	// Worker is the worker that said so.
	Worker *fault.WorkerRef `json:"worker,omitempty"`
	// Reason is the source's own short word for it; empty, never left out, when it
	// gave none: over REST a worker has no place for one.
	Reason string `json:"reason"`
}

// RuleClosure is the rule that explains a relationship that lost an end.
const RuleClosure = "closure"

// RuleAccess explains what Graph Access Rules take away. There is no rule to
// name: things are hidden because none speaks for them.
const RuleAccess = "graph-access-rules"

// The reasons of RuleAccess.
const (
	ReasonNoRule     = "no_rule"     // no rule speaks for the element
	ReasonNotGranted = "not_granted" // no rule that speaks for it grants the property
	ReasonGrants     = "grants"      // with the id of a rule: it speaks for the element
)

// SourceSet is one source's verdicts over a batch. Where the set has no reason
// of its own for an element, the cause's reason counts.
type SourceSet struct {
	Cause Cause
	Set   *Set
}

// Explanation says who took something of one element away. An element of which
// properties were stripped and others masked has two.
type Explanation struct {
	Kind      string `json:"kind"`
	ElementID string `json:"elementId"`
	// Ordinal is the element's number in its batch.
	Ordinal int `json:"-"`
	// Verdict is "hidden", "stripped", "masked" or, where what is left is explained
	// too, "visible".
	Verdict string `json:"verdict"`
	// Properties are the names concerned, unescaped; empty for "hidden".
	Properties []string `json:"properties"`
	By         []Cause  `json:"by"`
}

// The verdicts of explanations.
const (
	VerdictHidden   = "hidden"
	VerdictStripped = "stripped"
	VerdictMasked   = "masked"
	VerdictVisible  = "visible"
)

const reasonClosure = "an end is not visible"

// Closure is the source that explains what Close hid: before and after are the
// relationships' verdicts around it.
func Closure(before, after *Set) SourceSet {
	s := NewWhole(after.n)
	for i := range after.n {
		if before.Visible(i) && !after.Visible(i) {
			s.Hide(i)
		}
	}
	return SourceSet{Cause{Rule: RuleClosure, Reason: reasonClosure}, s}
}

// Explain says for every element that did not stay whole who took what away, in
// the order of the elements and, within one, of the sources. It is made for the
// holders of the explain grant only.
func Explain(b *element.Batch, perSource []SourceSet) []Explanation {
	out := ExplainOrdinals(b.Kind(), b.Len(), perSource)
	for i := range out {
		out[i].ElementID = string(b.ID(out[i].Ordinal))
	}
	return out
}

// ExplainOrdinals is Explain for elements that are no longer there: ElementID
// stays empty, and the asker knows it by the ordinal.
func ExplainOrdinals(kind element.Kind, n int, perSource []SourceSet) []Explanation {
	all := NewWhole(n)
	for _, s := range perSource {
		Meet(all, s.Set)
	}
	var out []Explanation
	for i := range n {
		switch {
		case !all.Visible(i):
			e := explanation(kind, i, VerdictHidden)
			for _, s := range perSource {
				if !s.Set.Visible(i) {
					e.By = append(e.By, s.cause(i))
				}
			}
			out = append(out, e)
		case !all.Whole(i):
			out = explainProperties(out, kind, all, perSource, i)
		}
	}
	return out
}

func explanation(kind element.Kind, i int, verdict string) Explanation {
	return Explanation{Kind: kind.Key(), Ordinal: i, Verdict: verdict, Properties: []string{}}
}

func explainProperties(out []Explanation, kind element.Kind, all *Set, perSource []SourceSet, i int) []Explanation {
	if strips := all.StripsOf(i); len(strips) > 0 {
		e := explanation(kind, i, VerdictStripped)
		for _, x := range strips {
			e.Properties = append(e.Properties, x.Name)
		}
		for _, s := range perSource {
			if s.concerns(i, e.Properties) {
				e.By = append(e.By, s.cause(i))
			}
		}
		out = append(out, e)
	}
	if masks := all.MasksOf(i); len(masks) > 0 {
		e := explanation(kind, i, VerdictMasked)
		for _, x := range masks {
			e.Properties = append(e.Properties, x.Name)
		}
		for _, s := range perSource {
			if s.concerns(i, e.Properties) {
				e.By = append(e.By, s.cause(i))
			}
		}
		out = append(out, e)
	}
	return out
}

// concerns reports whether the source strips or masks one of the properties.
func (s *SourceSet) concerns(i int, names []string) bool {
	for _, x := range s.Set.StripsOf(i) {
		if slices.Contains(names, x.Name) {
			return true
		}
	}
	for _, x := range s.Set.MasksOf(i) {
		if slices.Contains(names, x.Name) {
			return true
		}
	}
	return false
}

func (s *SourceSet) cause(i int) Cause {
	c := s.Cause
	if code := s.Set.ReasonOf(i); code != "" {
		c.Reason = code
	}
	return c
}

// ExplainJSON encodes explanations as the member explain of an answer.
func ExplainJSON(explanations []Explanation) ([]byte, error) {
	if explanations == nil {
		explanations = []Explanation{}
	}
	return json.Marshal(explanations)
}

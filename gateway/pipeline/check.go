package pipeline

import (
	"context"
	"slices"

	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
)

// MaxNamedRules is how many rules are named for one element that they show: the
// first by id.
const MaxNamedRules = 64

// Check says what a principal would see of a request by the rules alone, and
// why: its decision explains the elements that are visible too, naming the rules
// that speak for them. No worker is asked. The right to ask for it has been
// checked. Its errors are *fault.Error.
func (f *Filter) Check(ctx context.Context, sub rule.Subjects, req *element.Request) (*Decision, error) {
	if f.deps.Rules == nil {
		return nil, fault.New(fault.Unavailable, "rules_disabled",
			"Graph Access Rules are switched off; set rules.enabled to have them evaluated")
	}
	snapshot, program := f.deps.Rules.Program(f.deps.Snapshots, sub)
	d, err := newDecision(snapshot)
	if err != nil {
		return nil, err
	}
	d.req = req
	d.ruled = newRuled(program, req, true)
	d.merge(true, nil)
	speaker := d.ruled.program.Speaker(req)
	names := ruleNames{of: snapshot.Rules, known: map[int64]string{}}
	for _, b := range []*element.Batch{req.Nodes, req.Relationships} {
		if b == nil {
			continue
		}
		if err := d.explainVisible(ctx, speaker, names, b); err != nil {
			d.Release()
			return nil, err
		}
	}
	// What is left of an element follows what was taken away of it.
	slices.SortStableFunc(d.Explanations, func(a, b verdict.Explanation) int {
		if a.Kind != b.Kind {
			return kindOrder(a.Kind) - kindOrder(b.Kind)
		}
		return a.Ordinal - b.Ordinal
	})
	return d, nil
}

func kindOrder(kind string) int {
	if kind == element.Nodes.Key() {
		return 0
	}
	return 1
}

// explainVisible adds which rules show the visible elements of a batch.
func (d *Decision) explainVisible(ctx context.Context, speaker *rules.Speaker, names ruleNames, b *element.Batch) error {
	set := d.Nodes
	if b.Kind() == element.Relationships {
		set = d.Relationships
	}
	for i := range b.Len() {
		if i%1024 == 0 && ctx.Err() != nil {
			return fault.From(context.Cause(ctx))
		}
		if !set.Visible(i) {
			continue
		}
		e := verdict.Explanation{
			Kind: b.Kind().Key(), ElementID: string(b.ID(i)), Ordinal: i,
			Verdict: verdict.VerdictVisible, Properties: []string{},
		}
		stripped := map[string]bool{}
		for _, x := range set.StripsOf(i) {
			stripped[x.Name] = true
		}
		for name := range b.Properties(i) {
			if text := string(element.AppendText(nil, name)); !stripped[text] {
				e.Properties = append(e.Properties, text)
			}
		}
		slices.Sort(e.Properties)
		ids := speaker.Rules(b.Kind(), i)
		for _, id := range ids[:min(len(ids), MaxNamedRules)] {
			e.By = append(e.By, verdict.Cause{Rule: names.name(id), Reason: verdict.ReasonGrants})
		}
		d.Explanations = append(d.Explanations, e)
	}
	return nil
}

// ruleNames finds the names of rules, which people know them by, once for each.
type ruleNames struct {
	of    *rule.Set
	known map[int64]string
}

func (n ruleNames) name(id int64) string {
	name, ok := n.known[id]
	if !ok {
		if p := n.of.Packed(id); p != nil {
			name = p.Name()
		}
		n.known[id] = name
	}
	return name
}

// RulesOn reports whether Graph Access Rules are evaluated. A request then needs
// room for a copy of what they leave of it.
func (f *Filter) RulesOn() bool { return f.deps.Rules != nil }

// Function reports whether a rule grants a function to a principal; false when
// rules are off.
func (f *Filter) Function(sub rule.Subjects, id rule.ID) bool {
	if f.deps.Rules == nil {
		return false
	}
	_, p := f.deps.Rules.Program(f.deps.Snapshots, sub)
	return p.Function(id)
}

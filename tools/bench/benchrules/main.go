// Command benchrules measures Graph Access Rules against other engines on the
// same rules and the same nodes, and prints what it found as one JSON object. It
// is started by bench, and is a program of its own so that the peers' memory and
// collector are nobody else's.
package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/muster-fleet/muster/tools/bench/told"
)

func main() { told.Main("benchrules", measure) }

func measure(ctx context.Context, quick bool) (told.Outcome, error) {
	const count = 100_000
	repetitions, atLeast := 7, 400*time.Millisecond
	if quick {
		repetitions, atLeast = 3, 150*time.Millisecond
	}
	grants := makeRules(ruleCount)
	all, err := race(contenders(ctx), grants, count, repetitions, atLeast)
	if err != nil {
		return told.Outcome{}, err
	}
	costs, err := measureSnapshot(grants, repetitions)
	return tell(all, costs), err
}

// opaIndexedName is the form of policy that was the best OPA before Muster was
// there, when the bar was set.
const opaIndexedName = "OPA, a written rule each, indexed by label, asked by node and label"

// contenders are the engines in the race.
func contenders(ctx context.Context) []contender {
	const slow = 5_000
	return []contender{
		{name: "Muster, parsed nodes", kind: ours, nodes: 100_000, make: newMuster(nil)},
		{name: "Muster, parsed nodes, labels paired at random", kind: oursElse, nodes: 100_000, make: newMuster(nil), anyPair: true},
		{name: "Muster, rules compiled again for every 10,000 nodes", kind: oursElse, nodes: 10_000, make: newCold},
		{name: "Muster, from the request's bytes, read and validated", kind: oursElse, nodes: 100_000, make: newMuster(parseAgain)},
		{name: opaIndexedName, kind: opa, nodes: slow, make: opaIndexed(ctx)},
		{name: "OPA, rules in data by label, property and value, asked by node", kind: opa, nodes: slow, make: opaLookup(ctx)},
		{name: "OPA, the same, asked by 5,000 nodes", kind: opa, nodes: slow, make: opaBatch(ctx, slow)},
		{name: "cedar-go, the label's policy set", nodes: 20_000, make: newCedar},
		{name: "cel-go, the label's rules, a program a condition", nodes: 50_000, make: newCEL},
	}
}

// tell makes the table and the bars' numbers.
func tell(all []timed, costs snapshotCosts) told.Outcome {
	mine, theirs := best(all, ours), best(all, opa)
	indexed := &all[slices.IndexFunc(all, func(t timed) bool { return t.Name == opaIndexedName })]
	out := told.Outcome{
		Rows: [][]string{{"engine", "nodes a second", "ns a node", "allocations a node", "against the best OPA"}},
		Values: map[string]told.Value{
			"rate": {Value: mine.Rate, Spread: mine.Spread}, "opa": {Value: mine.Rate / theirs.Rate, Spread: max(mine.Spread, theirs.Spread)},
			"opaIndexed":  {Value: mine.Rate / indexed.Rate, Spread: max(mine.Spread, indexed.Spread)},
			"allocations": {Value: mine.Allocations}, "bytes": {Value: costs.bytes},
		},
	}
	for _, t := range all {
		out.Rows = append(out.Rows, []string{
			t.Name, fmt.Sprintf("%.0f ±%.0f%%", t.Rate, t.Spread*100), fmt.Sprintf("%.0f", t.perNode()),
			fmt.Sprintf("%.3f", t.Allocations), fmt.Sprintf("%.3gx", t.Rate/theirs.Rate),
		})
	}
	out.Put("compile", 1e-6, costs.compile)
	many, few, together := out.Put("oneOfMany", 1, costs.oneOfMany), out.Put("oneOfFew", 1, costs.oneOfFew), out.Put("together", 1, costs.together)
	out.Values["grows"] = told.Value{Value: many / few, Spread: out.Values["oneOfMany"].Spread}
	out.Values["proportion"] = told.Value{Value: together / many, Spread: out.Values["together"].Spread}
	out.Notes = []string{
		"1,000 rules of one principal over 200 labels, each with one label, 4 of 10 properties and, every second one, a condition on a value; " +
			"100,000 nodes of one or two labels with 10 properties each. Every engine's answers were compared with a plain walk over all rules on the first 5,000 nodes. " +
			"OPA gets its input as its own syntax tree, and its answer is read from it. Time is CPU time of the deciding thread, so what a collector does on the other core is not counted, to the peers' good.",
		fmt.Sprintf("A set of %d rules, %d of them alice's, takes %.0f bytes a rule; her rules are found and compiled in %.2f ms. "+
			"A change of one rule costs %.1f us there and %.1f us in a set of %d; of a thousand rules at once, %.1f us each.",
			manyRules, ruleCount, costs.bytes, out.Values["compile"].Value, many/1e3, few/1e3, fewRules, together/1e3),
	}
	return out
}

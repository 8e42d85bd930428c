package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

// opaEngine asks a prepared query. Everything that can be done before is: the
// policy is compiled, the input is OPA's own syntax tree already, the answer is
// read from the tree without a detour over JSON, and one transaction serves all.
type opaEngine struct {
	ctx   context.Context //nolint:containedctx // an engine has one caller
	query rego.PreparedEvalQuery
	txn   storage.Transaction
	form  opaForm
	// inputs are asked one after the other; of says for how many decisions, and
	// which, each of them counts.
	inputs []ast.Value
	of     []int
	out    []decision
}

// opaForm is how nodes are put to a policy.
type opaForm struct {
	// split asks for each label of a node by itself, together asks for so many
	// nodes at once; otherwise a question is a node.
	split    bool
	together int
}

// indexed is a written rule for each rule, found by OPA's own index on the
// label. The condition hides in a function: in the index, hundreds of references
// to properties make it deep and slow.
func indexed(rules []grant) string {
	var b strings.Builder
	b.WriteString("package rules\n\nsame(a, b) if a == b\n\n")
	for i := range rules {
		r := &rules[i]
		condition := ""
		if r.is != "" {
			condition = fmt.Sprintf("; same(input.%s, %q)", propName(r.when), r.is)
		}
		fmt.Fprintf(&b, "answer contains %d if { input.label == %q%s }\n", r.props, r.label, condition)
	}
	return b.String()
}

// lookup finds rules in data: those without a condition folded into one number
// a label, those with one by label, property and value, all of them hashes.
const lookup = `package rules

of(node) := {m | some l in node.labels; m := data.free[l]} |
	{m | some l in node.labels; some p, values in data.when[l]; m := values[node[p]]}

`

func lookupData(rules []grant) map[string]any {
	free, when := map[string]mask{}, map[string]map[string]map[string]mask{}
	for i := range rules {
		r := &rules[i]
		if r.is == "" {
			free[r.label] |= r.props
			continue
		}
		if when[r.label] == nil {
			when[r.label] = map[string]map[string]mask{}
		}
		p := propName(r.when)
		if when[r.label][p] == nil {
			when[r.label][p] = map[string]mask{}
		}
		when[r.label][p][r.is] |= r.props
	}
	return map[string]any{"free": plainOf(free), "when": plainOf(when)}
}

// plainOf makes nested maps of what OPA's store takes.
func plainOf(v any) any {
	out := map[string]any{}
	switch v := v.(type) {
	case map[string]mask:
		for k, m := range v {
			out[k] = int(m)
		}
	case map[string]map[string]mask:
		for k, m := range v {
			out[k] = plainOf(m)
		}
	case map[string]map[string]map[string]mask:
		for k, m := range v {
			out[k] = plainOf(m)
		}
	}
	return out
}

// newOPA makes an engine of a policy and its data.
func newOPA(ctx context.Context, policy string, data map[string]any, form opaForm) (engine, error) {
	store := inmem.NewFromObjectWithOpts(data, inmem.OptReturnASTValuesOnRead(true), inmem.OptRoundTripOnWrite(false))
	query, err := rego.New(rego.Query("data.rules.answer"), rego.Module("rules.rego", policy), rego.Store(store)).PrepareForEval(ctx)
	if err != nil {
		return nil, err
	}
	txn, err := store.NewTransaction(ctx)
	if err != nil {
		return nil, err
	}
	return &opaEngine{ctx: ctx, query: query, txn: txn, form: form}, nil
}

func opaIndexed(ctx context.Context) func([]grant) (engine, error) {
	return func(rules []grant) (engine, error) {
		return newOPA(ctx, indexed(rules), map[string]any{}, opaForm{split: true})
	}
}

func opaLookup(ctx context.Context) func([]grant) (engine, error) {
	return func(rules []grant) (engine, error) {
		return newOPA(ctx, lookup+"answer := of(input)\n", lookupData(rules), opaForm{})
	}
}

func opaBatch(ctx context.Context, together int) func([]grant) (engine, error) {
	return func(rules []grant) (engine, error) {
		return newOPA(ctx, lookup+"answer := [of(node) | some node in input.nodes]\n", lookupData(rules), opaForm{together: together})
	}
}

// opaNode is a node in OPA's own form, with label or labels.
func opaNode(n *node, labels *ast.Term, name string) *ast.Term {
	pairs := [][2]*ast.Term{{ast.StringTerm(name), labels}}
	for p, v := range n.values {
		pairs = append(pairs, [2]*ast.Term{ast.StringTerm(propName(p)), ast.StringTerm(v)})
	}
	return ast.ObjectTerm(pairs...)
}

func (e *opaEngine) load(nodes []node) error {
	e.inputs, e.of, e.out = nil, nil, make([]decision, len(nodes))
	add := func(t *ast.Term, of int) { e.inputs, e.of = append(e.inputs, t.Value), append(e.of, of) }
	var held []*ast.Term
	for i := range nodes {
		n := &nodes[i]
		if e.form.split {
			for _, label := range n.labels {
				add(opaNode(n, ast.StringTerm(label), "label"), i)
			}
			continue
		}
		labels := make([]*ast.Term, len(n.labels))
		for j, label := range n.labels {
			labels[j] = ast.StringTerm(label)
		}
		t := opaNode(n, ast.ArrayTerm(labels...), "labels")
		if e.form.together == 0 {
			add(t, i)
			continue
		}
		if held = append(held, t); len(held) == e.form.together || i == len(nodes)-1 {
			add(ast.ObjectTerm([2]*ast.Term{ast.StringTerm("nodes"), ast.ArrayTerm(held...)}), i+1-len(held))
			held = nil
		}
	}
	return nil
}

func (e *opaEngine) answers(out []decision) error {
	copy(out, e.out)
	return nil
}

func (e *opaEngine) decide() error {
	clear(e.out)
	asIs := rego.EvalGenerateJSON(func(t *ast.Term, _ *rego.EvalContext) (any, error) { return t, nil })
	for i, input := range e.inputs {
		rs, err := e.query.Eval(e.ctx, rego.EvalParsedInput(input), rego.EvalTransaction(e.txn), asIs)
		if err != nil {
			return err
		}
		if len(rs) != 1 {
			return fmt.Errorf("the policy gave %d results", len(rs))
		}
		t, ok := rs[0].Expressions[0].Value.(*ast.Term)
		if !ok {
			return fmt.Errorf("the policy answered a %T", rs[0].Expressions[0].Value)
		}
		if err := read(t, e.out[e.of[i]:]); err != nil {
			return err
		}
	}
	return nil
}

// read adds up the numbers of a set, or of each set of an array.
func read(t *ast.Term, out []decision) error {
	switch v := t.Value.(type) {
	case ast.Set:
		return v.Iter(func(m *ast.Term) error {
			n, ok := m.Value.(ast.Number)
			if !ok {
				return fmt.Errorf("the policy's set has %v", m)
			}
			bits, ok := n.Int()
			if !ok {
				return fmt.Errorf("the policy's set has %v", m)
			}
			out[0].visible = true
			out[0].props |= mask(bits)
			return nil
		})
	case *ast.Array:
		for i := range v.Len() {
			if err := read(v.Elem(i), out[i:]); err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("the policy answered %v", t)
	}
}

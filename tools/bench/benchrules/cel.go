package main

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// celEngine finds rules by label and asks a program for each condition. What has
// no condition needs no program.
type celEngine struct {
	of    map[string][]celRule
	nodes []node
	out   []decision
}

type celRule struct {
	props mask
	when  cel.Program // nil when there is no condition
}

func newCEL(rules []grant) (engine, error) {
	var options []cel.EnvOption
	for p := range propCount {
		options = append(options, cel.Variable(propName(p), cel.StringType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, err
	}
	e := &celEngine{of: map[string][]celRule{}}
	for i := range rules {
		r := &rules[i]
		own := celRule{props: r.props}
		if r.is != "" {
			tree, issues := env.Compile(fmt.Sprintf("%s == %q", propName(r.when), r.is))
			if err := issues.Err(); err != nil {
				return nil, err
			}
			if own.when, err = env.Program(tree, cel.EvalOptions(cel.OptOptimize)); err != nil {
				return nil, err
			}
		}
		e.of[r.label] = append(e.of[r.label], own)
	}
	return e, nil
}

func (e *celEngine) load(nodes []node) error {
	e.nodes, e.out = nodes, make([]decision, len(nodes))
	return nil
}

// values lets programs read a node's properties where they are.
type values struct{ node *node }

// ResolveName returns the value of p0 to p9.
func (v *values) ResolveName(name string) (any, bool) {
	if len(name) != 2 || name[0] != 'p' {
		return nil, false
	}
	return v.node.values[name[1]-'0'], true
}

// Parent is for activations over others.
func (v *values) Parent() cel.Activation { return nil }

func (e *celEngine) answers(out []decision) error {
	copy(out, e.out)
	return nil
}

func (e *celEngine) decide() error {
	var v values
	for i := range e.nodes {
		v.node = &e.nodes[i]
		var d decision
		for _, label := range v.node.labels {
			for _, r := range e.of[label] {
				if r.when != nil {
					met, _, err := r.when.Eval(&v)
					if err != nil {
						return err
					}
					if met != types.True {
						continue
					}
				}
				d.visible = true
				d.props |= r.props
			}
		}
		e.out[i] = d
	}
	return nil
}

package main

import (
	"fmt"
	"strconv"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// cedarEngine authorizes a node for each of its labels with the policies of that
// label alone: a policy for each rule. The answer names the policies that hold.
type cedarEngine struct {
	of    map[string]*cedar.PolicySet
	props map[cedar.PolicyID]mask
	nodes []node
	held  []types.Entity
	ask   cedar.Request
	out   []decision
}

func newCedar(rules []grant) (engine, error) {
	e := &cedarEngine{
		of: map[string]*cedar.PolicySet{}, props: map[cedar.PolicyID]mask{},
		ask: cedar.Request{
			Principal: cedar.NewEntityUID("User", "alice"), Action: cedar.NewEntityUID("Action", "view"),
			Context: cedar.NewRecord(nil),
		},
	}
	for i := range rules {
		r := &rules[i]
		text := "permit (principal, action, resource);"
		if r.is != "" {
			text = fmt.Sprintf("permit (principal, action, resource) when { resource.%s == %q };", propName(r.when), r.is)
		}
		var p cedar.Policy
		if err := p.UnmarshalCedar([]byte(text)); err != nil {
			return nil, err
		}
		if e.of[r.label] == nil {
			e.of[r.label] = cedar.NewPolicySet()
		}
		id := cedar.PolicyID(strconv.Itoa(i))
		e.of[r.label].Add(id, &p)
		e.props[id] = r.props
	}
	return e, nil
}

func (e *cedarEngine) load(nodes []node) error {
	e.nodes, e.held, e.out = nodes, make([]types.Entity, len(nodes)), make([]decision, len(nodes))
	for i := range nodes {
		values := cedar.RecordMap{}
		for p, v := range nodes[i].values {
			values[cedar.String(propName(p))] = cedar.String(v)
		}
		e.held[i] = types.Entity{UID: cedar.NewEntityUID("Node", cedar.String(strconv.Itoa(i))), Attributes: cedar.NewRecord(values)}
	}
	return nil
}

// one is the only entity that a policy here can ask for.
type one struct{ entity *types.Entity }

// Get returns the node when it is the one that is judged.
func (o *one) Get(uid cedar.EntityUID) (types.Entity, bool) {
	if uid == o.entity.UID {
		return *o.entity, true
	}
	return types.Entity{}, false
}

func (e *cedarEngine) answers(out []decision) error {
	copy(out, e.out)
	return nil
}

func (e *cedarEngine) decide() error {
	var get one
	for i := range e.held {
		get.entity = &e.held[i]
		e.ask.Resource = e.held[i].UID
		var d decision
		for _, label := range e.nodes[i].labels {
			policies := e.of[label]
			if policies == nil {
				continue
			}
			verdict, why := cedar.Authorize(policies, &get, e.ask)
			if len(why.Errors) > 0 {
				return fmt.Errorf("policy %s: %s", why.Errors[0].PolicyID, why.Errors[0].Message)
			}
			d.visible = d.visible || verdict == cedar.Allow
			for _, r := range why.Reasons {
				d.props |= e.props[r.PolicyID]
			}
		}
		e.out[i] = d
	}
	return nil
}

package main

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
)

// The ids of the model: an entity for each label, and its properties.
const (
	firstEntity   = 9_000
	firstProperty = 20_000
)

func entityID(label int) rule.ID      { return rule.ID(firstEntity + label) }
func propertyID(label, p int) rule.ID { return rule.ID(firstProperty + label*propCount + p) }

// makeModel is the graph model of the workload.
func makeModel() *rule.Model {
	m := &rule.Model{}
	for label := range labelCount {
		e := rule.Entity{ID: entityID(label), Title: labelName(label)}
		for p := range propCount {
			e.Properties = append(e.Properties, rule.Property{ID: propertyID(label, p), Title: propName(p)})
		}
		m.Entities = append(m.Entities, e)
	}
	return m
}

// stored is a rule of the workload as the registry holds it, for a user.
func stored(r *grant, id int64, user string) rule.Rule {
	label, err := strconv.Atoi(r.label[1:])
	if err != nil {
		panic(err) // labels are made here
	}
	out := rule.Rule{
		ID: id, Name: fmt.Sprintf("loader/%08d", id), Active: true, Users: []string{user},
		Creator: rule.Creator{Issuer: "https://id.example.com/realms/muster", Subject: "8c9e6679-7425-40de-944b-e07fc1f90ae7"}, CreatedBy: "service-account-loader",
	}
	grant := rule.EntityGrant{ID: entityID(label)}
	for p := range propCount {
		if r.props>>p&1 != 0 {
			grant.Properties = append(grant.Properties, propertyID(label, p))
		}
	}
	out.Entities = []rule.EntityGrant{grant}
	if r.is != "" {
		out.Conditions = []rule.Condition{{Property: propertyID(label, r.when), Value: r.is}}
	}
	return out
}

// musterEngine asks a compiled program about a request that was parsed, as the
// gateway does.
type musterEngine struct {
	program *rules.Program
	request *element.Request
	result  rules.Result
	// again, when it is not nil, is done before each decision.
	again func(*musterEngine) error
	body  []byte
}

// own are alice's rules.
func own(all []grant) []rule.Rule {
	out := make([]rule.Rule, len(all))
	for i := range all {
		out[i] = stored(&all[i], int64(i+1), "alice")
	}
	return out
}

// newMuster makes the engine that is judged, or one that does more before each
// decision.
func newMuster(again func(*musterEngine) error) func([]grant) (engine, error) {
	return func(all []grant) (engine, error) {
		return &musterEngine{program: rules.Compile(makeModel(), slices.Values(own(all))), again: again}, nil
	}
}

// parseAgain has the request's bytes read and validated as well.
func parseAgain(e *musterEngine) error {
	e.request.Release()
	var err error
	e.request, err = element.ParseRequest(e.body, element.Options{})
	return err
}

// newCold compiles the rules before each decision, so that nothing was folded.
func newCold(all []grant) (engine, error) {
	model, held := makeModel(), own(all)
	return &musterEngine{again: func(e *musterEngine) error {
		e.program = rules.Compile(model, slices.Values(held))
		return nil
	}}, nil
}

func (e *musterEngine) load(nodes []node) error {
	if e.request != nil {
		e.request.Release()
	}
	e.body = requestBody(nodes)
	var err error
	e.request, err = element.ParseRequest(e.body, element.Options{})
	return err
}

func (e *musterEngine) decide() error {
	if e.again != nil {
		if err := e.again(e); err != nil {
			return err
		}
	}
	e.program.Decide(e.request, &e.result)
	return nil
}

func (e *musterEngine) answers(out []decision) error {
	if got := e.result.Nodes.Len(); got != len(out) {
		return fmt.Errorf("%d nodes were decided of %d", got, len(out))
	}
	for i := range out {
		out[i] = decision{visible: e.result.Nodes.Visible(i)}
		if !out[i].visible {
			continue
		}
		form := e.result.Nodes.Form(i)
		for p := range propCount {
			if form == nil || form.Keeps(p) {
				out[i].props |= 1 << p
			}
		}
	}
	return nil
}

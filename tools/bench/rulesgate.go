package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	rulesCostName = "rules: us a node that they add to a filter request, N=10000 W=1 c=8"
	// Alice's rules in the gateway: as many, over as many labels, as benchrules has.
	gateLabels = 200
	gateRules  = 1_000
	gateNodes  = 10_000
)

func rulesCostProbe() probe {
	return probe{
		name: "rulescost", run: measureRulesCost,
		bars: []bar{figured(rulesCostName, "rulescost", bar{asked: 0.4, stretch: 0.2})},
	}
}

// benchProperties are those of node, in order.
var benchProperties = []string{"key", "name", "city", "path", "quote", "mass", "count", "on", "note", "tags", "pad"}

// measureRulesCost loads two gateways in turn, one with rules and one without,
// with the same bytes. The rules show every node whole, so that both have the
// same to send.
func measureRulesCost(ctx context.Context, b *bench) (f figure, err error) {
	with, err := startAlone(ctx, b, modeREST, 1, []int{gateNodes}, []string{"MUSTER_RULES_ENABLED=true"}, nil)
	if err != nil {
		return f, err
	}
	defer func() { err = with.stop(err) }()
	if err := with.gateway.grant(ctx); err != nil {
		return f, err
	}
	without, err := startAlone(ctx, b, modeREST, 1, []int{gateNodes}, nil, nil)
	if err != nil {
		return f, err
	}
	defer func() { err = without.stop(err) }()
	a, o := with.subject(), without.subject()
	a.name, o.name = "rules on", "rules off"
	e := b.plan.effort
	e.repetitions = max(e.repetitions, 3)
	all, err := measureAll(ctx, []subject{a, o}, cell{mode: modeREST, n: gateNodes, c: 8}, e)
	if err != nil {
		return f, err
	}
	more := minus(series(all[0], cpu), series(all[1], cpu))
	r := reading{value: middle(more) / gateNodes / float64(time.Microsecond)}
	r.spread = spreadOf(more, middle(more))
	f = figure{
		Title: "Rules in the gateway", Values: map[string]value{rulesCostName: r.asValue()},
		Rows: [][]string{{"gateway", "CPU ms a request", "p50 ms"}},
		Notes: []string{fmt.Sprintf("Two gateways, loaded in turn. With rules, alice has %d over %d labels, five of them on the label of the nodes; they show every node whole.",
			gateRules, gateLabels)},
	}
	for _, m := range all {
		f.Rows = append(f.Rows, []string{m.Subject, ms(m.CPU), ms(m.P50)})
	}
	return f, nil
}

// grant gives the gateway a model and alice her rules: all nodes whole by one
// rule without a condition, and beside it rules of all labels, every second one
// with a condition.
func (g *gateway) grant(ctx context.Context) error {
	admin, err := g.token(ctx, "admin")
	if err != nil {
		return err
	}
	model, rules := gateModel(), gatePost()
	for _, call := range []struct {
		method, path string
		body         any
	}{{http.MethodPut, "/api/graph-model", model}, {http.MethodPost, "/api/graph-access-rule/accessRules", rules}} {
		body, err := json.Marshal(call.body)
		if err != nil {
			return err
		}
		if _, err := g.send(ctx, call.method, "http://"+g.http+call.path, admin, "application/json", body); err != nil {
			return fmt.Errorf("%s %s: %w", call.method, call.path, err)
		}
	}
	return g.untilGranted(ctx)
}

// untilGranted waits until the gateway has taken the rules over.
func (g *gateway) untilGranted(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	const few = 2 // what the fake workers answer to them does not matter
	for {
		t, err := g.target(ctx)
		var answer []byte
		if err == nil {
			answer, err = once(ctx, t, requestBody(gateNodes))
		}
		if err == nil && len(answer) > few*nodeSize {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(errors.New("alice sees nothing although rules show her all"), err)
		case <-again.C:
		}
	}
}

type gateProperty struct {
	ID    int    `json:"id"`
	Title string `json:"title"`
}

type gateEntity struct {
	ID         int            `json:"id"`
	Title      string         `json:"title"`
	Properties []gateProperty `json:"properties"`
}

const (
	gateEntities   = 100_000 // where their ids begin
	gateProperties = 200_000
)

// gateModel has the label of the nodes first, and others.
func gateModel() map[string]any {
	var all []gateEntity
	for i := range gateLabels {
		e := gateEntity{ID: gateEntities + i, Title: fmt.Sprintf("Label%03d", i)}
		if i == 0 {
			e.Title = "Asset"
		}
		for p, title := range benchProperties {
			e.Properties = append(e.Properties, gateProperty{ID: gateProperties + i*len(benchProperties) + p, Title: title})
		}
		all = append(all, e)
	}
	return map[string]any{"entities": all, "relationships": []any{}}
}

// gatePost is the body that posts alice's rules.
func gatePost() map[string]any {
	var all []map[string]any
	for i := range gateRules {
		label := i % gateLabels
		var properties []int
		for p := range benchProperties {
			if i == 0 || (p+i)%len(benchProperties) < 4 {
				properties = append(properties, gateProperties+label*len(benchProperties)+p)
			}
		}
		r := map[string]any{
			"name": fmt.Sprintf("bench/%04d", i), "active": true, "accessLevel": "view", "users": []string{"alice"},
			"entities": []any{map[string]any{"id": gateEntities + label, "properties": properties}},
		}
		if (i/gateLabels+i)%2 == 1 {
			r["propertyValueConditions"] = []any{map[string]any{"PropertyId": properties[0], "Value": fmt.Sprintf("v%02d", i%20)}}
		}
		all = append(all, r)
	}
	return map[string]any{"ruleCreationStrategy": "DeleteAllForUser", "rules": all}
}

package verdict

import (
	"testing"

	"github.com/muster-fleet/muster/workers/element"
)

func TestNarrowAndWiden(t *testing.T) {
	const rel = `{"elementId":"r","type":"T","startNodeElementId":"a","endNodeElementId":"b","properties":{"p":1}}`
	for _, typ := range []string{"nodes", "graph"} {
		data := `[` + nodeA + `,` + nodeB + `, ` + nodeC + `,` + nodeB + `]`
		if typ == "graph" {
			data = `{"nodes":` + data + `,"relationships":[` + rel + `]}`
		}
		req := request(t, `{"parameters":{"type":"`+typ+`"},"data":`+data+`}`)
		nodes, rels := NewWhole(3), NewWhole(1)
		nodes.Hide(1)
		nodes.Strip(0, "l")
		nodes.Mask(2, "k", []byte(`"*"`))
		left, err := Narrow(req, nodes, rels)
		if err != nil {
			t.Fatal(err)
		}
		defer left.Release()
		if left.Type != req.Type || left.Nodes.Len() != 2 || left.Nodes.Places() != 2 || (left.Relationships == nil) != (req.Relationships == nil) {
			t.Fatalf("%d nodes are left", left.Nodes.Len())
		}
		if got := string(left.Nodes.Raw(1)); got != `{"properties":{"k":"*"},"labels":[],"elementId":"c"}` {
			t.Errorf("the workers would get %s", got)
		}
		worker := NewWhole(2)
		worker.Strip(0, "m")
		worker.Mask(1, "k", []byte(`0`))
		worker.Explain(0, "why")
		all := Widen(nodes, worker)
		if all.Visible(1) || len(all.Strips()) != 2 || len(all.Masks()) != 1 || string(all.Masks()[0].Value) != `0` || all.ReasonOf(0) != "why" {
			t.Errorf("%v %v", all.Strips(), all.Masks())
		}
		if !below(all, meet(nodes, NewWhole(3))) && typ == "nodes" && len(all.MasksOf(2)) == 0 {
			t.Error("widening revealed something")
		}
		worker.Hide(1)
		if all = Widen(nodes, worker); all.CountVisible() != 1 || len(all.Masks()) != 0 {
			t.Error("hidden elements keep masks")
		}
	}
}

func TestNarrowRelationships(t *testing.T) {
	const rel = `{"elementId":"r","type":"T","startNodeElementId":"a","endNodeElementId":"b","properties":{"p":1}}`
	req := request(t, `{"parameters":{"type":"relationships"},"data":[`+rel+`]}`)
	left, err := Narrow(req, nil, NewHidden(1))
	if err != nil || left.Type != element.TypeRelationships || left.Relationships.Len() != 0 {
		t.Fatal(err)
	}
	left.Release()
	defer func() {
		if recover() == nil {
			t.Error("verdicts over another batch were widened")
		}
	}()
	Widen(NewHidden(1), NewWhole(1))
}

package main

import (
	"testing"

	"github.com/muster-fleet/muster/workers/worker"
)

func TestJudge(t *testing.T) {
	for text, shown := range map[string]bool{
		`{"elementId":"1","labels":["A"],"properties":{}}`:          true,
		`{"elementId":"1","labels":["A","Secret"],"properties":{}}`: false,
	} {
		e, err := worker.ParseElement(worker.Nodes, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if v := judge(t.Context(), &worker.Principal{Username: "alice"}, e); v.Whole() != shown {
			t.Errorf("%s: %+v", text, v)
		}
	}
}

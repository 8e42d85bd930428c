package workertest

import (
	"testing"

	"github.com/muster-fleet/muster/workers/element"
)

// FuzzReply: whatever a worker answers, it is either an error or verdicts on
// exactly what was sent, and reading it again says the same.
func FuzzReply(f *testing.F) {
	sent := []string{
		`{"elementId":"1","labels":["A"],"properties":{"a":1.50,"b":"x"}}`,
		`{"elementId":"2","labels":[],"properties":{"a":9007199254740993}}`,
	}
	f.Add(requestBody(element.Nodes, sent))
	f.Add([]byte(`{"result":{"nodes":[` + sent[0] + `]}}`))
	f.Add([]byte(`{"result":{"nodes":[{"elementId":"\u0031","labels":["A"],"properties":{"b":null}}]}}`))
	f.Add([]byte(`{"description":"no","error":"invalid_token"}`))
	batch, err := sentBatch(element.Nodes, sent, false)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		out, err := readReply(batch, body, false)
		if err != nil {
			if out.verdicts != nil {
				t.Fatal("verdicts beside an error")
			}
		} else if len(out.verdicts) != len(sent) || out.shown() != len(out.elements) {
			t.Fatalf("%d verdicts, %d shown, %d elements", len(out.verdicts), out.shown(), len(out.elements))
		}
		if r := readRefusal(400, "application/json", body); r.flaw == nil && (r.code == "" || r.description == "") {
			t.Fatal("an error body without its texts passes")
		}
	})
}

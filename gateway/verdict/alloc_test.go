package verdict

import (
	"bytes"
	"io"
	"testing"

	"github.com/muster-fleet/muster/workers/element"
)

// TestAllocationsDoNotGrowWithElements: what a request costs in allocations is
// the same for few and many elements, but for one in a hundred.
func TestAllocationsDoNotGrowWithElements(t *testing.T) {
	if underRace {
		return // the detector has pools drop what they keep at random; the tests part counts
	}
	for _, n := range []int{1_000, 20_000} {
		r, err := element.ParseRequest(sampleBody(n), element.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range styles() {
			reply := sampleReply(r.Nodes, s)
			var hint Hint
			var reader bytes.Reader
			got := testing.AllocsPerRun(5, func() {
				reader.Reset(reply)
				set, err := ReadReply(&reader, r.Nodes, ReplyOptions{}, &hint)
				if err != nil {
					t.Fatal(err)
				}
				all := NewWhole(n)
				Meet(all, set)
				if _, err := NewAnswer(r, all, nil, AnswerOptions{}).WriteTo(io.Discard); err != nil {
					t.Fatal(err)
				}
			})
			if limit := 60 + float64(n)/100; got > limit {
				t.Errorf("%s: %v allocations for %d elements", s.name, got, n)
			}
		}
		r.Release()
	}
}

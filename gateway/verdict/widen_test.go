package verdict

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/workers/element"
)

// selected is what a set without masks leaves, as rules would write it down.
func selected(b *element.Batch, s *Set) *element.Selection {
	sel := &element.Selection{}
	sel.Reset(b.Len())
	for i := range b.Len() {
		if !s.Visible(i) {
			continue
		}
		n := b.PropertyCount(i)
		keep, names := make([]uint64, (n+63)/64), []string{}
		j := 0
		for name := range b.Properties(i) {
			text := string(element.AppendText(nil, name))
			if s.formOrStrip(i, text) {
				names = append(names, text)
			} else {
				keep[j>>6] |= 1 << (j & 63)
			}
			j++
		}
		if len(names) == 0 {
			sel.Show(i, 0)
			continue
		}
		if i%2 == 0 {
			names = nil // to be read off the element
		} else {
			names = sortedNames(names)
		}
		sel.Show(i, sel.AddForm(element.NewForm(n, keep, names)))
	}
	return sel
}

// TestWideningIsAMeet: what workers say of what rules leave, and what they would
// say of everything, give the same once the rules have had their say.
func TestWideningIsAMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		req := sparseRequest(t)
		defer req.Release()
		n := req.Nodes.Len()
		rules, worker := drawStrips(t, n, "rules"), drawSet(t, n, "worker")
		by := Select(selected(req.Nodes, rules), req.Nodes)
		if !below(rules, by) {
			t.Fatal("a selection is not its strips")
		}
		rules = by.Clone() // without strips of properties that are not there
		rules.spell()
		narrowed := NewHidden(rules.CountVisible())
		at := 0
		for i := range n {
			if !rules.Visible(i) {
				continue
			}
			if worker.Visible(i) {
				narrowed.Show(at)
				for _, x := range worker.StripsOf(i) {
					narrowed.Strip(at, x.Name)
				}
				for _, x := range worker.MasksOf(i) {
					narrowed.Mask(at, x.Name, x.Value)
				}
			}
			at++
		}
		if got, want := Widen(by, narrowed), meet(rules, worker); !same2(got, want) || !below(got, by) {
			t.Fatal("widening is no meet")
		}
		wide := Widen(by, narrowed)
		for i := range n {
			if i%3 == 0 {
				wide.Hide(i)
			}
		}
		Follow(by, wide, narrowed)
		if !same2(Widen(by, narrowed), meet(wide, Widen(by, narrowed))) || narrowed.CountVisible() != wide.CountVisible() {
			t.Fatal("what was closed is not followed")
		}
	})
}

func TestWidenRefusesOtherBatches(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("verdicts over another batch were widened")
		}
	}()
	Widen(NewHidden(1), NewWhole(1))
}

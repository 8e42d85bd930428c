package verdict

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
)

func chunk(base, count uint64, visible ...byte) *workerv1.VerdictChunk {
	return &workerv1.VerdictChunk{Base: base, Count: count, Visible: visible}
}

func TestCollectorRefuses(t *testing.T) {
	with := func(c *workerv1.VerdictChunk, change func(*workerv1.VerdictChunk)) *workerv1.VerdictChunk {
		change(c)
		return c
	}
	for name, c := range map[string]struct {
		chunks []*workerv1.VerdictChunk
		reason string
	}{
		"short":        {[]*workerv1.VerdictChunk{chunk(0, 8, 0xff)}, ReasonShortReply},
		"none":         {nil, ReasonShortReply},
		"long":         {[]*workerv1.VerdictChunk{chunk(0, 12, 0xff, 0xf)}, ReasonLongReply},
		"gap":          {[]*workerv1.VerdictChunk{chunk(1, 8, 0xff)}, ReasonBadChunk},
		"overlap":      {[]*workerv1.VerdictChunk{chunk(0, 8, 0xff), chunk(7, 3, 7)}, ReasonBadChunk},
		"few bytes":    {[]*workerv1.VerdictChunk{chunk(0, 9, 0xff)}, ReasonBadChunk},
		"many bytes":   {[]*workerv1.VerdictChunk{chunk(0, 8, 0xff, 0)}, ReasonBadChunk},
		"extra bits":   {[]*workerv1.VerdictChunk{chunk(0, 3, 0xff)}, ReasonBadChunk},
		"huge count":   {[]*workerv1.VerdictChunk{chunk(0, 1<<63+8, 0xff)}, ReasonBadChunk},
		"wrapping":     {[]*workerv1.VerdictChunk{chunk(0, ^uint64(0), 0xff)}, ReasonBadChunk},
		"foreign":      {[]*workerv1.VerdictChunk{with(chunk(0, 10, 0xff, 3), func(c *workerv1.VerdictChunk) { c.Strips = []*workerv1.Strip{{Ordinal: 10}} })}, ReasonBadChunk},
		"unordered":    {[]*workerv1.VerdictChunk{with(chunk(0, 10, 0xff, 3), func(c *workerv1.VerdictChunk) { c.Strips = []*workerv1.Strip{{Ordinal: 2}, {Ordinal: 1}} })}, ReasonBadChunk},
		"strip twice":  {[]*workerv1.VerdictChunk{with(chunk(0, 10, 0xff, 3), func(c *workerv1.VerdictChunk) { c.Strips = []*workerv1.Strip{{Ordinal: 2}, {Ordinal: 2}} })}, ReasonBadChunk},
		"object mask":  {[]*workerv1.VerdictChunk{with(chunk(0, 10, 0xff, 3), func(c *workerv1.VerdictChunk) { c.Masks = []*workerv1.Mask{{Property: "a", Value: []byte(`{}`)}} })}, ReasonBadMask},
		"no JSON mask": {[]*workerv1.VerdictChunk{with(chunk(0, 10, 0xff, 3), func(c *workerv1.VerdictChunk) { c.Masks = []*workerv1.Mask{{Property: "a", Value: []byte(`nul`)}} })}, ReasonBadMask},
		"spaced mask":  {[]*workerv1.VerdictChunk{with(chunk(0, 10, 0xff, 3), func(c *workerv1.VerdictChunk) { c.Masks = []*workerv1.Mask{{Property: "a", Value: []byte(`1 `)}} })}, ReasonBadMask},
		"long mask": {[]*workerv1.VerdictChunk{with(chunk(0, 10, 0xff, 3), func(c *workerv1.VerdictChunk) {
			c.Masks = []*workerv1.Mask{{Property: "a", Value: []byte(`"` + strings.Repeat("x", MaxMask) + `"`)}}
		})}, ReasonBadMask},
		"long reason": {[]*workerv1.VerdictChunk{with(chunk(0, 10, 0xff, 3), func(c *workerv1.VerdictChunk) { c.Reasons = []*workerv1.Reason{{Code: strings.Repeat("x", 201)}} })}, ReasonBadReason},
		"far reason":  {[]*workerv1.VerdictChunk{with(chunk(0, 10, 0xff, 3), func(c *workerv1.VerdictChunk) { c.Reasons = []*workerv1.Reason{{Ordinal: 11}} })}, ReasonBadChunk},
	} {
		for _, n := range []int{10, -1} {
			err := collect(NewCollector(n, true), c.chunks, 10)
			var v *Violation
			if !errors.As(err, &v) || v.Reason != c.reason {
				t.Errorf("%s: %v, want %s", name, err, c.reason)
			}
		}
	}
	masking := chunk(0, 1, 1)
	masking.Masks = []*workerv1.Mask{{Property: "a", Value: []byte(`1`)}}
	var v *Violation
	if err := collect(NewCollector(1, false), []*workerv1.VerdictChunk{masking}, 1); !errors.As(err, &v) || v.Reason != ReasonChangedValue {
		t.Errorf("mask without leave: %v", err)
	}
}

func collect(c *Collector, chunks []*workerv1.VerdictChunk, n int) error {
	for _, x := range chunks {
		if err := c.Add(x); err != nil {
			return err
		}
	}
	_, err := c.Finish(n)
	return err
}

func TestCollectorTakes(t *testing.T) {
	c := NewCollector(-1, true)
	first := chunk(0, 3, 0b101)
	first.Strips = []*workerv1.Strip{{Ordinal: 0, Properties: []string{"b", "a", "b"}}, {Ordinal: 1, Properties: []string{"a"}}}
	first.Masks = []*workerv1.Mask{{Ordinal: 0, Property: "a", Value: []byte(`1`)}, {Ordinal: 0, Property: "c", Value: []byte(`1`)}}
	first.Reasons = []*workerv1.Reason{{Ordinal: 1, Code: "why"}}
	second := chunk(3, 70, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3e)
	for _, x := range []*workerv1.VerdictChunk{first, second, chunk(73, 0)} {
		if err := c.Add(x); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Finish(73)
	if err != nil {
		t.Fatal(err)
	}
	if s.CountVisible() != 2+69 || s.Visible(1) || s.Visible(67) || !s.Visible(72) {
		t.Errorf("%d visible", s.CountVisible())
	}
	if len(s.Strips()) != 2 || len(s.Masks()) != 1 || s.Masks()[0].Name != "c" {
		t.Errorf("strips %v, masks %v: a strip beats a mask, hidden elements have neither", s.Strips(), s.Masks())
	}
	if s.ReasonOf(1) != "why" || s.ReasonOf(0) != "" {
		t.Error("reasons")
	}
}

func TestFit(t *testing.T) {
	b := batches(t)[0]
	s := NewWhole(2)
	s.Strip(0, "absent", "n")
	s.Mask(1, "n", []byte(`15e-1`))
	s.Mask(1, "yes", []byte(`0`))
	s.Mask(1, "gone", []byte(`0`))
	s.Fit(b, 3)
	if len(s.Strips()) != 1 || s.Strips()[0].Name != "n" || len(s.Masks()) != 1 || s.Masks()[0].Name != "yes" {
		t.Errorf("strips %v, masks %v", s.Strips(), s.Masks())
	}
}

func TestSpread(t *testing.T) {
	s := NewWhole(3)
	s.Hide(1)
	s.Strip(2, "a")
	s.Mask(0, "b", []byte(`1`))
	order := []int{0, 1, 2, 0, 2}
	out := s.Spread(5, func(p int) int { return order[p] })
	if out.visible[0] != 0b11101 || len(out.Strips()) != 2 || len(out.Masks()) != 2 || out.Masks()[1].Ordinal != 3 {
		t.Errorf("%b %v %v", out.visible, out.Strips(), out.Masks())
	}
	if s.Spread(3, nil) != s {
		t.Error("nothing repeats, nothing is copied")
	}
}

func FuzzCollector(f *testing.F) {
	add := func(c *workerv1.VerdictChunk) {
		text, err := proto.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, text, 8)
	}
	add(chunk(0, 8, 0xff))
	add(chunk(0, 3, 7))
	full := chunk(0, 9, 0xff, 1)
	full.Strips = []*workerv1.Strip{{Ordinal: 2, Properties: []string{"a"}}}
	full.Masks = []*workerv1.Mask{{Ordinal: 3, Property: "b", Value: []byte(`"x"`)}}
	full.Reasons = []*workerv1.Reason{{Ordinal: 8, Code: "c"}}
	add(full)
	f.Fuzz(func(t *testing.T, a, b []byte, n int) {
		if n < -1 || n > 1<<16 {
			return
		}
		c := NewCollector(n, true)
		total := 0
		for _, text := range [][]byte{a, b} {
			var x workerv1.VerdictChunk
			if proto.Unmarshal(text, &x) != nil {
				return
			}
			if c.Add(&x) != nil {
				return
			}
			total += int(x.GetCount())
		}
		s, err := c.Finish(total)
		if err != nil || s.Len() != total || n >= 0 && total > n {
			t.Fatalf("%d verdicts: %v", total, err)
		}
		// What was collected survives another journey.
		again := NewCollector(total, true)
		for _, x := range s.AppendChunks(nil, 64) {
			if err := again.Add(x); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := again.Finish(total); err != nil || !same(got, s) {
			t.Fatal("changed on the way", err)
		}
	})
}

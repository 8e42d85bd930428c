package element

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// namesOf returns the names of element i as they are written.
func namesOf(b *Batch, i int) string {
	var all strings.Builder
	v := b.View(i)
	for j := range v.PropertyCount() {
		fmt.Fprintf(&all, "%q;", v.Property(j).Name)
	}
	return all.String()
}

// holdSkeletons fails when a number stands for two sequences of names. It
// returns how many elements share theirs with an element before.
func holdSkeletons(t interface{ Fatalf(string, ...any) }, b *Batch, body []byte) (shared int) {
	known := map[uint32]string{}
	for i := range b.Len() {
		k, names := b.Skeleton(i), namesOf(b, i)
		if k == 0 {
			continue
		}
		if before, ok := known[k]; ok {
			if shared++; before != names {
				t.Fatalf("skeleton %d of element %d: %s, before: %s\nbody: %q", k, i, names, before, body)
			}
		}
		known[k] = names
	}
	return shared
}

// TestSkeletonsHaveOneSequenceOfNames reads good and damaged bodies as a whole
// and in parts; the memory is used again, as in the pool.
func TestSkeletonsHaveOneSequenceOfNames(t *testing.T) {
	documents := 60_000
	if testing.Short() {
		documents = 6_000
	}
	g := newGen(11)
	whole, parts := new(Request), apart(nil, sooner)
	var body []byte
	read, shared := 0, 0
	for n := range documents {
		if n%8 == 0 {
			body = g.body()
		}
		text := body
		if n%8 != 0 {
			text = g.damage(body)
		}
		for _, r := range []*Request{whole, parts} {
			if r.again(text, Options{DropUnknownMembers: n%5 == 0}) != nil {
				continue
			}
			read++
			for _, k := range []Kind{Nodes, Relationships} {
				if b := r.Batch(k); b != nil {
					shared += holdSkeletons(t, b, text)
				}
			}
		}
	}
	if read == 0 || shared == 0 {
		t.Errorf("%d bodies were good, and %d elements shared a skeleton: nothing was tried", read, shared)
	}
}

// pieces of elements that look alike: names with and without escapes, long ones,
// one a prefix of the other, and white space wherever it may stand.
var (
	alikeNames  = []string{`a`, `b`, `ab`, `\u0061b`, `seven77`, `eight888`, `name of seventeen`, `name of seventeem`, strings.Repeat("n", 3000), strings.Repeat("n", 2999) + "m"}
	alikeSpace  = []string{"", "", "", "", " ", "\n", "\t "}
	alikeValues = []string{`1`, `"x"`, `"a\"b"`, `[1,2]`, `{"a":1}`, `null`, `""`, `"value,\"b\":"`}
)

func alikeElement(t *rapid.T, i int, names []string) string {
	space := rapid.SampledFrom(alikeSpace)
	one := space.Draw(t, "space")
	var e strings.Builder
	fmt.Fprintf(&e, `{"elementId":"%d","labels":["A"],"properties":{%s`, i, one)
	for k, n := range names {
		if k > 0 {
			e.WriteString("," + one)
		}
		fmt.Fprintf(&e, `"%s"%s:%s%s%s`, n, one, space.Draw(t, "before"), rapid.SampledFrom(alikeValues).Draw(t, "value"), space.Draw(t, "behind"))
	}
	e.WriteString("}}")
	return e.String()
}

// TestSkeletonsOfElementsThatLookAlike: names that come and go, grow and change
// their spelling, read from a body, from a body in parts and from columns.
func TestSkeletonsOfElementsThatLookAlike(t *testing.T) {
	parts, whole := apart(nil, sooner), new(Request)
	stream := &parser{}
	rapid.Check(t, func(t *rapid.T) {
		names := []string{}
		all := make([]string, rapid.IntRange(1, 24).Draw(t, "elements"))
		for i := range all {
			names = alter(t, names)
			all[i] = alikeElement(t, i, names)
		}
		body := []byte(`{"parameters":{"type":"nodes"},"data":[` + strings.Join(all, ",") + `]}`)
		for _, r := range []*Request{whole, parts} {
			if err := r.again(body, Options{}); err != nil {
				t.Fatalf("%v\nbody: %q", err, body)
			}
			holdSkeletons(t, r.Nodes, body)
		}
		data, starts, ends := columnsOf(all...)
		b := &Batch{}
		b.reset(Nodes, data)
		if err := b.columns(stream, 0, starts, ends); err != nil {
			t.Fatalf("%v\n%q", err, data)
		}
		holdSkeletons(t, b, data)
	})
}

// alter leaves the names as they are, most of the time.
func alter(t *rapid.T, names []string) []string {
	name := rapid.SampledFrom(alikeNames).Draw(t, "name")
	switch at := rapid.IntRange(0, len(names)).Draw(t, "at"); rapid.IntRange(0, 6).Draw(t, "change") {
	case 0:
		return names[:at]
	case 1:
		if !slices.ContainsFunc(names, func(n string) bool { return oneName(n, name) }) {
			return slices.Insert(slices.Clone(names), at, name)
		}
	case 2:
		names = slices.Clone(names)
		slices.Reverse(names)
	case 3:
		for k, n := range names {
			if n != name && oneName(n, name) {
				names = slices.Clone(names)
				names[k] = name
			}
		}
	}
	return names
}

// oneName reports whether two spellings are one name.
func oneName(a, b string) bool {
	return strings.ReplaceAll(a, `\u0061`, "a") == strings.ReplaceAll(b, `\u0061`, "a")
}

// TestElementsThatLookAlikeShareASkeleton: values, labels and ids may differ.
func TestElementsThatLookAlikeShareASkeleton(t *testing.T) {
	var all []string
	for i := range 500 {
		all = append(all, fmt.Sprintf(`{"elementId":"%d","labels":["L%d"],"properties":{"a":%d,"b":"%d"}}`, i, i%7, i, i))
	}
	body := []byte(`{"parameters":{"type":"nodes"},"data":[` + strings.Join(all, ",") + `]}`)
	for parts, r := range map[uint32]*Request{1: new(Request), 4: apart(nil, sooner)} {
		if err := r.again(body, Options{}); err != nil {
			t.Fatal(err)
		}
		most := uint32(0)
		for i := range r.Nodes.Len() {
			most = max(most, r.Nodes.Skeleton(i))
		}
		if most != parts || holdSkeletons(t, r.Nodes, body) != 500-int(parts) {
			t.Errorf("in %d parts: %d skeletons", parts, most)
		}
	}
}

// TestKindsInTurnShareSkeletons: elements of a few kinds, in any order, have one
// number for each kind, also where one kind's names begin another's; and where
// the kinds are too many to be remembered, no number stands for two.
func TestKindsInTurnShareSkeletons(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kinds := [][]string{{}}
		for k := range rapid.IntRange(1, 2*maxShapes).Draw(t, "kinds") {
			from := rapid.SampledFrom(kinds).Draw(t, "from")
			kinds = append(kinds, append(slices.Clone(from), fmt.Sprint("name", k)))
		}
		order := rapid.SliceOfN(rapid.IntRange(0, len(kinds)-1), 1, 80).Draw(t, "order")
		var all []string
		for i, k := range order {
			all = append(all, fmt.Sprintf(`{"elementId":"%d","labels":[],"properties":{`, i))
			for j, n := range kinds[k] {
				if j > 0 {
					all[i] += ","
				}
				all[i] += fmt.Sprintf(`"%s":%d`, n, j)
			}
			all[i] += "}}"
		}
		body := []byte(`{"parameters":{"type":"nodes"},"data":[` + strings.Join(all, ",") + `]}`)
		r := new(Request)
		if err := r.again(body, Options{}); err != nil {
			t.Fatal(err)
		}
		holdSkeletons(t, r.Nodes, body)
		used := map[int]bool{}
		for i, k := range order {
			used[k] = true
			if r.Nodes.Skeleton(i) == 0 {
				t.Fatalf("element %d has no skeleton\nbody: %s", i, body)
			}
		}
		if len(kinds) <= maxShapes && r.Nodes.Skeletons() != len(used) {
			t.Errorf("%d skeletons for %d kinds\nbody: %s", r.Nodes.Skeletons(), len(used), body)
		}
	})
}

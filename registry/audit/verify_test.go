package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// line is a row as a store holds it.
type line struct {
	row Row
	mac []byte
}

// log is what a store holds: rows in the order of their numbers, heads and the end.
type log struct {
	lines []line
	heads []Head
	end   Head
}

// chain writes n rows with the keys, behind `before` rows without a mac, and signs
// a head each `every` rows.
func chain(keys *Keys, before, n, every int) *log {
	var l log
	for i := 1; i <= before; i++ {
		l.lines = append(l.lines, line{row: testRow(int64(i))})
	}
	for i := before + 1; i <= before+n; i++ {
		l.append(keys, testRow(int64(i)))
		if every > 0 && i%every == 0 {
			l.sign(keys)
		}
	}
	return &l
}

func (l *log) append(keys *Keys, r Row) {
	l.end.MAC = keys.Seal(l.end.MAC, &r)
	l.end.Number = r.Number
	l.lines = append(l.lines, line{r, l.end.MAC})
}

func (l *log) sign(keys *Keys) {
	h := l.end
	h.At = testRow(1).At
	keys.SignHead(&h)
	l.heads = append(l.heads, h)
}

func (l *log) verify(keys *Keys, known ...Head) Report {
	v := NewVerifier(keys, known...)
	heads := l.heads
	for i := range l.lines {
		r := l.lines[i].row
		for len(heads) > 0 && heads[0].Number <= r.Number {
			v.Head(heads[0])
			heads = heads[1:]
		}
		v.Row(&r, l.lines[i].mac)
	}
	for _, h := range heads {
		v.Head(h)
	}
	v.End(l.end.Number, l.end.MAC)
	return v.Report()
}

// at returns the index of a row.
func (l *log) at(n int64) int {
	return slices.IndexFunc(l.lines, func(x line) bool { return x.row.Number == n })
}

func (l *log) row(n int64) *Row { return &l.lines[l.at(n)].row }

// renumber gives all rows from n on a number that is d more.
func (l *log) renumber(n, d int64) {
	for i := range l.lines {
		if r := &l.lines[i].row; r.Number >= n {
			r.Number += d
		}
	}
}

func (l *log) remove(first, last int64) {
	l.lines = slices.DeleteFunc(l.lines, func(x line) bool { return x.row.Number >= first && x.row.Number <= last })
}

func (l *log) insert(x line) {
	at := slices.IndexFunc(l.lines, func(y line) bool { return y.row.Number >= x.row.Number })
	if at < 0 {
		at = len(l.lines)
	}
	l.lines = slices.Insert(l.lines, at, x)
}

// swap gives two rows each other's numbers.
func (l *log) swap(a, b int64) {
	i, j := l.at(a), l.at(b)
	l.lines[i].row.Number, l.lines[j].row.Number = b, a
	l.lines[i], l.lines[j] = l.lines[j], l.lines[i]
}

func shortly(r Report) string {
	var all []string
	for _, f := range r.Findings {
		all = append(all, fmt.Sprintf("%s %d-%d", f.Kind, f.First, f.Last))
	}
	return strings.Join(all, ", ")
}

func TestWholeLog(t *testing.T) {
	for name, keys := range map[string]*Keys{"a key": testKeys(t, 1), "no key": nil} {
		l := chain(keys, 5, 95, 10)
		got := l.verify(keys, l.heads[3])
		if !got.OK || got.Unchained != (Span{1, 5, 5}) || got.Looked != (Span{1, 100, 100}) || got.Heads != 11 || got.End != l.end.String() {
			t.Errorf("%s: %+v", name, got)
		}
		if len(got.Keys) != 1 || got.Keys[0] != (KeyUse{keys.Current(), Span{6, 100, 95}}) {
			t.Errorf("%s: keys %+v", name, got.Keys)
		}
	}
	empty := (&log{}).verify(nil)
	if !empty.OK || empty.End != "" {
		t.Errorf("nothing: %+v", empty)
	}
}

// What is done to a log is found, and it is said what it was and where.
func TestTampering(t *testing.T) {
	keys := testKeys(t, 1)
	forged := func(n int64) line {
		r := testRow(n)
		r.Action, r.KeyID = "user_group.member_added", keys.Current()
		return line{r, bytes.Repeat([]byte{1}, Size)}
	}
	for name, c := range map[string]struct {
		tamper func(l *log)
		want   string
	}{
		"nothing":                    {func(*log) {}, ""},
		"a column":                   {func(l *log) { l.row(7).Username = "bob" }, "edited 7-7"},
		"the first row":              {func(l *log) { l.row(4).Result = "denied" }, "edited 4-4"},
		"the last row":               {func(l *log) { l.row(30).After = nil }, "edited 30-30"},
		"a mac":                      {func(l *log) { l.lines[l.at(7)].mac = make([]byte, Size) }, "edited 7-7"},
		"a column and the mac":       {func(l *log) { l.lines[l.at(7)] = forged(7) }, "edited 7-7, edited 8-8"},
		"a mac taken away":           {func(l *log) { l.lines[l.at(7)].mac = nil }, "edited 7-7, edited 8-8"},
		"the last mac":               {func(l *log) { l.lines[l.at(30)].mac = make([]byte, Size) }, "edited 30-30"},
		"rows before the chain":      {func(l *log) { l.row(2).Username = "bob" }, ""},
		"two rows far apart":         {func(l *log) { l.row(7).Username, l.row(20).Address = "bob", "" }, "edited 7-7, edited 20-20"},
		"a row removed":              {func(l *log) { l.remove(7, 7) }, "removed 7-7"},
		"rows removed":               {func(l *log) { l.remove(7, 9) }, "removed 7-9"},
		"the first of all removed":   {func(l *log) { l.remove(1, 1) }, "removed 1-1"},
		"the chain's first removed":  {func(l *log) { l.remove(4, 4) }, "removed 4-4"},
		"removed, numbered anew":     {func(l *log) { l.remove(7, 7); l.renumber(8, -1) }, "removed 7-7"},
		"two removed, numbered anew": {func(l *log) { l.remove(7, 8); l.renumber(9, -2) }, "removed 7-7"},
		"the chain's first, anew":    {func(l *log) { l.remove(4, 4); l.renumber(5, -1) }, "removed 4-4"},
		"neighbours swapped":         {func(l *log) { l.swap(7, 8) }, "reordered 7-8"},
		"others swapped":             {func(l *log) { l.swap(7, 21) }, "reordered 7-21"},
		"the last two swapped":       {func(l *log) { l.swap(29, 30) }, "reordered 29-30"},
		"the first two swapped":      {func(l *log) { l.swap(4, 5) }, "reordered 4-5"},
		"three in a ring":            {func(l *log) { l.swap(7, 14); l.swap(14, 21) }, "reordered 7-14, reordered 14-21, reordered 7-21"},
		"swapped, macs left": {func(l *log) {
			a, b := l.at(7), l.at(12)
			l.swap(7, 12)
			l.lines[a].mac, l.lines[b].mac = l.lines[b].mac, l.lines[a].mac
		}, "reordered 7-12"},
		"a row put behind the last": {func(l *log) { l.insert(forged(31)) }, "inserted 31-31"},
		"put there, numbered anew":  {func(l *log) { l.renumber(7, 1); l.insert(forged(7)); l.end.Number++ }, "inserted 7-7, cut_tail 31-31"},
		"two, numbered anew":        {func(l *log) { l.renumber(7, 2); l.insert(forged(7)); l.insert(forged(8)) }, "inserted 7-8"},
		"before the last, anew":     {func(l *log) { l.renumber(30, 1); l.insert(forged(30)); l.end.Number++ }, "inserted 30-30"},
		"in front of the first":     {func(l *log) { l.renumber(4, 1); l.insert(forged(4)) }, "inserted 4-4"},
		"the tail cut":              {func(l *log) { l.remove(28, 30) }, "cut_tail 28-30"},
		"the tail cut, state too":   {func(l *log) { l.remove(28, 30); l.end = Head{Number: 27, MAC: l.lines[l.at(27)].mac} }, ""},
		"cut below a stored head":   {func(l *log) { l.remove(18, 30); l.end = Head{Number: 17, MAC: l.lines[l.at(17)].mac} }, "cut_tail 18-22"},
		"the state's mac":           {func(l *log) { l.end.MAC = make([]byte, Size) }, "edited 30-30"},
		"a head's mac":              {func(l *log) { l.heads[0].MAC = make([]byte, Size) }, "bad_head 11-11"},
		"a head's number":           {func(l *log) { l.heads[1].Number = 40 }, "bad_head 40-40"},
		"the key id":                {func(l *log) { l.row(7).KeyID = "ffffffff" }, "unknown_key 7-7"},
		"chained without the key": {func(l *log) {
			prev := l.lines[l.at(6)].mac
			for n := int64(7); n <= 30; n++ {
				r := l.row(n)
				r.Username = "bob"
				prev = (*Keys)(nil).Seal(prev, r)
				l.lines[l.at(n)].mac = prev
			}
			l.end.MAC, l.heads = prev, nil
		}, "key_dropped 7-30"},
	} {
		l := chain(keys, 3, 27, 11)
		c.tamper(l)
		got := l.verify(keys)
		if shortly(got) != c.want || got.OK != (c.want == "") {
			t.Errorf("%s: %s, want %s", name, shortly(got), c.want)
		}
	}
}

// A head that was kept elsewhere finds what the store itself cannot tell.
func TestKnownHead(t *testing.T) {
	l := chain(nil, 0, 30, 10)
	kept := l.end
	l.remove(25, 30)
	l.heads, l.end = nil, Head{Number: 24, MAC: l.lines[23].mac}
	if got := l.verify(nil); !got.OK {
		t.Fatalf("without it: %s", shortly(got))
	}
	if got := l.verify(nil, kept); shortly(got) != "cut_tail 25-30" {
		t.Errorf("a cut tail: %s", shortly(got))
	}
	// Without a key, a whole history can be replaced by another that is right in itself.
	other := chain(nil, 0, 0, 0)
	for n := int64(1); n <= 40; n++ {
		r := testRow(n)
		r.Username = "bob"
		other.append(nil, r)
	}
	if got := other.verify(nil); !got.OK {
		t.Fatalf("without it: %s", shortly(got))
	}
	if got := other.verify(nil, kept); shortly(got) != "replaced 30-30" {
		t.Errorf("a replaced history: %s", shortly(got))
	}
}

func TestKeysInTurn(t *testing.T) {
	older, newer := testKeys(t, 1), testKeys(t, 2)
	l := chain(nil, 2, 3, 0)
	for n := int64(6); n <= 10; n++ {
		l.append(older, testRow(n))
	}
	for n := int64(11); n <= 15; n++ {
		l.append(newer, testRow(n))
	}
	got := l.verify(newer)
	if !got.OK || len(got.Keys) != 3 || got.Keys[0].Rows != 3 || got.Keys[2].Last != 15 {
		t.Errorf("%+v", got)
	}
	if got := l.verify(older); shortly(got) != "unknown_key 11-15" {
		t.Errorf("without the newer key: %s", shortly(got))
	}
	if got := l.verify(nil); shortly(got) != "unknown_key 6-15" && shortly(got) != "unknown_key 6-10, unknown_key 11-15" {
		t.Errorf("without keys: %s", shortly(got))
	}
}

// prune does what retention does.
func (l *log) prune(keys *Keys, through int64) {
	at := slices.IndexFunc(l.heads, func(h Head) bool { return h.Number == through })
	end := l.heads[at]
	l.heads = l.heads[at:]
	rows := int64(l.at(through) + 1)
	l.remove(1, through)
	r := testRow(l.end.Number + 1)
	r.Action = ActionPruned
	r.After, _ = json.Marshal(Pruned{Through: through, MAC: hex.EncodeToString(end.MAC), Rows: rows})
	l.append(keys, r)
}

func TestRetention(t *testing.T) {
	keys := testKeys(t, 1)
	l := chain(keys, 3, 47, 10)
	tenth, twentieth, whole := l.heads[0], l.heads[1], l.end
	l.prune(keys, 10)
	l.prune(keys, 20)
	got := l.verify(keys, twentieth, whole)
	if !got.OK || got.Pruned != 20 || got.Looked.First != 21 || len(got.Notes) != 0 {
		t.Errorf("%+v", got)
	}
	if got := l.verify(keys, tenth); !got.OK || len(got.Notes) != 1 {
		t.Errorf("a head of what is gone: %+v", got)
	}
	forged := twentieth
	forged.MAC = make([]byte, Size)
	if got := l.verify(keys, forged); shortly(got) != "replaced 20-20" {
		t.Errorf("another head of what is gone: %s", shortly(got))
	}
	for name, c := range map[string]struct {
		tamper func(l *log)
		want   string
	}{
		"more was removed":                    {func(l *log) { l.remove(21, 30); l.heads = l.heads[1:] }, "removed 1-30"},
		"the head is gone":                    {func(l *log) { l.heads = l.heads[1:] }, "removed 1-20"},
		"the first row behind":                {func(l *log) { l.row(21).Username = "bob" }, "edited 21-21"},
		"its record is changed":               {func(l *log) { l.row(52).After = []byte(`{}`) }, "edited 52-52, removed 1-20"},
		"the head is another":                 {func(l *log) { l.heads[0].MAC = make([]byte, Size) }, "bad_head 20-20, removed 1-20"},
		"removed without anything being said": {func(l *log) { l.remove(51, 52); l.end = whole }, "removed 1-20"},
	} {
		l := chain(keys, 3, 47, 10)
		l.prune(keys, 10)
		l.prune(keys, 20)
		c.tamper(l)
		if got := l.verify(keys); shortly(got) != c.want {
			t.Errorf("%s: %s, want %s", name, shortly(got), c.want)
		}
	}
}

// Whatever single thing is done to chained rows, with a key, is found; and a log to
// which nothing was done has no findings.
func TestAnyTamperingIsFound(t *testing.T) {
	keys := testKeys(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		before, n := rapid.IntRange(0, 3).Draw(t, "before"), rapid.IntRange(2, 40).Draw(t, "rows")
		l := chain(keys, before, n, rapid.SampledFrom([]int{0, 1, 7}).Draw(t, "every"))
		if got := l.verify(keys); !got.OK {
			t.Fatalf("nothing was done: %s", shortly(got))
		}
		pick := func(label string) int64 { return int64(before + rapid.IntRange(1, n).Draw(t, label)) }
		a := pick("row")
		switch what := rapid.SampledFrom([]string{"edit", "remove", "swap", "move", "copy", "strip"}).Draw(t, "what"); what {
		case "edit":
			r := l.row(a)
			*rapid.SampledFrom([]*string{&r.ID, &r.Subject, &r.Issuer, &r.Username, &r.TokenID, &r.UserID, &r.RequestID, &r.Address, &r.Action, &r.Resource, &r.Result}).Draw(t, "column") += "x"
		case "remove":
			b := pick("last")
			l.remove(min(a, b), max(a, b))
			if rapid.Bool().Draw(t, "anew") {
				l.renumber(max(a, b)+1, min(a, b)-max(a, b)-1)
			}
		case "swap":
			b := pick("other")
			if a == b {
				return
			}
			l.swap(a, b)
		case "move": // the number of the mac's row
			l.row(a).Revision++
		case "copy":
			b := pick("other")
			x := l.lines[l.at(b)]
			l.renumber(a, 1)
			x.row.Number = a
			l.insert(x)
		case "strip":
			l.lines[l.at(a)].mac = nil
			if a == int64(before+1) && n > 1 {
				// A chain's first row without its mac is one from before the chain: the row
				// behind tells.
				break
			}
		}
		if got := l.verify(keys); got.OK {
			t.Fatalf("it is not found: %+v", got)
		}
	})
}

// A log that was replaced as a whole is told in few words.
func TestFindingsAreBounded(t *testing.T) {
	keys := testKeys(t, 1)
	l := chain(keys, 0, 5000, 100)
	for i := range l.lines {
		l.lines[i].row.Username = "bob"
	}
	got := l.verify(keys)
	if got.OK || len(got.Findings) > MaxFindings || len(got.Findings) < maxSuspects {
		t.Errorf("%d findings", len(got.Findings))
	}
	for i := range l.lines {
		l.lines[i].mac = bytes.Repeat([]byte{byte(i)}, Size)
	}
	if got = l.verify(keys); got.OK || len(got.Findings) > MaxFindings {
		t.Errorf("%d findings", len(got.Findings))
	}
}

func BenchmarkVerify(b *testing.B) {
	keys := testKeys(b, 1)
	l := chain(keys, 0, 10_000, Segment)
	for b.Loop() {
		if got := l.verify(keys); !got.OK {
			b.Fatal(shortly(got))
		}
	}
	b.ReportMetric(float64(b.N)*10_000/b.Elapsed().Seconds(), "rows/s")
}

package rules

import (
	"bytes"
	"hash/maphash"
	"slices"

	"github.com/muster-fleet/muster/workers/element"
)

// Bounds of what a decider keeps folded. Beyond them it folds for each element
// anew.
const (
	maxNames = 512 // properties of one sequence that is kept
	// Rough bytes of the sequences that are kept, of their outcomes, and of folds.
	maxKept     = 2 << 20
	maxOutcomes = 4 << 20
	maxFolds    = 4 << 20
	maxText     = 16 << 10 // bytes of one sequence that is kept
	// maxSkeletons is how many skeletons of a batch are known by their numbers.
	maxSkeletons = 4 << 10
	// maxSeen is how many sequences are remembered to have come once.
	maxSeen = 1 << 10
	// worthWhile is how many elements and labels have to have been judged without
	// being kept before a memory that is full is emptied: filling it again costs
	// a small part of that.
	worthWhile = 4 << 20
)

// decider does the work for one request at a time and keeps what it has folded
// for the next one.
type decider struct {
	p      *Program
	labels []labelState // by the label's index
	stamp  uint64       // of the element being judged
	epoch  uint64       // of the selection being filled

	seed                 maphash.Seed
	known                map[uint64]*sequence // by hash; chained
	folds                map[foldKey]*fold
	kept, size, outcomes int      // rough bytes of known, folds and outcomes
	loss                 int      // how often something was not kept because known or folds were full
	count                uint32   // sequences that were kept
	seen                 []uint64 // hashes of sequences that have come once, some of them
	shapes               map[shape]*outcome
	spread               spread

	skeletons []*sequence // of the batch, by their numbers

	acc     []uint64 // what the element's labels give, over positions
	visible bool
	b       *element.Batch
	i       int
	plain   []byte        // scratch for decoded text
	loose   sequence      // of an element whose names are not kept
	taken   element.Names // scratch
	looseF  fold
	names   bool // forms have to know the names they take away
	hits    hits
	members memberSets
}

// labelState is what a decider knows of a label. What most elements need of it
// takes a cache line.
type labelState struct {
	stamp uint64 // of the last element that had it
	fold  *fold  // used last
	// seq and what follows are of that fold if it is narrow; seq is nil otherwise.
	seq    *sequence
	probes []probe
	base   uint64
	open   bool
}

// sequence is the names of an element's properties.
type sequence struct {
	names    element.Names // if keep
	at       []int32       // of each name the number among the model's titles; -1 when it is none
	next     *sequence
	outcomes []*outcome
	byMask   map[string]*outcome // when there are more than fewOutcomes
	spots    []spot              // where outcomes of narrow sequences were found lately
	last     *outcome
	number   uint32
	keep     bool // false for decider.loose
	narrow   bool // kept, and what is left of an element is one word
}

// outcome is one set of positions that elements with a sequence may keep.
type outcome struct {
	mask   []uint64
	form   *element.Form // nil when nothing is taken away
	epoch  uint64
	number uint32
}

const fewOutcomes = 8

// fold is what one label says of elements with one sequence of names.
type fold struct {
	seq    *sequence
	label  *label
	pos    []int32 // where each of the label's properties stands; -1 when it does not
	checks []check
	probes []probe  // the same, if narrow
	masks  []uint64 // sets of properties as positions, end to end
	done   []uint64 // which of masks have been made; empty when they are not kept
	narrow bool     // the sequence is, and done is one word as well
	one    []uint64 // scratch for a mask when they are not kept
	base   []uint64 // mask of the label's base
}

// check is a group whose property is there.
type check struct {
	pos    int32
	group  *group
	tokens []token // the group's
}

type foldKey struct {
	seq   uint32
	label int32
}

func newDecider(p *Program) *decider {
	return &decider{p: p, labels: make([]labelState, len(p.ordered)), seed: maphash.MakeSeed()}
}

// begin makes the decider ready for a selection.
func (d *decider) begin() {
	d.epoch++
	if d.known == nil || d.loss > worthWhile {
		d.known, d.folds, d.shapes = map[uint64]*sequence{}, map[foldKey]*fold{}, map[shape]*outcome{}
		d.kept, d.size, d.outcomes, d.loss, d.count = 0, 0, 0, 0, 0
		clear(d.labels)
		d.spread.forget()
	}
}

// end lets go of the request.
func (d *decider) end() {
	d.b = nil
	clear(d.skeletons)
	d.members = memberSets{}
	d.loose.forget()
	if cap(d.loose.at) > maxText {
		d.spread.forget()
		d.loose.at = nil
	}
	if cap(d.plain) > maxText {
		d.plain = nil
	}
}

// nodes judges every node of a batch.
func (d *decider) nodes(b *element.Batch, out *element.Selection) {
	d.b = b
	n := min(b.Skeletons()+1, maxSkeletons)
	d.skeletons = slices.Grow(d.skeletons[:0], n)[:n]
	clear(d.skeletons)
	for i := range b.Len() {
		d.i = i
		if k := int(b.Skeleton(i)); k < len(d.skeletons) {
			// No element has the number 0 in common with another.
			if seq := d.skeletons[k]; seq != nil && seq.narrow {
				if kept, visible := d.narrow(seq); visible {
					out.Show(i, d.narrowForm(seq, kept, out))
				}
				continue
			}
		}
		if seq := d.node(); seq != nil {
			out.Show(i, d.form(seq, out))
		}
	}
}

// node judges one node label by label. It returns the node's names when the node
// is visible; what is left of it is in acc.
func (d *decider) node() *sequence {
	d.stamp++
	d.visible = false
	var seq *sequence
	text, size := d.b.LabelsRest(d.i)
	for at := 1; at < size; {
		if text[at] != '"' { // white space, a comma or the closing bracket
			at++
			continue
		}
		k, n := d.p.titles.begins(text[at:])
		if n == 0 {
			n = stringEnd(text, at) - at
			k = d.labelIndex(text[at : at+n])
		}
		at += n
		if k < 0 {
			continue
		}
		state := &d.labels[k]
		if state.stamp == d.stamp {
			continue // the same label again
		}
		state.stamp = d.stamp
		if seq == nil {
			seq = d.sequence(state.fold)
			d.empty(seq)
		}
		d.apply(d.foldOf(seq, k))
	}
	if !d.visible {
		return nil
	}
	return seq
}

// empty makes acc nothing of a sequence.
func (d *decider) empty(seq *sequence) {
	words := (len(seq.at) + 63) / 64
	if words == 1 && len(d.acc) == 1 {
		d.acc[0] = 0
		return
	}
	d.acc = zeroed(d.acc, words)
}

// label finds a label by its token.
func (d *decider) label(token []byte) *label {
	if k := d.labelIndex(token); k >= 0 {
		return d.p.ordered[k]
	}
	return nil
}

// labelIndex is label by index; -1 when there is none.
func (d *decider) labelIndex(token []byte) int { return d.p.titles.find(d.text(token)) }

// text returns the decoded content of a string token; it may be scratch.
func (d *decider) text(token []byte) []byte {
	content := token[1 : len(token)-1]
	if bytes.IndexByte(content, '\\') < 0 {
		return content
	}
	d.plain = element.AppendText(d.plain[:0], token)
	return d.plain
}

// apply adds what a label gives to what is visible of the element.
func (d *decider) apply(f *fold) {
	if f.label.open {
		d.visible = true
		for w, word := range f.base {
			d.acc[w] |= word
		}
	}
	for k := range f.checks {
		d.check(f, &f.checks[k])
	}
}

// check gives what rules give because of the value of a check's property.
func (d *decider) check(f *fold, c *check) {
	text := d.b.ValueRest(d.i, int(c.pos))
	if text[0] != '"' {
		d.other(f, c)
		return
	}
	e, sure := int32(-1), false
	if c.tokens != nil {
		e, sure = quick(c.tokens, text, c.group.values.max)
	}
	if !sure {
		e = d.find(&c.group.values, d.b.Value(d.i, int(c.pos)))
	}
	if e >= 0 {
		d.found(f, c.group, e)
	}
}

// other looks at a value that is no string.
func (d *decider) other(f *fold, c *check) {
	value := d.b.Value(d.i, int(c.pos))
	if value[0] == '[' {
		d.entriesOf(c.group, value, func(k int32) { d.found(f, c.group, k) })
		return
	}
	if k := d.find(&c.group.values, value); k >= 0 {
		d.found(f, c.group, k)
	}
}

// found gives what rules give to elements with the value of an entry.
func (d *decider) found(f *fold, g *group, k int32) {
	e := &g.entries[k]
	if e.set >= 0 {
		d.give(f, e.set)
	}
	for k := range e.clauses {
		c := &e.clauses[k]
		if d.holds(f, c.rest) {
			d.give(f, c.set)
		}
	}
}

func (d *decider) give(f *fold, set int32) {
	d.visible = true
	if f.narrow && f.done[0]>>set&1 != 0 {
		d.acc[0] |= f.masks[set]
		return
	}
	for w, word := range f.mask(set) {
		d.acc[w] |= word
	}
}

// holds reports whether the element meets all tests.
func (d *decider) holds(f *fold, tests []test) bool {
	for k := range tests {
		t := &tests[k]
		pos := f.pos[t.prop]
		if pos < 0 {
			return false
		}
		value := d.b.Value(d.i, int(pos))
		if value[0] == '[' && !d.among(value, pos, &t.values) || value[0] != '[' && !d.is(&t.values, value) {
			return false
		}
	}
	return true
}

// find returns the number of the text that a value is equal to; -1 when there is
// none.
func (d *decider) find(wanted *values, value []byte) int32 {
	if text := d.scalar(value, wanted.max); text != nil {
		return wanted.find(text)
	}
	return -1
}

// is reports whether a value is equal to one of the wanted texts.
func (d *decider) is(wanted *choice, value []byte) bool {
	text := d.scalar(value, wanted.max)
	return text != nil && wanted.has(text)
}

// scalar returns the text that a value is compared by; nil for objects, arrays
// and null, and for strings that are surely longer than most bytes.
func (d *decider) scalar(value []byte, most int) []byte {
	switch value[0] {
	case '"':
		// An escape has at most six bytes for each that it stands for.
		if len(value)-2 > 6*most {
			return nil
		}
		return d.text(value)
	case '{', '[', 'n':
		return nil
	default:
		return value
	}
}

// mask returns a set of the label's properties as positions; it is valid until
// the next call.
func (f *fold) mask(set int32) []uint64 {
	words := (len(f.seq.at) + 63) / 64
	if len(f.done) == 0 {
		f.one = zeroed(f.one, words)
		f.fill(f.one, set)
		return f.one
	}
	from := int(set) * words
	mask := f.masks[from : from+words]
	if f.done[set>>6]>>(set&63)&1 == 0 {
		f.done[set>>6] |= 1 << (set & 63)
		f.fill(mask, set)
	}
	return mask
}

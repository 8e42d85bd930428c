package audit

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"slices"
)

// ActionPruned is the row that retention writes: its After holds Pruned. A log that
// does not begin with row 1 has to have it, since the row itself is in the chain.
const ActionPruned = "audit.pruned"

// Pruned is what the row of ActionPruned holds: where the log ended that was removed.
type Pruned struct {
	Through int64  `json:"through"`
	MAC     string `json:"mac"`
	Rows    int64  `json:"rows"`
}

// Verifier finds out whether rows are those that were chained. Heads and rows are
// given in the order of their numbers, a head before its row; then End is told, and
// Report asked. It needs memory for a few rows only, however many it is given. It
// is for one goroutine.
type Verifier struct {
	keys   *Keys
	report Report
	hashes map[string]hash.Hash
	buf    []byte
	sum    []byte

	// heads are those whose rows have not come yet: stored ones, and known ones.
	stored []Head
	known  []Head

	last int64 // the number of the row before; 0 before the first
	// macs are those of the rows before, the last one first; empty where there is
	// none. lost says that the row before is not known.
	macs  [keep][]byte
	lost  bool
	keyed bool // a row with a key has come
	// shift is what has to be added to numbers to get those that were chained.
	shift, trial int64
	// pruned is what the log says of its beginning: the newest ActionPruned.
	pruned Pruned
	begun  *Head // the stored head in front of the first row

	suspects []suspect
	doubted  int64 // rows that do not fit and are not among the suspects
}

// keep is how many macs are kept, which bounds how many inserted rows in a row are
// told from edited ones.
const keep = 4

// NewVerifier returns a Verifier for rows chained with these keys. known are heads
// that were kept elsewhere, with Number and MAC.
func NewVerifier(keys *Keys, known ...Head) *Verifier {
	known = slices.SortedFunc(slices.Values(known), func(a, b Head) int { return cmp.Compare(a.Number, b.Number) })
	return &Verifier{
		keys: keys, hashes: map[string]hash.Hash{}, known: known,
		report: Report{OK: true, Keys: []KeyUse{}, Findings: []Finding{}, Notes: []string{}},
	}
}

// Head takes a stored head. It is compared with the row of its number, which comes
// later; the one in front of the first row is where the chain goes on from.
func (v *Verifier) Head(h Head) {
	switch err := v.keys.CheckHead(&h); {
	case err == nil:
		v.stored = append(v.stored, h)
	case errors.Is(err, ErrUnknownKey):
		v.finding(UnknownKey, h.Number, h.Number, "the head of row %d is signed with the key %s, which was not given", h.Number, h.KeyID)
	default:
		v.finding(BadHead, h.Number, h.Number, "the stored head of row %d: %v", h.Number, err)
	}
}

func (v *Verifier) finding(k Kind, first, last int64, format string, args ...any) {
	v.report.find(Finding{k, first, last, fmt.Sprintf(format, args...)})
}

// Row takes the next row and its mac, nil for one without. Neither is kept.
func (v *Verifier) Row(r *Row, mac []byte) {
	v.report.Looked.add(r.Number)
	v.gap(r.Number)
	v.last = r.Number
	if r.Action == ActionPruned {
		v.readPruned(r)
	}
	if len(mac) == 0 {
		v.unchained(r)
	} else {
		v.used(r)
		whole := true
		if v.keys.Has(r.KeyID) {
			whole = v.chained(r, mac)
		} else {
			v.extend(UnknownKey, r.Number, fmt.Sprintf("is chained with a key that was not given: %.16q", r.KeyID))
		}
		v.known = v.compare(v.known, r.Number+v.shift, mac, whole)
		v.stored = v.compare(v.stored, r.Number+v.shift, mac, whole)
	}
	v.remember(mac)
}

// remember keeps a row's mac for those behind it.
func (v *Verifier) remember(mac []byte) {
	oldest := v.macs[keep-1]
	copy(v.macs[1:], v.macs[:keep-1])
	v.macs[0] = append(oldest[:0], mac...)
	v.lost = false
}

// gap notes numbers that are missing in front of a row, and finds the mac that the
// row at the beginning follows.
func (v *Verifier) gap(n int64) {
	if n == v.last+1 {
		return
	}
	if v.report.Looked.Rows == 1 {
		v.beginning(n)
		return
	}
	v.finding(Removed, v.last+1, n-1, "%s not there; nothing can be proven of row %d behind", rows(v.last+1, n-1), n)
	v.lost, v.trial = true, 0
}

// beginning looks for the head that a log goes on from whose first rows were
// removed.
func (v *Verifier) beginning(n int64) {
	defer v.before(n)
	for i := range v.stored {
		if v.stored[i].Number == n-1 {
			begun := v.stored[i]
			v.begun, v.macs[0] = &begun, bytes.Clone(begun.MAC)
			v.stored = v.stored[i+1:]
			return
		}
	}
	v.finding(Removed, 1, n-1, "%s not there, and no signed head is left of them", rows(1, n-1))
	v.lost = true
}

// before settles the known heads of rows in front of the first one.
func (v *Verifier) before(n int64) {
	for ; len(v.known) > 0 && v.known[0].Number < n; v.known = v.known[1:] {
		h := &v.known[0]
		switch {
		case v.begun == nil || h.Number < n-1:
			v.report.Notes = append(v.report.Notes, fmt.Sprintf("the head of row %d cannot be compared: the log begins with row %d", h.Number, n))
		case !bytes.Equal(h.MAC, v.begun.MAC):
			v.finding(Replaced, h.Number, h.Number, "row %d had the mac %x when it was removed, and its head has %x", h.Number, v.begun.MAC, h.MAC)
		default:
			v.report.Heads++
		}
	}
}

func (v *Verifier) readPruned(r *Row) {
	var p Pruned
	// What is no such record tells nothing, and its row's mac tells whether it was
	// changed.
	if err := json.Unmarshal(r.After, &p); err == nil && p.Through < r.Number {
		v.pruned = p
	}
}

func (v *Verifier) unchained(r *Row) {
	if len(v.report.Keys) > 0 {
		v.finding(Edited, r.Number, r.Number, "row %d has no mac, and rows before it have one", r.Number)
		return
	}
	v.report.Unchained.add(r.Number)
}

func (v *Verifier) used(r *Row) {
	all := v.report.Keys
	for i := range all {
		if all[i].ID == r.KeyID {
			all[i].add(r.Number)
			v.dropped(r)
			return
		}
	}
	if len(all) < 2*MaxKeys {
		use := KeyUse{ID: r.KeyID}
		use.add(r.Number)
		v.report.Keys = append(v.report.Keys, use)
	}
	v.dropped(r)
}

// dropped notes a row without a key behind such with one.
func (v *Verifier) dropped(r *Row) {
	if r.KeyID != "" {
		v.keyed = true
	} else if v.keyed {
		v.extend(KeyDropped, r.Number, "is chained without a key, and rows before it with one")
	}
}

// extend notes a row, in the finding of the row before when that is of the same
// kind.
func (v *Verifier) extend(k Kind, n int64, what string) {
	all := v.report.Findings
	for i := len(all) - 1; i >= 0 && i >= len(all)-4; i-- {
		if f := &all[i]; f.Kind == k && f.Last == n-1 {
			f.Last = n
			f.Detail = fmt.Sprintf("rows %d to %d: each %s", f.First, n, what)
			return
		}
	}
	v.finding(k, n, n, "row %d %s", n, what)
}

// compare compares a row with the head of its number and drops the heads up to it,
// which are in order. Of a row that is not whole enough is said already.
func (v *Verifier) compare(heads []Head, n int64, mac []byte, whole bool) []Head {
	for ; len(heads) > 0 && heads[0].Number <= n; heads = heads[1:] {
		h := &heads[0]
		if h.Number < n || !whole {
			continue // its row is missing or altered, which has been noted
		}
		v.report.Heads++
		if !bytes.Equal(h.MAC, mac) {
			v.finding(Replaced, n, n, "row %d has the mac %x, and its head has %x: the log up to there is another one", n, mac, h.MAC)
		}
	}
	return heads
}

// mac computes into v.sum, which the next call uses again.
func (v *Verifier) mac(prev []byte, r *Row) []byte {
	h := v.hashes[r.KeyID]
	if h == nil {
		h, _ = v.keys.hash(r.KeyID) // Has was asked
		v.hashes[r.KeyID] = h
	}
	h.Reset()
	v.buf = r.encode(v.buf[:0], prev)
	// A hash never fails to take what is written to it.
	_, _ = h.Write(v.buf)
	v.sum = h.Sum(v.sum[:0])
	return v.sum
}

// fits reports whether a row has its mac when it is taken for the one with another
// number, behind another mac.
func (v *Verifier) fits(r *Row, mac, prev []byte, n int64) bool {
	as := *r
	as.Number = n
	return bytes.Equal(v.mac(prev, &as), mac)
}

// chained checks a row against the one before. It reports whether nothing speaks
// against the row.
func (v *Verifier) chained(r *Row, mac []byte) bool {
	if v.lost {
		return true // the row before is gone, which has been noted
	}
	if v.fits(r, mac, v.macs[0], r.Number+v.shift) {
		v.trial = 0
		return true
	}
	if v.shifted(r, mac) {
		return true
	}
	v.suspect(r, mac, v.macs[0])
	return false
}

// End takes the chain's end as the store's state has it, apart from the rows: the
// number and the mac of the last one. It comes behind all rows.
func (v *Verifier) End(n int64, mac []byte) {
	last := v.last + v.shift
	switch {
	case n > last:
		v.finding(CutTail, last+1, n, "%s not there, and the store's state has them", rows(last+1, n))
	case n < last:
		v.finding(Inserted, n+1, last, "%s beyond the end that the store's state has", rows(n+1, last))
		v.acquit(n+1, last)
	case !bytes.Equal(mac, v.macs[0]) && !v.suspected(v.last):
		v.finding(Edited, n, n, "row %d has another mac than the store's state has for the end", n)
	}
}

func (v *Verifier) suspected(n int64) bool {
	return len(v.suspects) > 0 && v.suspects[len(v.suspects)-1].row.Number == n
}

// Report tells what was found. The Verifier takes nothing after it.
func (v *Verifier) Report() Report {
	v.judge()
	v.origin()
	v.left(v.stored)
	v.left(v.known)
	if n := len(v.macs[0]); n > 0 {
		v.report.End = Head{Number: v.last, MAC: v.macs[0]}.String()
	}
	return v.report
}

// origin checks that a log which does not begin with row 1 was cut by retention.
func (v *Verifier) origin() {
	if v.begun == nil {
		return
	}
	v.report.Heads++
	if p := v.pruned; p.Through == v.begun.Number && p.MAC == hex.EncodeToString(v.begun.MAC) {
		v.report.Pruned = p.Through
		return
	}
	n := v.begun.Number
	v.finding(Removed, 1, n, "%s not there, and no row of the log says that retention removed %s", rows(1, n), them(n))
}

// left tells of heads to which no row has come.
func (v *Verifier) left(heads []Head) {
	var beyond int64
	for i := range heads {
		beyond = max(beyond, heads[i].Number)
	}
	last := v.last + v.shift
	for i := range v.report.Findings {
		if f := &v.report.Findings[i]; f.Kind == CutTail {
			f.Last = max(f.Last, beyond)
			return // told already
		}
	}
	if beyond > last {
		v.finding(CutTail, last+1, beyond, "%s not there, and a head of row %d is known", rows(last+1, beyond), beyond)
	}
}

package audit

import (
	"bytes"
	"fmt"
)

// suspect is a row that does not fit the one before it.
type suspect struct {
	row  Row
	mac  []byte
	prev []byte // the mac of the row before, as stored
	// shift was the Verifier's.
	shift int64
}

// maxSuspects is how many are kept to find out what happened to them; of the
// others it is said that they do not fit.
const maxSuspects = 32

func (v *Verifier) suspect(r *Row, mac, prev []byte) {
	if len(v.suspects) == maxSuspects {
		v.doubted++
		return
	}
	one := suspect{*r, bytes.Clone(mac), bytes.Clone(prev), v.shift}
	one.row.Before, one.row.After = bytes.Clone(r.Before), bytes.Clone(r.After)
	v.suspects = append(v.suspects, one)
}

// shifted finds out whether a row has a number that is not the one it was chained
// with, because rows before it were removed or inserted and all behind were numbered
// anew. A second row has to say the same, since a row that changed places looks like
// it.
func (v *Verifier) shifted(r *Row, mac []byte) bool {
	if len(v.suspects) == maxSuspects {
		return false // too much is wrong to try
	}
	if v.trial != 0 && v.fits(r, mac, v.macs[0], r.Number+v.shift+v.trial) {
		v.confirm(r.Number)
		return true
	}
	v.trial = 0
	if len(v.suspects) == 0 || v.suspects[len(v.suspects)-1].row.Number != r.Number-1 {
		return false // the row before it fits: nothing was put or taken between
	}
	for d := int64(1); d < keep; d++ {
		switch {
		case v.fits(r, mac, v.macs[0], r.Number+v.shift+d):
			v.trial = d
			return false
		case v.fits(r, mac, v.macs[d], r.Number+v.shift-d):
			v.trial = -d
			return false
		}
	}
	return false
}

// confirm takes the trial for the truth. n is the second row that says so.
func (v *Verifier) confirm(n int64) {
	d := v.trial
	v.trial, v.shift = 0, v.shift+d
	if d < 0 {
		first, last := n-1+d, n-2
		v.finding(Inserted, first, last, "%s put there, and all behind numbered anew", were(first, last))
		v.acquit(first, n-1)
		return
	}
	v.finding(Removed, n-2, n-2, "%d rows were removed in front of row %d, and all behind numbered anew; nothing can be proven of row %d", d, n-2, n-2)
	v.acquit(n-2, n-1)
}

// acquit drops suspects of which it is known what happened.
func (v *Verifier) acquit(first, last int64) {
	left := v.suspects[:0]
	for _, s := range v.suspects {
		if s.row.Number < first || s.row.Number > last {
			left = append(left, s)
		}
	}
	v.suspects = left
}

// judge finds out what happened to the suspects: which of them are whole and stand
// elsewhere, which are whole and follow one that is not, and which were edited.
func (v *Verifier) judge() {
	all := v.suspects
	var prevs [][]byte
	for i := range all {
		prevs = append(prevs, all[i].prev, all[i].mac, bytes.Clone(v.mac(all[i].prev, &all[i].row)))
	}
	was := make(map[int64]int64, len(all)) // where a row stands -> which row it is
	for i := range all {
		was[all[i].row.Number] = v.identify(all, i, prevs)
	}
	told := 0
	for i := range all {
		n := all[i].row.Number
		switch q := was[n]; {
		case q == n:
			// It is what it was and follows one that is not.
		case q == 0 && was[n+1] == n:
			told++
			v.finding(Inserted, n, n, "row %d was put there, and the one behind numbered anew", n)
		case q == 0:
			told++
			v.finding(Edited, n, n, "row %d is not what was written", n)
		case was[q] == n && q < n:
			// Told with the other one.
		case was[q] == n:
			told++
			v.finding(Reordered, n, q, "rows %d and %d have changed places", n, q)
		case q == n-1 && was[q] == 0:
			// Told with the one that was put in front of it.
		default:
			told++
			v.finding(Reordered, min(n, q), max(n, q), "row %d is the one that was row %d", n, q)
		}
	}
	if told == 0 && len(all) > 0 {
		n := all[0].row.Number
		v.finding(Edited, n, n, "row %d does not follow the row before it", n)
	}
	if v.doubted > 0 {
		v.report.find(Finding{Edited, all[len(all)-1].row.Number + 1, v.last, fmt.Sprintf("%d further rows do not follow those before them", v.doubted)})
	}
}

// identify returns which row a suspect is: its own number when it is what it was, 0
// when it is no row that was ever written.
func (v *Verifier) identify(all []suspect, i int, prevs [][]byte) int64 {
	s := &all[i]
	for _, own := range []bool{true, false} {
		for j := range all {
			n := all[j].row.Number
			if (n == s.row.Number) != own {
				continue
			}
			for _, prev := range prevs {
				as := s.row
				as.Number = n + all[j].shift
				mac := v.mac(prev, &as)
				if bytes.Equal(mac, s.mac) || !own && bytes.Equal(mac, all[j].mac) {
					return n
				}
			}
		}
	}
	return 0
}

func rows(first, last int64) string {
	if first == last {
		return fmt.Sprintf("row %d is", first)
	}
	return fmt.Sprintf("rows %d to %d are", first, last)
}

func were(first, last int64) string {
	if first == last {
		return fmt.Sprintf("row %d was", first)
	}
	return fmt.Sprintf("rows %d to %d were", first, last)
}

func them(n int64) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

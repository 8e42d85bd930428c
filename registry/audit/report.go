package audit

// Kind is what was done to a log.
type Kind string

// The kinds of findings.
const (
	// Edited: a column of the row, or its mac, is not what was written; or, at the
	// end of a log, the row was put there.
	Edited Kind = "edited"
	// Removed: rows are not there.
	Removed Kind = "removed"
	// Inserted: a row was put there, and those behind it were numbered anew, or it
	// lies beyond the end of the log.
	Inserted Kind = "inserted"
	// Reordered: rows stand where others were.
	Reordered Kind = "reordered"
	// CutTail: a head is known of a row beyond the last one.
	CutTail Kind = "cut_tail"
	// Replaced: the row with the number of a known head has another mac.
	Replaced Kind = "replaced"
	// BadHead: a stored head is not signed by a key of ours.
	BadHead Kind = "bad_head"
	// UnknownKey: rows are chained with a key that is not among those given, so that
	// nothing can be said of them.
	UnknownKey Kind = "unknown_key"
	// KeyDropped: rows behind such with a key are chained without one, which anybody
	// who can write to the store can do.
	KeyDropped Kind = "key_dropped"
)

// Finding is one thing that is wrong with a log.
type Finding struct {
	Kind Kind `json:"kind"`
	// First and Last are the numbers of the rows that it is about.
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	// Detail says it in words.
	Detail string `json:"detail"`
}

// Span is a run of rows, or the rows from a first to a last one; zero for none.
type Span struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	Rows  int64 `json:"rows"`
}

func (s *Span) add(n int64) {
	if s.Rows == 0 {
		s.First = n
	}
	s.Last = n
	s.Rows++
}

// KeyUse is which rows a key has chained; the empty id is the chain without one.
type KeyUse struct {
	ID string `json:"id"`
	Span
}

// Report is what a verification found.
type Report struct {
	// OK says that there are no findings.
	OK bool `json:"ok"`
	// Looked is which rows were read.
	Looked Span `json:"looked"`
	// Unchained are rows from before the chain, of which nothing can be proven.
	Unchained Span `json:"unchained"`
	// Pruned is the number up to which retention has removed rows; 0 when it has not.
	Pruned int64 `json:"pruned"`
	// Keys are the keys used, in the order of their first rows.
	Keys []KeyUse `json:"keys"`
	// Heads is how many heads, stored and known ones, were compared with their rows.
	Heads int64 `json:"heads"`
	// End is the last row's number and mac, as N:HASH; empty without a chain.
	End string `json:"end"`
	// Findings are the first MaxFindings of what is wrong; More is how many others
	// there are.
	Findings []Finding `json:"findings"`
	More     int64     `json:"more"`
	// Notes are what could not be checked and why, other than by a finding.
	Notes []string `json:"notes"`
}

// MaxFindings is how many findings a report lists.
const MaxFindings = 100

func (r *Report) find(f Finding) {
	r.OK = false
	if len(r.Findings) == MaxFindings {
		r.More++
		return
	}
	r.Findings = append(r.Findings, f)
}

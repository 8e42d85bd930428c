package ruleloader

import (
	"fmt"
	"strings"
)

// The reasons for which a row, or a part of one, was left out.
const (
	unknownUser         = "unknownUser"
	unknownGroup        = "unknownGroup"
	unknownClient       = "unknownClient"
	unknownEntity       = "unknownEntity"
	unknownProperty     = "unknownProperty"
	unknownRelationship = "unknownRelationship"
	unknownCondition    = "unknownCondition"
)

// Report is what a run read and left. It holds no values.
type Report struct {
	// Generation is the one under which the rules were posted.
	Generation string `json:"generation,omitempty"`
	// Rows were read, of which RowsSkipped grant nothing because of what the step
	// sent, and BadRows lack something.
	Rows        int64 `json:"rows"`
	RowsSkipped int64 `json:"rowsSkipped"`
	BadRows     int64 `json:"badRows"`
	// Skipped counts what was left out of rows, or made them be skipped, by reason.
	Skipped map[string]int64 `json:"skipped"`
	// Rules were posted, Created and Deleted counted by the gateway.
	Rules   int `json:"rules"`
	Created int `json:"created"`
	Deleted int `json:"deleted"`

	// first are the first bad rows, for the message.
	first []string
}

// mostBad is how many bad rows a message names, and after how many a run that may
// have none reads no further.
const mostBad = 20

// badRow is a row that cannot be made into a rule.
type badRow struct{ why string }

// Error returns what is wrong with the row, without its values.
func (b *badRow) Error() string { return b.why }

func bad(format string, args ...any) error { return &badRow{fmt.Sprintf(format, args...)} }

func (r *Report) skip(reason string) { r.Skipped[reason]++ }

func (r *Report) bad(s *sourceMapping, at int64, why error) {
	r.BadRows++
	if len(r.first) < mostBad {
		r.first = append(r.first, fmt.Sprintf("%s, %s %d: %s", s.name, s.table().place(), at, why))
	}
}

// badText names the first bad rows.
func (r *Report) badText() string {
	text := strings.Join(r.first, "; ")
	if more := r.BadRows - int64(len(r.first)); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

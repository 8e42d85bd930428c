package workertest

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Status is the outcome of a case.
type Status string

// The outcomes.
const (
	Pass Status = "pass"
	Fail Status = "fail"
	Skip Status = "skip"
	// NotProved is a case that went well without proving what it is for. It is a
	// warning: it neither fails the run nor holds the level up.
	NotProved Status = "not proved"
)

// Case is one case's outcome.
type Case struct {
	Name   string `json:"name"`
	Level  Level  `json:"level"`
	Status Status `json:"status"`
	// Detail says what was wrong and what was due, or why the case was skipped or
	// proves nothing.
	Detail string `json:"detail,omitempty"`
	// Unproven marks a skip that keeps the level from being reached.
	Unproven bool `json:"unproven,omitempty"`
	// Duration is how long the case took.
	Duration time.Duration `json:"-"`
}

// MarshalJSON adds the duration in milliseconds.
func (c Case) MarshalJSON() ([]byte, error) {
	type plain Case
	out, err := json.Marshal(struct {
		plain
		DurationMS float64 `json:"durationMs"`
	}{plain(c), milliseconds(c.Duration)})
	if err != nil {
		return nil, fmt.Errorf("workertest: encode a case: %w", err)
	}
	return out, nil
}

// Report is what a run found. It is complete when Run returns it.
type Report struct {
	// URL is the worker's.
	URL string
	// Info is what the worker told of itself; empty when it told nothing.
	Info Info
	// Asked is the last level that was run.
	Asked Level
	// Partial says that only some cases were run; no level is then reached.
	Partial bool
	// Seed makes the same run again.
	Seed uint64
	// Begun and Duration are when the run began and how long it took.
	Begun    time.Time
	Duration time.Duration
	// Cases are in the order in which they ran.
	Cases []Case
}

// Level returns the highest level whose cases, and those of all levels before it,
// have passed. A case that is NotProved and a skip that is not Unproven do not
// count.
func (r *Report) Level() Level {
	reached := None
	if r.Partial {
		return reached
	}
	for _, l := range levels[:r.Asked.rank()] {
		cases := 0
		for _, c := range r.Cases {
			if c.Level != l {
				continue
			}
			cases++
			if c.Status == Fail || c.Unproven {
				return reached
			}
		}
		if cases == 0 {
			return reached
		}
		reached = l
	}
	return reached
}

// Contextual reports whether the worker conforms but for the laws: its answer for
// one element depends on what else is asked, so its batches must not be split.
func (r *Report) Contextual() bool {
	if r.Level() != Robust {
		return false
	}
	for _, c := range r.Cases {
		if c.Level == Laws && c.Status == Fail {
			return true
		}
	}
	return false
}

// Failed returns the cases that failed; nil when none did.
func (r *Report) Failed() (list []Case) {
	for _, c := range r.Cases {
		if c.Status == Fail {
			list = append(list, c)
		}
	}
	return list
}

// Count returns how many cases ended in a status.
func (r *Report) Count(s Status) (n int) {
	for _, c := range r.Cases {
		if c.Status == s {
			n++
		}
	}
	return n
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// WriteTable writes the report for people. Text of the worker's is shown with
// control characters escaped.
func (r *Report) WriteTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "CASE\tRESULT\tTIME\tDETAIL\n")
	for _, c := range r.Cases {
		fmt.Fprintf(tw, "%s/%s\t%s\t%s\t%s\n", c.Level, c.Name, c.Status, c.Duration.Round(time.Millisecond), plainText(c.Detail))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("workertest: write the table: %w", err)
	}
	_, err := fmt.Fprintf(w, "\n%s %s %s: %d passed, %d failed, %d not proved, %d skipped; level %s%s (seed %d)\n",
		plainText(r.URL), plainText(r.Info.UUID), plainText(r.Info.Version),
		r.Count(Pass), r.Count(Fail), r.Count(NotProved), r.Count(Skip), r.Level(), r.contextualText(), r.Seed)
	if err != nil {
		return fmt.Errorf("workertest: write the table: %w", err)
	}
	return nil
}

func (r *Report) contextualText() string {
	if r.Contextual() {
		return ", contextual: batches must not be split"
	}
	return ""
}

func plainText(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || (c >= 0x80 && c < 0xa0) {
			return '·'
		}
		return c
	}, s)
}

// MarshalJSON writes the report for programs.
func (r *Report) MarshalJSON() ([]byte, error) {
	out, err := json.Marshal(struct {
		URL        string    `json:"url"`
		Worker     Info      `json:"worker"`
		Asked      Level     `json:"asked"`
		Level      Level     `json:"level"`
		Contextual bool      `json:"contextual"`
		Failed     int       `json:"failed"`
		NotProved  int       `json:"notProved"`
		Seed       uint64    `json:"seed"`
		Begun      time.Time `json:"begun"`
		DurationMS float64   `json:"durationMs"`
		Cases      []Case    `json:"cases"`
	}{
		r.URL, r.Info, r.Asked, r.Level(), r.Contextual(), r.Count(Fail), r.Count(NotProved), r.Seed, r.Begun.UTC(), milliseconds(r.Duration), r.Cases,
	})
	if err != nil {
		return nil, fmt.Errorf("workertest: encode the report: %w", err)
	}
	return out, nil
}

// WriteJSON writes MarshalJSON's text, indented.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("workertest: write the report: %w", err)
	}
	return nil
}

type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string     `xml:"classname,attr"`
	Name    string     `xml:"name,attr"`
	Time    string     `xml:"time,attr"`
	Failure *junitNote `xml:"failure"`
	Skipped *junitNote `xml:"skipped"`
}

type junitNote struct {
	Message string `xml:"message,attr"`
}

// WriteJUnit writes the report as JUnit XML, one test suite per level.
func (r *Report) WriteJUnit(w io.Writer) error {
	var doc junitSuites
	for _, l := range levels {
		if s := r.junitLevel(l); s.Tests > 0 {
			doc.Suites = append(doc.Suites, s)
		}
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("workertest: write the report: %w", err)
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(doc); err != nil {
		return fmt.Errorf("workertest: write the report: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	if err != nil {
		return fmt.Errorf("workertest: write the report: %w", err)
	}
	return nil
}

func (r *Report) junitLevel(l Level) junitSuite {
	s := junitSuite{Name: "muster conform " + string(l)}
	var took time.Duration
	for _, c := range r.Cases {
		if c.Level != l {
			continue
		}
		jc := junitCase{Class: string(l), Name: c.Name, Time: seconds(c.Duration)}
		switch c.Status {
		case Fail:
			s.Failures++
			jc.Failure = &junitNote{plainText(c.Detail)}
		case Skip:
			s.Skipped++
			jc.Skipped = &junitNote{plainText(c.Detail)}
		case NotProved:
			// JUnit has no warnings; a skip is the outcome that is not a pass.
			s.Skipped++
			jc.Skipped = &junitNote{string(NotProved) + ": " + plainText(c.Detail)}
		case Pass:
		}
		s.Tests++
		took += c.Duration
		s.Cases = append(s.Cases, jc)
	}
	s.Time = seconds(took)
	return s
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

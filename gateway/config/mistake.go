package config

import (
	"fmt"
	"strings"
)

// Mistake is one thing wrong with the configuration. None of its fields ever
// holds a secret.
type Mistake struct {
	// Where is the place: "muster.yaml:12", "MUSTER_HTTP_ADDR", "--store", or
	// "(not set)".
	Where string `json:"where"`
	// Key is the configuration name, such as "http.addr"; empty when there is none.
	Key string `json:"key,omitempty"`
	// Problem says what is wrong.
	Problem string `json:"problem"`
	// Allowed says what may stand there; may be empty.
	Allowed string `json:"allowed,omitempty"`
}

// String returns the mistake as one line.
func (m Mistake) String() string {
	s := m.Where + ": "
	if m.Key != "" {
		s += m.Key + " "
	}
	s += m.Problem
	if m.Allowed != "" {
		s += " (allowed: " + m.Allowed + ")"
	}
	return s
}

// Error is every mistake of one configuration, in the order file, environment,
// flags, and then what the values are to each other.
type Error struct {
	Mistakes []Mistake
}

// Error returns a headline and one line per mistake.
func (e *Error) Error() string {
	var b strings.Builder
	noun := "mistakes"
	if len(e.Mistakes) == 1 {
		noun = "mistake"
	}
	fmt.Fprintf(&b, "the configuration has %d %s:", len(e.Mistakes), noun)
	for _, m := range e.Mistakes {
		b.WriteString("\n  " + m.String())
	}
	return b.String()
}

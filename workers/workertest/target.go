package workertest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/muster-fleet/muster/workers/element"
)

// Info is what a worker tells of itself.
type Info struct {
	Class   string `json:"class"`
	Type    string `json:"type"`
	UUID    string `json:"uuid"`
	Version string `json:"version"`
}

// target is a worker behind one transport. Its errors tell what was wrong with
// the answer, or wrap errNoConnection.
type target interface {
	// describe asks who the worker is, without a token, over a new connection.
	describe(ctx context.Context) (Info, error)
	// filter gives elements and reads what comes back, strictly.
	filter(ctx context.Context, c call) (outcome, error)
	// close releases connections.
	close()
}

// errNoConnection marks a worker that cannot be reached.
var errNoConnection = errors.New("no connection to the worker")

// call is one question.
type call struct {
	kind     element.Kind
	elements []string
	// token is sent when bearer is true.
	token  string
	bearer bool
	// chunk is the number of elements per gRPC message; 0 sends all in one.
	chunk int
}

// outcome is a whole answer: verdicts, or a refusal.
type outcome struct {
	// verdicts has one entry per element that was sent: hidden, whole, or an edit
	// such as "-ssn" or "phone=\"x\""; equal texts are equal verdicts.
	verdicts []string
	// elements are the texts of the visible ones as they came back; over gRPC, as
	// they would be put together.
	elements []string
	// masked are the elements of which a value was changed.
	masked  []int
	refused *refusal
}

const (
	hidden = "hidden"
	whole  = "whole"
)

// refusal is an answer that is no verdict.
type refusal struct {
	// status is the HTTP status, or the one that stands for the gRPC code.
	status int
	// code and description are the error body's.
	code, description string
	// flaw is what is wrong with the error body itself; nil when nothing is.
	flaw error
	// leaks says that the body holds elements beside the error.
	leaks bool
}

// String names the refusal without quoting the worker's description.
func (r *refusal) String() string {
	if r.code == "" {
		return fmt.Sprintf("status %d", r.status)
	}
	return fmt.Sprintf("status %d, error %q", r.status, clip(r.code))
}

// shown counts the visible elements.
func (o outcome) shown() (n int) {
	for _, v := range o.verdicts {
		if v != hidden {
			n++
		}
	}
	return n
}

// edit collects what a worker changed of one element.
type edit struct {
	parts  []string
	masked bool
}

func (e *edit) strip(name string) { e.parts = append(e.parts, "-"+name) }

func (e *edit) mask(name, value string) {
	e.parts = append(e.parts, name+"="+value)
	e.masked = true
}

// String returns the same text for the same edits.
func (e *edit) String() string {
	if len(e.parts) == 0 {
		return whole
	}
	return strings.Join(e.parts, " ")
}

// clip shortens a worker's own text for a message and escapes control characters.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most] + "…"
	}
	q := fmt.Sprintf("%q", s)
	return q[1 : len(q)-1]
}

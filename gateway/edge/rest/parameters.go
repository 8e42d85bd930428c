package rest

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/muster-fleet/muster/gateway/probe"
	"github.com/muster-fleet/muster/proto/fault"
)

// The bounds of a page.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Parameters reads the query parameters of a call and gathers what is wrong with
// them. It is for one goroutine; the zero value is ready.
type Parameters struct {
	given      url.Values
	violations []fault.Violation
}

// ReadQuery reads a request's query strictly: what cannot be decoded, is not
// among the known names, or comes twice is a mistake.
func ReadQuery(r *http.Request, known ...string) *Parameters {
	var p Parameters
	p.Parse(r.URL.RawQuery)
	p.Only(known...)
	return &p
}

// NoQuery refuses query parameters on calls that have none, so that a dry run
// that there is not does not turn out to be a change.
func NoQuery(r *http.Request) error { return ReadQuery(r).Err() }

// Parse reads a raw query.
func (p *Parameters) Parse(raw string) {
	given, err := url.ParseQuery(raw)
	if err != nil {
		p.Add("the query cannot be decoded")
	}
	p.given = given
}

// Only refuses parameters that the call does not know, or that come twice.
func (p *Parameters) Only(known ...string) {
	for name, values := range p.given {
		if !slices.Contains(known, name) {
			p.Add("the query parameter %q is unknown here", probe.Printable(name, 60))
		} else if len(values) > 1 {
			p.Add("the query parameter %s is given %d times", name, len(values))
		}
	}
	slices.SortFunc(p.violations, func(a, b fault.Violation) int {
		return cmp.Compare(a.Detail, b.Detail) // a map has no order of its own
	})
}

// Add notes a mistake.
func (p *Parameters) Add(format string, args ...any) {
	p.violations = append(p.violations, fault.Violation{
		Code: CodeInvalidRequest, Detail: fault.New(fault.Invalid, CodeInvalidRequest, format, args...).Detail,
	})
}

// Err is the one error for all of them; nil when there are none.
func (p *Parameters) Err() error {
	if len(p.violations) == 0 {
		return nil
	}
	e := fault.New(fault.Invalid, CodeInvalidRequest, "%s", p.violations[0].Detail)
	e.Violations = p.violations
	return e
}

// Has reports whether a parameter was given.
func (p *Parameters) Has(name string) bool { return p.given.Has(name) }

// Get returns a parameter's value; "" when it was not given.
func (p *Parameters) Get(name string) string { return p.given.Get(name) }

// Flag reads a parameter that is true or false; nil when it is not given.
func (p *Parameters) Flag(name string) *bool {
	values := p.given[name]
	if len(values) == 0 {
		return nil
	}
	b := values[0] == "true"
	if !b && values[0] != "false" {
		p.Add("the query parameter %s is true or false, not %q", name, probe.Printable(values[0], 60))
	}
	return &b
}

// Limit reads the parameter limit.
func (p *Parameters) Limit() int {
	if !p.Has("limit") {
		return DefaultLimit
	}
	n, err := strconv.Atoi(p.Get("limit"))
	if err != nil {
		n = 0
	}
	p.CheckLimit(n)
	return n
}

// CheckLimit notes a limit that is out of bounds.
func (p *Parameters) CheckLimit(n int) {
	if n < 1 || n > MaxLimit {
		p.Add("limit is a whole number from 1 to %d", MaxLimit)
	}
}

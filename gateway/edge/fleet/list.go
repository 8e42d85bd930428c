package fleet

import (
	"net/url"
	"slices"
	"sort"
	"strconv"

	"github.com/muster-fleet/muster/gateway/probe"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// The bounds of a page.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// query is what a list asks for; zero values ask for everything.
type query struct {
	class, typ string
	state      registry.State
	active     *bool
	limit      int
	after      *cursor
}

var states = []registry.State{
	registry.StateUnknown, registry.StateHealthy, registry.StateSuspect,
	registry.StateUnreachable, registry.StateQuarantined,
}

// parameters gathers what is wrong with the parameters of a call.
type parameters struct{ violations []fault.Violation }

func (p *parameters) add(format string, args ...any) {
	p.violations = append(p.violations, fault.Violation{
		Code: codeInvalidRequest, Detail: fault.New(fault.Invalid, codeInvalidRequest, format, args...).Detail,
	})
}

// err is the one error for all of them; nil when there are none.
func (p *parameters) err() error {
	if len(p.violations) == 0 {
		return nil
	}
	e := fault.New(fault.Invalid, codeInvalidRequest, "%s", p.violations[0].Detail)
	e.Violations = p.violations
	return e
}

// only refuses parameters that the call does not know, or that come twice.
func (p *parameters) only(given url.Values, known ...string) {
	for name, values := range given {
		if !slices.Contains(known, name) {
			p.add("the query parameter %q is unknown here", probe.Printable(name, 60))
		} else if len(values) > 1 {
			p.add("the query parameter %s is given %d times", name, len(values))
		}
	}
	slices.SortFunc(p.violations, func(a, b fault.Violation) int {
		return compareStrings(a.Detail, b.Detail) // a map has no order of its own
	})
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// flag reads a parameter that is true or false; nil when it is not given.
func (p *parameters) flag(given url.Values, name string) *bool {
	values := given[name]
	if len(values) == 0 {
		return nil
	}
	b := values[0] == "true"
	if !b && values[0] != "false" {
		p.add("the query parameter %s is true or false, not %q", name, probe.Printable(values[0], 60))
	}
	return &b
}

// parse reads a raw query strictly: what cannot be decoded is a mistake.
func (p *parameters) parse(raw string) url.Values {
	given, err := url.ParseQuery(raw)
	if err != nil {
		p.add("the query cannot be decoded")
	}
	return given
}

// readQuery reads the parameters of GET /api/workers.
func readQuery(raw string) (query, error) {
	var p parameters
	given := p.parse(raw)
	p.only(given, "class", "type", "state", "active", "limit", "cursor")
	q := query{class: given.Get("class"), typ: given.Get("type"), active: p.flag(given, "active"), limit: defaultLimit}
	if given.Has("state") {
		q.state = registry.State(given.Get("state"))
		p.state(q.state)
	}
	if given.Has("limit") {
		n, err := strconv.Atoi(given.Get("limit"))
		if err != nil {
			n = 0
		}
		q.limit = n
		p.limit(n)
	}
	if c := given.Get("cursor"); c != "" {
		q.after = p.cursor(c)
	}
	return q, p.err()
}

func (p *parameters) state(s registry.State) {
	if !slices.Contains(states, s) {
		p.add("state is one of unknown, healthy, suspect, unreachable, quarantined, not %q", probe.Printable(string(s), 60))
	}
}

func (p *parameters) limit(n int) {
	if n < 1 || n > maxLimit {
		p.add("limit is a whole number from 1 to %d", maxLimit)
	}
}

func (p *parameters) cursor(s string) *cursor {
	c, err := parseCursor(s)
	if err != nil {
		p.add("cursor %v", err)
	}
	return &c
}

// list returns the page that q asks for, and the cursor of the next one; empty
// when there is none.
func (s *service) list(q query) (records []Record, next string) {
	workers, now := s.Registry.Snapshot().Workers, s.now()
	from := 0
	if q.after != nil {
		from = sort.Search(len(workers), func(i int) bool { return q.after.compare(workers[i]) > 0 })
	}
	records = []Record{}
	var last *registry.Worker
	for _, w := range workers[from:] {
		standing, ok := s.matches(q, w)
		if !ok {
			continue
		}
		if len(records) == q.limit {
			return records, cursor{name: last.Name, id: last.ID}.String()
		}
		records = append(records, Render(w, standing, now))
		last = w
	}
	return records, ""
}

// matches reports whether the worker passes the filters, and its standing if so.
func (s *service) matches(q query, w *registry.Worker) (registry.Standing, bool) {
	if q.class != "" && w.Class != q.class || q.typ != "" && w.Type != q.typ ||
		q.active != nil && w.ActiveAt(s.now()) != *q.active {
		return registry.Standing{}, false
	}
	standing := s.Prober.Standing(w.ID)
	return standing, q.state == "" || standing.State == q.state
}

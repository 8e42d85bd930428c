package fleet

import (
	"net/http"
	"slices"
	"sort"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/gateway/probe"
	"github.com/muster-fleet/muster/registry"
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

// readQuery reads the parameters of GET /api/workers.
func readQuery(r *http.Request) (query, error) {
	p := rest.ReadQuery(r, "class", "type", "state", "active", "limit", "cursor")
	q := query{class: p.Get("class"), typ: p.Get("type"), active: p.Flag("active")}
	if p.Has("state") {
		q.state = registry.State(p.Get("state"))
		checkState(p, q.state)
	}
	q.limit = p.Limit()
	if c := p.Get("cursor"); c != "" {
		q.after = readCursor(p, c)
	}
	return q, p.Err()
}

func checkState(p *rest.Parameters, s registry.State) {
	if !slices.Contains(states, s) {
		p.Add("state is one of unknown, healthy, suspect, unreachable, quarantined, not %q", probe.Printable(string(s), 60))
	}
}

func readCursor(p *rest.Parameters, s string) *cursor {
	c, err := parseCursor(s)
	if err != nil {
		p.Add("cursor %v", err)
	}
	return &c
}

// sees reports whether a caller may see a worker.
func sees(who *rest.Caller, w *registry.Worker) bool { return who.May(authz.TypeWorker, string(w.ID)) }

// list returns the page that q asks for of what the caller may see, and the cursor
// of the next one; empty when there is none.
func (s *service) list(q query, who *rest.Caller) (records []Record, next string) {
	workers, now := s.Registry.Snapshot().Workers, s.now()
	from := 0
	if q.after != nil {
		from = sort.Search(len(workers), func(i int) bool { return q.after.compare(workers[i]) > 0 })
	}
	records = []Record{}
	var last *registry.Worker
	for _, w := range workers[from:] {
		standing, ok := s.matches(q, w)
		if !ok || !sees(who, w) {
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

package registry

import (
	"sync"
	"time"

	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/registry/rule"
)

// Snapshot is an immutable picture of everything that the data plane needs. A
// request takes one at its start and uses no other. It is safe for concurrent
// use; nothing reached through it may be changed.
type Snapshot struct {
	// Gateway is the uuid under which this fleet's gateways answer GET /.
	Gateway WorkerID
	// Revision is the store's change counter that the snapshot was read at.
	Revision Revision
	// LoadedAt is when it was last known to be the newest.
	LoadedAt time.Time
	// Workers are all workers, ordered by name, then uuid.
	Workers []*Worker
	// Rules are all rules, staged ones apart; never nil. The same set stays until
	// a rule changes, so its address tells whether one has.
	Rules *rule.Set
	// Model is the graph model; never nil. As with Rules, its address tells whether
	// it was replaced.
	Model *rule.Model
	// ModelRevision is the store's, of the change that stored the model; 0 when
	// none ever was.
	ModelRevision Revision
	// Access is who may do what; nil, which is of use too, when there is nobody and
	// nothing. Its address tells whether anything changed.
	Access *access.Set

	retired []rule.Binding // what ids stood for that the model no longer has

	byID     map[WorkerID]*Worker
	byURL    func() map[string]*Worker // by normalised url; made at the first use
	security []*Worker
}

// NewSnapshot builds a snapshot over workers, which it takes over and which
// must be ordered by name, then uuid.
func NewSnapshot(gateway WorkerID, rev Revision, loadedAt time.Time, workers []*Worker) *Snapshot {
	s := &Snapshot{
		Gateway: gateway, Revision: rev, LoadedAt: loadedAt, Rules: &rule.Set{}, Model: &rule.Model{},
	}
	s.setWorkers(workers)
	return s
}

// WithRules returns a copy of s that has this model and these rules; nil stands
// for none.
func (s *Snapshot) WithRules(model *rule.Model, rules *rule.Set) *Snapshot {
	next := *s
	if next.Model = model; model == nil {
		next.Model = &rule.Model{}
	}
	if next.Rules = rules; rules == nil {
		next.Rules = &rule.Set{}
	}
	return &next
}

// WithAccess returns a copy of s in which these may do what they may.
func (s *Snapshot) WithAccess(set *access.Set) *Snapshot {
	next := *s
	next.Access = set
	return &next
}

// setWorkers takes over workers, ordered by name, then uuid.
func (s *Snapshot) setWorkers(workers []*Worker) {
	s.Workers, s.security = workers, nil
	s.byID = make(map[WorkerID]*Worker, len(workers))
	s.byURL = sync.OnceValue(func() map[string]*Worker { return indexURLs(workers) })
	for _, w := range workers {
		s.byID[w.ID] = w
		if w.IsGraphSecurity() {
			s.security = append(s.security, w)
		}
	}
}

// Worker returns the worker with this id, or nil.
func (s *Snapshot) Worker(id WorkerID) *Worker { return s.byID[id] }

// GraphSecurity returns every ExternalGraphSecurity worker, active or not,
// ordered by name, then uuid. The slice must not be changed.
func (s *Snapshot) GraphSecurity() []*Worker { return s.security }

func indexURLs(workers []*Worker) map[string]*Worker {
	index := make(map[string]*Worker, len(workers))
	for _, w := range workers {
		if key, err := NormalizeURL(w.URL); err == nil { // it was checked before it was stored
			index[key] = w
		}
	}
	return index
}

// workerByURL returns the worker with this url, compared in normalised form, or
// nil.
func (s *Snapshot) workerByURL(url string) *Worker {
	key, err := NormalizeURL(url)
	if err != nil {
		return nil
	}
	return s.byURL()[key]
}

package probe_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// memory is a registry without a store: it keeps what a Prober needs to keep.
type memory struct {
	mu       sync.Mutex
	workers  map[registry.WorkerID]*registry.Worker
	revision registry.Revision
	snap     *registry.Snapshot
	watchers []chan *registry.Snapshot
	down     bool
	log      []string
}

func newMemory(n int) *memory {
	m := &memory{workers: map[registry.WorkerID]*registry.Worker{}}
	for i := range n {
		m.put(i, nil)
	}
	m.publish()
	return m
}

func idOf(i int) registry.WorkerID {
	return registry.WorkerID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
}

func (m *memory) put(i int, edit func(w *registry.Worker)) {
	w := &registry.Worker{
		ID: idOf(i), Name: fmt.Sprintf("w%05d", i), URL: fmt.Sprintf("http://w%05d:1/", i), Transport: registry.TransportREST,
		Class: registry.ClassResult, Type: registry.TypeGraphSecurity, Version: "1", Active: true, RegisteredAt: time.Now(),
	}
	if old := m.workers[w.ID]; old != nil {
		*w = *old
	}
	if edit != nil {
		edit(w)
	}
	m.workers[w.ID] = w
}

// publish is called with mu held, or before there is anybody else.
func (m *memory) publish() {
	m.revision++
	var all []*registry.Worker
	for _, w := range m.workers {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b *registry.Worker) int { return strings.Compare(a.Name, b.Name) })
	m.snap = registry.NewSnapshot("", m.revision, time.Now(), all)
	for _, ch := range m.watchers {
		select {
		case <-ch:
		default:
		}
		ch <- m.snap
	}
}

func (m *memory) change(do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	do()
	m.publish()
}

func (m *memory) Snapshot() *registry.Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.snap
}

func (m *memory) Watch(context.Context) <-chan *registry.Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	ch := make(chan *registry.Snapshot, 1)
	ch <- m.snap
	m.watchers = append(m.watchers, ch)
	return ch
}

func (m *memory) edit(id registry.WorkerID, what string, edit func(w *registry.Worker)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return fault.New(fault.Unavailable, "store_unavailable", "down")
	}
	w := m.workers[id]
	if w == nil {
		return fault.New(fault.NotFound, "not_found", "gone")
	}
	c := *w
	edit(&c)
	m.workers[id] = &c
	m.log = append(m.log, what)
	m.publish()
	return nil
}

func (m *memory) Quarantine(_ context.Context, id registry.WorkerID, reason string) error {
	return m.edit(id, "quarantine "+w5(id), func(w *registry.Worker) {
		w.Quarantined = &registry.Quarantine{Reason: reason, Since: time.Now()}
	})
}

func (m *memory) Pardon(_ context.Context, actor registry.Actor, id registry.WorkerID) error {
	return m.edit(id, "pardon "+w5(id)+" by "+actor.Username, func(w *registry.Worker) { w.Quarantined = nil })
}

func (m *memory) RecordVersion(_ context.Context, id registry.WorkerID, version string) error {
	return m.edit(id, "version "+w5(id)+" "+version, func(w *registry.Worker) { w.Version = version })
}

func w5(id registry.WorkerID) string { return "w" + string(id[len(id)-5:]) }

func (m *memory) logged() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.log)
}

// workers answers probes as the test says.
type workers struct {
	mu      sync.Mutex
	reply   func(ctx context.Context, i int) (registry.Info, error)
	asked   map[string]int
	running int
	most    int
}

func info(i int) registry.Info {
	return registry.Info{Class: registry.ClassResult, Type: registry.TypeGraphSecurity, ID: idOf(i), Version: "1"}
}

func answering(reply func(ctx context.Context, i int) (registry.Info, error)) *workers {
	return &workers{reply: reply, asked: map[string]int{}}
}

func healthy() *workers {
	return answering(func(_ context.Context, i int) (registry.Info, error) { return info(i), nil })
}

func (w *workers) Measure(ctx context.Context, url string, _ registry.Transport) (registry.Info, time.Duration, error) {
	w.mu.Lock()
	w.asked[url]++
	w.running++
	w.most = max(w.most, w.running)
	reply := w.reply
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.running--
		w.mu.Unlock()
	}()
	var i int
	if _, err := fmt.Sscanf(url, "http://w%05d", &i); err != nil {
		return registry.Info{}, 0, err
	}
	got, err := reply(ctx, i)
	return got, 3 * time.Millisecond, err
}

func (w *workers) set(reply func(ctx context.Context, i int) (registry.Info, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reply = reply
}

func (w *workers) counts() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.asked)
}

package transform_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/transform"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
)

// lease is short, so that tests need not wait long; all times of the engine scale
// with it.
const lease = 1200 * time.Millisecond

// TestAReplicaThatIsCutOffGivesUpBeforeOthersTakeOver cuts one off from the store
// in the middle of an attempt: it ends the attempt by itself, and only then
// another one begins.
func TestAReplicaThatIsCutOffGivesUpBeforeOthersTakeOver(t *testing.T) {
	h := newHouse(t, true)
	cut := h.start(transform.Config{Lease: lease})
	gone := make(chan struct{}, 4)
	w := newWorker(t, hang(gone))
	once := 1
	cut.setUp(t, w.URL, func(in *registry.StepInput) { in.Retries = &once })
	of := cut.begin(t, "nightly")
	cut.until(t, of, "the worker is called", func(run.Run) bool { _, under, _ := w.count(); return under == 1 })
	other := h.start(transform.Config{Lease: lease})
	began := time.Now()
	cut.lose()
	<-gone
	if took := time.Since(began); took >= lease {
		t.Errorf("it went on for %s, and others may take over after %s", took, lease)
	}
	w.mu.Lock()
	w.do = answer(http.StatusOK, "taken up")
	w.mu.Unlock()
	got := other.ended(t, of)
	if got.State != run.Succeeded || len(got.Attempts) != 2 || got.Attempts[0].State != run.Interrupted ||
		!strings.Contains(got.Attempts[0].Message, "not been heard of") {
		t.Errorf("%+v", got)
	}
	if _, _, most := w.count(); most != 1 {
		t.Errorf("%d attempts at once", most)
	}
}

// TestALivingReplicaKeepsItsRun has one carry out an attempt for several leases
// while another looks on.
func TestALivingReplicaKeepsItsRun(t *testing.T) {
	h := newHouse(t, true)
	one := h.start(transform.Config{Lease: lease})
	release := make(chan struct{})
	w := newWorker(t, func(rw http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	one.setUp(t, w.URL, nil)
	of := one.begin(t, "nightly")
	two := h.start(transform.Config{Lease: lease})
	<-time.After(3 * lease) // how long it holds is the point of the test
	if got, err := two.Run(t.Context(), "nightly", of.ID); err != nil || got.State != run.Running {
		t.Errorf("%+v %v", got, err)
	}
	close(release)
	if got := two.ended(t, of); got.State != run.Succeeded || len(got.Attempts) != 1 {
		t.Errorf("%+v", got)
	}
}

// TestACancelReachesTheReplicaThatCarriesOut cancels at one what another one does.
func TestACancelReachesTheReplicaThatCarriesOut(t *testing.T) {
	h := newHouse(t, true)
	one := h.start(transform.Config{Lease: time.Hour})
	gone := make(chan struct{}, 1)
	w := newWorker(t, hang(gone))
	one.setUp(t, w.URL, nil)
	of := one.begin(t, "nightly")
	one.until(t, of, "the worker is called", func(run.Run) bool { _, under, _ := w.count(); return under == 1 })
	two := h.start(transform.Config{Lease: time.Hour})
	if _, err := two.CancelRun(t.Context(), admin, "nightly", of.ID); err != nil {
		t.Fatal(err)
	}
	<-gone
	if got := two.ended(t, of); got.State != run.Cancelled {
		t.Errorf("%+v", got)
	}
}

// TestManyReplicasShareTheRuns starts runs of several steps at several replicas:
// each is carried out once, and of one step never two at a time.
func TestManyReplicasShareTheRuns(t *testing.T) {
	h := newHouse(t, true)
	var mu sync.Mutex
	under, calls := map[string]int{}, map[string]int{}
	byRun := map[string]string{}
	w := newWorker(t, func(_ http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Muster-Run")
		mu.Lock()
		calls[id]++
		step := byRun[id]
		under[step]++
		if step != "" && under[step] > 1 {
			t.Errorf("%d attempts of %s at once", under[step], step)
		}
		mu.Unlock()
		<-time.After(20 * time.Millisecond) // long enough to overlap
		mu.Lock()
		under[step]--
		mu.Unlock()
	})
	all := []*replica{h.start(transform.Config{})}
	all[0].setUp(t, w.URL, nil)
	const steps, rounds = 4, 5
	for n := range steps {
		all[0].put(t, fmt.Sprint("s", n), nil)
	}
	all = append(all, h.start(transform.Config{}), h.start(transform.Config{}))
	var started sync.WaitGroup
	var runs []run.Run
	for n := range steps {
		started.Go(func() {
			for round := range rounds {
				r := all[(n+round)%len(all)]
				got, err := r.StartRun(t.Context(), admin, registry.StartInput{Step: fmt.Sprint("s", n), Coalesce: true})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				byRun[string(got.ID)] = got.Step
				runs = append(runs, got)
				mu.Unlock()
			}
		})
	}
	started.Wait()
	for _, of := range runs {
		if got := all[1].ended(t, of); got.State != run.Succeeded || len(got.Attempts) != 1 {
			t.Errorf("%+v", got)
		}
	}
	for id, n := range calls {
		if n != 1 {
			t.Errorf("run %s was carried out %d times", id, n)
		}
	}
}

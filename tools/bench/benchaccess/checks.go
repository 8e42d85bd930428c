package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry/access"
)

// live is a set that is published, as a registry does, and the front that answers
// for it.
type live struct {
	front   access.Front
	current atomic.Pointer[access.Set]
}

func (l *live) publish(s *access.Set) {
	l.front.Follow(s)
	l.current.Store(s)
}

// churn changes rows a thousand times a second until ctx ends, and tells how often.
func (l *live) churn(ctx context.Context, t *town) int {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return n
		case <-tick.C:
		}
		for due := int(time.Since(began).Milliseconds()); n < due; n++ {
			l.publish(l.current.Load().With(t.row(n)))
		}
	}
}

// floor is what cannot be done without: Go's own maps find a resource and a user,
// with records as large as those of a set, and decide nothing.
type floor struct {
	resources map[[2]string]*[144]byte
	users     map[access.ID]*[144]byte
}

func newFloor(t *town) *floor {
	f := &floor{map[[2]string]*[144]byte{}, map[access.ID]*[144]byte{}}
	for n := range t.resources() {
		typ, id := resource(n)
		f.resources[[2]string{typ, id}] = new([144]byte)
	}
	for n := range t.users {
		f.users[numbered('u', n)] = new([144]byte)
	}
	return f
}

func (f *floor) ask(q *question) bool {
	sum := f.users[q.who.User.ID][0]
	if r := f.resources[[2]string{q.typ, q.id}]; r != nil {
		sum += r[0]
	}
	return sum == 0
}

// way is one way to answer questions, timed one by one, in rounds.
type way struct {
	name string
	ask  func(ctx context.Context, q *question) (bool, error)
	want func(q *question) bool
	// share is of which share of the questions it is asked: ways that are slow are
	// asked fewer.
	share int
	// p50 and p99 are of each round, in nanoseconds.
	p50, p99 []float64
	took     []time.Duration
}

// round asks questions, and looks at each answer once all of them were timed.
func (w *way) round(ctx context.Context, asked []question, touched *int) error {
	asked = asked[:len(asked)/w.share]
	answers := make([]bool, len(asked))
	w.took = w.took[:0]
	for i := range asked {
		q := &asked[i]
		*touched += q.touch()
		start := time.Now()
		got, err := w.ask(ctx, q)
		w.took = append(w.took, time.Since(start))
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		answers[i] = got
	}
	for i := range asked {
		if answers[i] != w.want(&asked[i]) {
			return fmt.Errorf("%s: %s %s of %s is %v", w.name, asked[i].typ, asked[i].id, asked[i].who.User.ID, answers[i])
		}
	}
	slices.Sort(w.took)
	at := func(share float64) float64 { return float64(w.took[int(share*float64(len(w.took)-1))]) }
	w.p50, w.p99 = append(w.p50, at(0.5)), append(w.p99, at(0.99))
	return nil
}

// touch reads what a request has just read itself: texts from their beginning to
// their end.
func (q *question) touch() int {
	sum := int(q.who.User.ID[0]) + int(q.typ[0]) + int(q.id[0]) + int(q.id[len(q.id)-1])
	for _, name := range q.who.Named {
		sum += int(name[0]) + int(name[len(name)-1])
	}
	return sum
}

// check is what a gateway asks: whether somebody is an administrator, and if not,
// whether a grant reaches them.
func (l *live) check(q *question, now time.Time) bool {
	look := l.current.Load().Look(q.who.User, q.typ, q.id, true)
	return look.IsAdmin(&q.who) || look.Allows(&q.who, now)
}

// clock is the median of what reading the clock twice takes, which is in every
// number.
func clock() float64 {
	took := make([]float64, 10_001)
	for i := range took {
		start := time.Now()
		took[i] = float64(time.Since(start))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// race asks all ways in turn, each all its questions, while rows are changed: none
// has anything in the caches from another. It returns how many changes a second were
// made, and the allocations of a check when nothing else runs.
func (l *live) race(ctx context.Context, t *town, ways []*way, asked []question, rounds int) (changes, allocations float64, err error) {
	churning, stop := context.WithCancel(ctx)
	defer stop()
	began, changed := time.Now(), make(chan int)
	go func() { changed <- l.churn(churning, t) }()
	touched := 0
	for range rounds {
		for _, w := range ways {
			if err == nil {
				err = w.round(ctx, asked, &touched)
			}
		}
	}
	took := time.Since(began)
	stop()
	changes = float64(<-changed) / took.Seconds()
	if err != nil {
		return 0, 0, err
	}
	if touched == 0 {
		return 0, 0, errors.New("nothing was asked")
	}
	yes := 0
	const checked = 1000
	allocations = testing.AllocsPerRun(5, func() {
		for i := range asked[:checked] {
			if l.check(&asked[i], t.began) {
				yes++
			}
		}
	}) / checked
	if yes == 0 {
		return 0, 0, errors.New("nobody is allowed anything")
	}
	return changes, allocations, nil
}

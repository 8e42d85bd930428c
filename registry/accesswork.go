package registry

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/muster-fleet/muster/registry/access"
)

// Bounds of what is written in the background.
const (
	// workRows is how many rows of the audit log one transaction takes.
	workRows = 100
	// workWaiting is how many different rows may wait; what comes then is counted by
	// its code.
	workWaiting = 1000
	// workCodes is how many codes are counted apart.
	workCodes = 100
	// workPause is the least time between two transactions, workAgain after one that
	// failed.
	workPause = time.Second
	workAgain = 5 * time.Second
	// usePause is how often uses of tokens are written, and useEvery how often one
	// token's.
	usePause = 15 * time.Second
	useEvery = time.Minute
	// knownAddresses is how many addresses of a token are remembered.
	knownAddresses = 16
)

// refusal is what is told of a refused change; equal ones are counted.
type refusal struct {
	actor                  Actor
	action, resource, code string
}

// waiting is a row that waits to be written, with how often it came.
type waiting struct {
	refusal
	token       access.ID // of a token's use, with the addresses
	from, to    string
	count       int
	first, last time.Time
}

// tokenUse is what is remembered of a token that was used.
type tokenUse struct {
	at      time.Time // the last use
	written time.Time // the last one that was handed to the store
	address string
	known   []string // the last addresses, newest last
	pending bool
}

// accessWork writes what nobody waits for: refusals and uses of tokens. One
// goroutine does, which end ends. All methods are safe for concurrent use.
type accessWork struct {
	flush func(ctx context.Context, rows []*waiting, more map[string]int, uses map[access.ID]tokenUse) error
	log   *slog.Logger
	now   func() time.Time

	mu    sync.Mutex
	rows  map[refusal]*waiting
	order []*waiting // rows in the order of arrival, and such as are told one by one
	more  map[string]int
	uses  map[access.ID]*tokenUse

	gone func(access.ID) bool // tells of a token that nobody can use any more

	wake     chan struct{} // a row waits
	stop     chan struct{} // no more comes
	done     chan struct{}
	stopping sync.Once
}

func newAccessWork(s *Service) *accessWork {
	return &accessWork{
		flush: s.writeWork, log: s.log, now: s.now, gone: s.tokenGone,
		rows: map[refusal]*waiting{}, more: map[string]int{}, uses: map[access.ID]*tokenUse{},
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
}

// AuditRefused has the audit log say that a change was refused, with the code of
// the refusal. It does not wait: rows that are the same are counted while the
// store is busy, and when there are too many they are counted by their code.
func (s *Service) AuditRefused(a Actor, action, resource, code string) {
	s.work.refused(refusal{a.storable(), storable(action), storable(resource), storable(code)})
}

// TokenUsed notes that a token was used at a time from an address. It does not
// wait: uses are stored at most once a minute and token. An address that the token
// was not used from lately goes to the audit log, unless it is the first of all.
func (s *Service) TokenUsed(id access.ID, at time.Time, address string) {
	s.work.used(s.Snapshot().Access.Token(id), stored(at), storable(address), s.ownerActor)
}

// ownerActor is the owner of a token as an actor.
func (s *Service) ownerActor(t *access.Token, address string) Actor {
	a := Actor{User: t.User.String(), Token: t.ID.String(), Address: address}
	if u := s.Snapshot().Access.User(t.User); u != nil {
		a.Issuer, a.Subject, a.Username = u.Issuer, u.Subject, u.Username
	}
	return a
}

func (w *accessWork) refused(r refusal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if same := w.rows[r]; same != nil {
		same.count++
		same.last = now
		return
	}
	w.add(&waiting{refusal: r, count: 1, first: now, last: now})
}

// add has a row wait, or counts it. The caller has the lock.
func (w *accessWork) add(row *waiting) {
	if len(w.order) >= workWaiting {
		w.countMore(row.code, row.count)
	} else {
		w.order = append(w.order, row)
		w.rows[row.refusal] = row
	}
	w.poke()
}

func (w *accessWork) countMore(code string, n int) {
	if _, known := w.more[code]; !known && len(w.more) >= workCodes {
		code = "other"
	}
	w.more[code] += n
}

func (w *accessWork) poke() {
	select {
	case w.wake <- struct{}{}:
	default: // it is awake
	}
}

func (w *accessWork) used(t *access.Token, at time.Time, address string, owner func(*access.Token, string) Actor) {
	if t == nil {
		return // it is gone meanwhile
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	u := w.uses[t.ID]
	if u == nil {
		u = &tokenUse{written: t.LastUsed, address: t.LastAddress}
		if t.LastAddress != "" {
			u.known = []string{t.LastAddress}
		}
		w.uses[t.ID] = u
	}
	if at.Before(u.at) {
		at = u.at
	}
	strange := address != "" && !slices.Contains(u.known, address)
	if strange && len(u.known) > 0 {
		w.add(&waiting{
			refusal: refusal{actor: owner(t, address), action: ActionTokenNewAddress, resource: tokenResource(t.ID), code: ActionTokenNewAddress},
			token:   t.ID, from: u.address, to: address, count: 1, first: at, last: at,
		})
	}
	if strange {
		if u.known = append(u.known, address); len(u.known) > knownAddresses {
			u.known = slices.Delete(u.known, 0, 1)
		}
	}
	if strange || u.written.IsZero() || at.Sub(u.written) >= useEvery {
		u.pending = true
	}
	u.at = at
	if address != "" {
		u.address = address
	}
}

// run writes until end is called, and then what is left.
func (w *accessWork) run(ctx context.Context) {
	defer close(w.done)
	uses := time.NewTicker(usePause)
	defer uses.Stop()
	next := time.NewTimer(0)
	defer next.Stop()
	<-next.C
	last, armed := time.Time{}, false
	arm := func(pause time.Duration) {
		if !armed {
			next.Reset(max(0, pause-time.Since(last)))
			armed = true
		}
	}
	for {
		select {
		case <-w.stop:
			w.drain(ctx)
			return
		case <-w.wake:
			arm(workPause)
			continue
		case <-uses.C:
			w.forget()
			if armed {
				continue // they go along
			}
		case <-next.C:
			armed = false
		}
		left, err := w.write(ctx)
		last = time.Now()
		switch {
		case err != nil:
			arm(workAgain)
		case left:
			arm(workPause)
		}
	}
}

// drain writes what is left, and says what is lost if it cannot.
func (w *accessWork) drain(ctx context.Context) {
	for {
		left, err := w.write(ctx)
		if err == nil && left {
			continue
		}
		if err != nil {
			w.mu.Lock()
			rows, more := len(w.order), 0
			for _, n := range w.more {
				more += n
			}
			w.mu.Unlock()
			w.log.ErrorContext(ctx, "rows for the audit log are lost: the store cannot be written to while Muster ends",
				"rows", rows, "counted", more, "error", err)
		}
		return
	}
}

// write stores the first of what waits; left says that there is more. What could
// not be stored waits on.
func (w *accessWork) write(ctx context.Context) (left bool, err error) {
	rows, more, uses := w.take()
	if len(rows) == 0 && len(more) == 0 && len(uses) == 0 {
		return false, nil
	}
	err = w.flush(ctx, rows, more, uses)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.log.WarnContext(ctx, "rows for the audit log wait until the store can be written to", "rows", len(rows)+len(w.order), "error", err)
		w.putBack(rows, more, uses)
		return true, err
	}
	for id, used := range uses {
		if u := w.uses[id]; u != nil {
			u.written = used.at
		}
	}
	return len(w.order) > 0 || len(w.more) > 0, nil
}

// take takes the first rows, all counts once no row waits behind them, and all
// uses.
func (w *accessWork) take() (rows []*waiting, more map[string]int, uses map[access.ID]tokenUse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.order), workRows)
	rows = slices.Clone(w.order[:n])
	w.order = slices.Delete(w.order, 0, n)
	for _, row := range rows {
		delete(w.rows, row.refusal)
	}
	more, w.more = w.more, map[string]int{}
	uses = map[access.ID]tokenUse{}
	for id, u := range w.uses {
		if u.pending {
			u.pending = false
			uses[id] = *u
		}
	}
	return rows, more, uses
}

// putBack has what was taken wait again. The caller has the lock.
func (w *accessWork) putBack(rows []*waiting, more map[string]int, uses map[access.ID]tokenUse) {
	again := make([]*waiting, 0, len(rows)+len(w.order))
	for _, row := range rows {
		if same := w.rows[row.refusal]; same != nil {
			row.count += same.count
			row.last = same.last
			w.order = slices.DeleteFunc(w.order, func(o *waiting) bool { return o == same })
		}
		w.rows[row.refusal] = row
		again = append(again, row)
	}
	w.order = append(again, w.order...)
	for code, n := range more {
		w.countMore(code, n)
	}
	for id := range uses {
		if u := w.uses[id]; u != nil {
			u.pending = true
		}
	}
}

// forget drops what is remembered of tokens that are gone.
func (w *accessWork) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.uses, func(id access.ID, u *tokenUse) bool { return !u.pending && w.gone(id) })
}

// end has all that waits written, and the goroutine end; it waits for that no
// longer than ctx. done tells when it has ended.
func (w *accessWork) end(ctx context.Context, cancel context.CancelFunc) {
	w.stopping.Do(func() { close(w.stop) })
	select {
	case <-w.done:
	case <-ctx.Done():
	}
	cancel()
}

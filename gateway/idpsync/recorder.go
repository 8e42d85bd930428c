package idpsync

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

const (
	// maxPending bounds the people who wait to be written. Whoever finds no room
	// comes again with their next request.
	maxPending = 10_000
	// maxHandled bounds what is remembered of tokens that need no writing.
	maxHandled = 100_000
	// settled is for how long a person of whom nothing changed is not written again
	// for a newer token.
	settled = 10 * time.Minute
	// retryAfter is how long a failed write waits.
	retryAfter = 5 * time.Second
)

// Registry is what the recorder reads and writes; *registry.Service is one.
type Registry interface {
	Snapshot() *registry.Snapshot
	SeenUser(ctx context.Context, s registry.Seen) error
}

// Config says whose words count for what.
type Config struct {
	// Primary is the issuer whose verified e-mail addresses bind users that were
	// made by e-mail, and whom the Confirmer asks.
	Primary string
	// Names appends the names of the groups that a token gives its holder, by the
	// mapping of roles and groups, and by the groups claim itself.
	Names func(names []string, p *token.Principal) []string
	// Admits reports whether the provider may create a group of this name; nil
	// admits none.
	Admits func(name string) bool
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
}

// person is the key of somebody who was seen.
type person struct{ issuer, subject string }

// Recorder takes note of people. It is safe for concurrent use; Run writes what
// was noted.
type Recorder struct {
	config   Config
	registry Registry
	log      *slog.Logger
	wake     chan struct{}

	mu      sync.Mutex
	pending map[person]*token.Principal
	handled map[person]time.Time // the iat of the newest token that was dealt with
}

// NewRecorder returns a Recorder.
func NewRecorder(c Config, r Registry, log *slog.Logger) (*Recorder, error) {
	if c.Names == nil || r == nil || log == nil {
		return nil, errors.New("idpsync: Names, a registry and a logger are required")
	}
	if c.Admits == nil {
		c.Admits = func(string) bool { return false }
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return &Recorder{
		config: c, registry: r, log: log, wake: make(chan struct{}, 1),
		pending: map[person]*token.Principal{}, handled: map[person]time.Time{},
	}, nil
}

// Saw takes note of the bearer of a verified token of the issuer. It never
// blocks on a store, and for a token that is known already it costs one look.
func (r *Recorder) Saw(p *token.Principal) {
	if u := r.registry.Snapshot().Access.UserOf(p.Issuer, p.Subject); u != nil && !p.IssuedAt.After(u.SyncedAt) {
		return
	}
	key := person{p.Issuer, p.Subject}
	r.mu.Lock()
	known, is := r.handled[key]
	waiting := r.pending[key]
	fresh := (!is || p.IssuedAt.After(known)) && (waiting == nil || p.IssuedAt.After(waiting.IssuedAt)) &&
		(waiting != nil || len(r.pending) < maxPending)
	if fresh {
		r.pending[key] = p
	}
	r.mu.Unlock()
	if fresh {
		select {
		case r.wake <- struct{}{}:
		default: // Run will look in any case
		}
	}
}

// Run writes what was noted until ctx ends.
func (r *Recorder) Run(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-again.C:
		}
		if !r.write(ctx) {
			again.Reset(retryAfter)
		}
	}
}

// write deals with everybody who is waiting, and reports whether nobody has to
// wait longer. When the store is gone the rest waits: it will be gone for them too.
func (r *Recorder) write(ctx context.Context) bool {
	for {
		p := r.next()
		if p == nil {
			return true
		}
		err := r.record(ctx, p)
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			r.log.WarnContext(ctx, "who was seen could not be stored; it is tried again", "error", err)
			r.done(p, false)
			return false
		}
		r.done(p, true)
	}
}

func (r *Recorder) next() *token.Principal {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pending {
		return p
	}
	return nil
}

// done takes somebody off the list, unless a newer token came meanwhile or it has
// to be tried again.
func (r *Recorder) done(p *token.Principal, stored bool) {
	key := person{p.Issuer, p.Subject}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !stored {
		return
	}
	if r.pending[key] == p {
		delete(r.pending, key)
	}
	if len(r.handled) >= maxHandled {
		clear(r.handled)
	}
	r.handled[key] = p.IssuedAt
}

// record stores what a token says of its bearer, unless all of it is known.
func (r *Recorder) record(ctx context.Context, p *token.Principal) error {
	set := r.registry.Snapshot().Access
	s := registry.Seen{
		Issuer: p.Issuer, Subject: p.Subject, Username: p.Username, Email: p.Email, EmailVerified: p.EmailVerified,
		Primary: p.Issuer == r.config.Primary, Groups: r.groups(set, p), IssuedAt: p.IssuedAt,
	}
	if s.IssuedAt.IsZero() {
		s.IssuedAt = r.config.Clock() // RFC 7519 does not demand iat
	}
	if same(set, &s) {
		return nil
	}
	return r.registry.SeenUser(ctx, s)
}

// groups are the names of the groups to be stored: those that are there, and
// those that the provider may create. It is nil when the token has no groups
// claim, which changes nothing.
func (r *Recorder) groups(set *access.Set, p *token.Principal) []string {
	if p.Groups == nil {
		return nil
	}
	names := r.config.Names([]string{}, p)
	names = slices.DeleteFunc(names, func(name string) bool {
		return set.GroupByName(name) == nil && !r.config.Admits(name)
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// same reports whether the register says already, and has been told lately, what
// a token says.
func same(set *access.Set, s *registry.Seen) bool {
	u := set.UserOf(s.Issuer, s.Subject)
	if u == nil || u.Username != s.Username || u.Email != s.Email || s.IssuedAt.Sub(u.SyncedAt) >= settled {
		return false
	}
	if s.Groups == nil {
		return true
	}
	var stored []string
	for m := range set.GroupsOf(u.ID) {
		if g := set.Group(m.Group); m.Source == access.SourceSync && g != nil {
			stored = append(stored, g.Name)
		}
	}
	slices.Sort(stored)
	return slices.Equal(stored, s.Groups)
}

package idpsync

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
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
	// maxTogether bounds the people of one transaction.
	maxTogether = 500
	// settled is for how long a person of whom nothing changed is not written again
	// for a newer token.
	settled = 10 * time.Minute
	// retryAfter is how long a failed write waits.
	retryAfter = 5 * time.Second
)

// Registry is what the recorder reads and writes; *registry.Service is one.
type Registry interface {
	Snapshot() *registry.Snapshot
	SeenUsers(ctx context.Context, all []registry.Seen) error
}

// Config says whose words count for what.
type Config struct {
	// Primary is the issuer whose verified e-mail addresses bind users that were
	// made by e-mail, and whom the Confirmer asks.
	Primary string
	// GroupsPrefix is what the primary issuer's groups are called with before their
	// names in its tokens.
	GroupsPrefix string
	// Names returns the names of the groups that a token gives its holder, by the
	// mapping of roles and groups and by the groups claim itself, each once.
	Names func(p *token.Principal) []string
	// Admits reports whether the provider may create a group of this name; nil
	// admits none.
	Admits func(name string) bool
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
}

// person is the key of somebody who was seen.
type person struct{ issuer, subject string }

// told is what orders tokens of one person: their iat, which is in seconds, and of
// one second those with a groups claim come after those without.
type told struct {
	at    time.Time
	claim bool
}

func toldBy(p *token.Principal) told { return told{p.IssuedAt, p.Groups != nil} }

func (t told) after(u told) bool {
	return t.at.After(u.at) || t.at.Equal(u.at) && t.claim && !u.claim
}

// Recorder takes note of people. It is safe for concurrent use; Run writes what
// was noted.
type Recorder struct {
	config   Config
	registry Registry
	log      *slog.Logger
	wake     chan struct{}

	mu      sync.Mutex
	pending map[person]*token.Principal
	handled map[person]told // by the newest token that was dealt with
	// unsure are users with stored groups whose token named none, not even an empty
	// list: of somebody who has left their last group Keycloak sends no claim. asks
	// says that a Confirmer finds out, and ask wakes it.
	unsure map[access.ID]bool
	asks   bool
	ask    chan struct{}
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
		config: c, registry: r, log: log, wake: make(chan struct{}, 1), ask: make(chan struct{}, 1), unsure: map[access.ID]bool{},
		pending: map[person]*token.Principal{}, handled: map[person]told{},
	}, nil
}

// Saw takes note of the bearer of a verified token of an issuer. It waits for no
// store, and for a token that is known already it costs one look. A token without
// iat, which RFC 7519 allows, is taken note of once.
func (r *Recorder) Saw(p *token.Principal) {
	if u := r.registry.Snapshot().Access.UserOf(p.Issuer, p.Subject); u != nil && !p.IssuedAt.After(u.SyncedAt) {
		return
	}
	key := person{p.Issuer, p.Subject}
	r.mu.Lock()
	known, is := r.handled[key]
	waiting := r.pending[key]
	fresh := (!is || toldBy(p).after(known)) && (waiting == nil || toldBy(p).after(toldBy(waiting))) &&
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
		people := r.next()
		if len(people) == 0 {
			return true
		}
		if !r.record(ctx, people) {
			return false
		}
	}
}

func (r *Recorder) next() []*token.Principal {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*token.Principal
	for _, p := range r.pending {
		if out = append(out, p); len(out) == maxTogether {
			break
		}
	}
	return out
}

// done takes people off the list, unless a newer token came meanwhile.
func (r *Recorder) done(people ...*token.Principal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range people {
		key := person{p.Issuer, p.Subject}
		if r.pending[key] == p {
			delete(r.pending, key)
		}
		if len(r.handled) >= maxHandled {
			clear(r.handled)
		}
		r.handled[key] = toldBy(p)
	}
}

// record stores what tokens say of their bearers, unless all of it is known, and
// reports whether nothing has to be tried again.
func (r *Recorder) record(ctx context.Context, people []*token.Principal) bool {
	set := r.registry.Snapshot().Access
	all := make([]registry.Seen, 0, len(people))
	for _, p := range people {
		if s := r.seen(p); !same(set, &s) {
			all = append(all, s)
		}
		if p.Groups == nil && p.Issuer == r.config.Primary {
			r.doubt(set, p)
		}
	}
	if len(all) == 0 {
		r.done(people...)
		return true
	}
	err := r.registry.SeenUsers(ctx, all)
	if err == nil {
		r.done(people...)
		return true
	}
	if len(people) == 1 {
		return r.failed(ctx, people[0], err)
	}
	for _, p := range people { // one may keep the others from being stored
		if !r.record(ctx, []*token.Principal{p}) {
			return false
		}
	}
	return true
}

// doubt has the provider asked after somebody whose stored groups a token says
// nothing of.
func (r *Recorder) doubt(set *access.Set, p *token.Principal) {
	u := set.UserOf(p.Issuer, p.Subject)
	if u == nil || len(syncedGroups(set, u)) == 0 {
		return
	}
	r.mu.Lock()
	if r.asks && len(r.unsure) < maxPending {
		r.unsure[u.ID] = true
	}
	r.mu.Unlock()
	select {
	case r.ask <- struct{}{}:
	default: // it is awake
	}
}

// doubted returns the users to be asked after, who are not kept.
func (r *Recorder) doubted() map[access.ID]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.unsure
	r.unsure = map[access.ID]bool{}
	return out
}

// failed tells why somebody was not stored. Whom the registry does not take is
// passed over; when the store is at fault it is tried again.
func (r *Recorder) failed(ctx context.Context, p *token.Principal, err error) (passedOver bool) {
	switch {
	case ctx.Err() != nil:
		return false
	case fault.From(err).Kind == fault.Unprocessable:
		r.log.WarnContext(ctx, "a bearer of a valid token cannot be kept as a user", "issuer", p.Issuer, "error", err)
		r.done(p)
		return true
	default:
		r.log.WarnContext(ctx, "who was seen could not be stored; it is tried again", "error", err)
		return false
	}
}

// seen is what a token says of its bearer.
func (r *Recorder) seen(p *token.Principal) registry.Seen {
	s := registry.Seen{
		Issuer: p.Issuer, Subject: p.Subject, Username: p.Username, Email: p.Email, EmailVerified: p.EmailVerified,
		Primary: p.Issuer == r.config.Primary, Admits: r.config.Admits, IssuedAt: p.IssuedAt,
	}
	if s.IssuedAt.IsZero() {
		s.IssuedAt = r.config.Clock()
	}
	if p.Groups != nil { // a token without the claim says nothing of groups
		if s.Groups = r.config.Names(p); s.Groups == nil {
			s.Groups = []string{}
		}
	}
	return s
}

// same reports whether the register says already, and has been told lately, what
// a token says.
func same(set *access.Set, s *registry.Seen) bool {
	u := set.UserOf(s.Issuer, s.Subject)
	if u == nil || u.Username != s.Username || s.Email != "" && u.Email != s.Email || s.IssuedAt.Sub(u.SyncedAt) >= settled {
		return false
	}
	if s.Groups == nil {
		return true
	}
	stored := syncedGroups(set, u)
	var said []access.ID
	for _, name := range s.Groups {
		g := set.GroupByName(name)
		switch {
		case g != nil && g.Name != access.Everyone:
			said = append(said, g.ID)
		case g == nil && s.Admits(name):
			return false
		}
	}
	order := func(a, b access.ID) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(stored, order)
	slices.SortFunc(said, order)
	return slices.Equal(stored, said)
}

// syncedGroups are the stored groups of a user by the identity provider.
func syncedGroups(set *access.Set, u *access.User) (all []access.ID) {
	for m := range set.GroupsOf(u.ID) {
		if m.Source == access.SourceSync {
			all = append(all, m.Group)
		}
	}
	return all
}

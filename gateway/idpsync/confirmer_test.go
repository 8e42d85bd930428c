package idpsync

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/authn/keycloak"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// realm is what the provider says of people; a real one is asked in
// keycloak_test.go.
type realm struct {
	mu     sync.Mutex
	people map[string]*keycloak.Person
	asked  []string
	err    error
}

func (r *realm) Person(_ context.Context, subject string) (*keycloak.Person, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, strings.TrimPrefix(subject, "sub-"))
	return r.people[subject], r.err
}

// asking returns whom the realm was asked after since.
func (r *realm) asking() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := strings.Join(r.asked, " ")
	r.asked = nil
	return out
}

func (h *house) token(name string, expires time.Time) access.ID {
	h.t.Helper()
	u := h.Snapshot().Access.UserOf(primary, "sub-"+name)
	t, err := h.CreateToken(h.t.Context(), registry.Muster(), registry.TokenInput{
		User: u.ID, Name: "of " + name, Digest: [32]byte{1, name[0], name[1]}, Prefix: "abcdefgh", Scopes: []string{"read"}, Expires: expires,
	}, registry.Change{})
	if err != nil {
		h.t.Fatal(err)
	}
	return t.ID
}

const within = 4 * time.Hour

func TestOwnersOfTokensAreAskedAfter(t *testing.T) {
	h, r := newHouse(t), &realm{people: map[string]*keycloak.Person{}}
	c, err := NewConfirmer(h.recorder, h, r, within, h.recorder.log)
	if err != nil {
		t.Fatal(err)
	}
	var over access.ID
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		h.saw(bearer(name, 60, []string{"/made/" + name}))
		r.people["sub-"+name] = &keycloak.Person{
			Username: name, Email: name + "@example.org", EmailVerified: true, Enabled: true, Groups: []string{"/made/new"}, RealmRoles: []string{"operator"},
		}
		if name != "bob" {
			over = h.token(name, time.Now().Add(time.Hour))
		}
	}
	if err := h.RevokeToken(t.Context(), registry.Muster(), over, registry.Change{}); err != nil {
		t.Fatal(err)
	}
	foreign := bearer("foreign", 60, []string{})
	foreign.Issuer = "https://elsewhere.example.org"
	h.saw(foreign)

	c.confirmDue(t.Context())
	if got := r.asking(); got != "" {
		t.Errorf("asked after %s, who has just been here", got)
	}
	h.now.Store(int64((within / 2).Seconds()) + 60) // half of it: their tokens are still good
	r.people["sub-carol"].Enabled = false
	// A token that is older than what the provider says now changes nothing any more.
	h.saw(bearer("alice", 61, []string{"/made/alice"}))
	c.confirmDue(t.Context())
	if got := r.asking(); got != "" {
		t.Errorf("asked after %s: all tokens are over", got)
	}
	for _, name := range []string{"alice", "carol"} {
		digest := h.Snapshot().Access.UserOf(primary, "sub-"+name)
		if _, err := h.CreateToken(t.Context(), registry.Muster(), registry.TokenInput{
			User: digest.ID, Name: "long", Digest: [32]byte{2, name[0]}, Prefix: "abcdefgh", Scopes: []string{"read"}, Expires: time.Now().Add(24 * time.Hour),
		}, registry.Change{}); err != nil {
			t.Fatal(err)
		}
	}
	c.confirmDue(t.Context())
	if got := r.asking(); got != "alice carol" {
		t.Errorf("asked after %q", got)
	}
	set := h.Snapshot().Access
	if u := set.UserOf(primary, "sub-carol"); u.Active {
		t.Error("carol is disabled at the provider")
	}
	if u := set.UserOf(primary, "sub-alice"); time.Since(u.ConfirmedAt) > time.Minute {
		t.Errorf("alice was confirmed at %v", u.ConfirmedAt)
	}
	// The prefix stands before the paths as in tokens: no group of that name may be made.
	if got := h.groups("alice"); got != "operators" {
		t.Errorf("alice has %q", got)
	}
	delete(r.people, "sub-alice")
	h.now.Add(int64(within.Seconds()))
	if _, err := h.CreateToken(t.Context(), registry.Muster(), registry.TokenInput{
		User: set.UserOf(primary, "sub-alice").ID, Name: "longer", Digest: [32]byte{3}, Prefix: "abcdefgh", Scopes: []string{"read"}, Expires: time.Now().Add(48 * time.Hour),
	}, registry.Change{}); err != nil {
		t.Fatal(err)
	}
	c.confirmDue(t.Context())
	if u := h.Snapshot().Access.UserOf(primary, "sub-alice"); u.Active {
		t.Error("alice is gone at the provider")
	}
}

// Keycloak sends no claim for somebody without groups: whoever had some is asked
// after, once.
func TestWhoeverMayHaveLeftTheLastGroupIsAskedAfter(t *testing.T) {
	h, r := newHouse(t), &realm{people: map[string]*keycloak.Person{
		"sub-alice": {Username: "alice", Enabled: true}, "sub-bob": {Username: "bob", Enabled: true},
	}}
	foreign := bearer("alice", 20, nil)
	h.saw(bearer("alice", 0, []string{"/made/a"}), bearer("bob", 0, []string{}))
	h.saw(bearer("alice", 20, nil)) // nobody is there to ask
	c, err := NewConfirmer(h.recorder, h, r, 24*time.Hour, h.recorder.log)
	if err != nil {
		t.Fatal(err)
	}
	foreign.Issuer = "https://elsewhere.example.org"
	h.saw(bearer("bob", 20, nil), foreign)
	c.confirmDue(t.Context())
	if got := r.asking(); got != "" || h.groups("alice") != "/made/a" {
		t.Errorf("asked after %q", got)
	}
	h.saw(bearer("alice", 21, nil))
	c.confirmDue(t.Context())
	c.confirmDue(t.Context())
	if got := r.asking(); got != "alice" || h.groups("alice") != "" {
		t.Errorf("asked after %q, alice has %q", got, h.groups("alice"))
	}
	h.saw(bearer("alice", 22, nil))
	c.confirmDue(t.Context())
	if got := r.asking(); got != "" {
		t.Errorf("asked after %q again", got)
	}
}

// While the provider is gone nobody is deactivated, and one question is enough to
// find out.
func TestAProviderThatIsGone(t *testing.T) {
	h, r := newHouse(t), &realm{err: errors.New("connection refused")}
	c, err := NewConfirmer(h.recorder, h, r, within, h.recorder.log)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "bob"} {
		h.saw(bearer(name, 0, []string{"/made/a"}))
		h.token(name, time.Now().Add(24*time.Hour))
	}
	h.now.Store(int64(within.Seconds()))
	c.confirmDue(t.Context())
	if got := r.asking(); got != "alice" && got != "bob" {
		t.Errorf("asked after %q", got)
	}
	if u := h.Snapshot().Access.UserOf(primary, "sub-alice"); !u.Active || h.groups("alice") != "/made/a" {
		t.Errorf("%+v", u)
	}
	if !strings.Contains(h.logged.String(), "could not be asked after at the") {
		t.Error("nobody is told")
	}
}

// The last administrator stays, or nobody could let anybody in.
func TestTheLastAdministratorStays(t *testing.T) {
	h, r := newHouse(t), &realm{}
	c, err := NewConfirmer(h.recorder, h, r, within, h.recorder.log)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.SeedAdmin(t.Context(), "alice@example.org"); err != nil {
		t.Fatal(err)
	}
	h.saw(bearer("alice", 0, []string{}))
	h.token("alice", time.Now().Add(24*time.Hour))
	h.now.Store(int64(within.Seconds()))
	c.confirmDue(t.Context())
	if u := h.Snapshot().Access.UserOf(primary, "sub-alice"); !u.Active || !strings.Contains(h.logged.String(), "could not be deactivated") {
		t.Errorf("%+v %s", u, h.logged)
	}
}

func TestAConfirmerRuns(t *testing.T) {
	h, r := newHouse(t), &realm{}
	if _, err := NewConfirmer(h.recorder, h, r, 0, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a confirmer without a freshness")
	}
	c, err := NewConfirmer(h.recorder, h, r, time.Hour, h.recorder.log)
	if err != nil {
		t.Fatal(err)
	}
	h.saw(bearer("alice", 0, []string{}))
	h.token("alice", time.Now().Add(24*time.Hour))
	h.now.Store(3600)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); c.Run(ctx) }()
	deadline := time.After(20 * time.Second)
	for changes := h.Watch(ctx); h.Snapshot().Access.UserOf(primary, "sub-alice").Active; {
		select {
		case <-changes:
		case <-deadline:
			t.Fatal("nobody was asked")
		}
	}
	stop()
	<-ended
}

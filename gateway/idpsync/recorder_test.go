package idpsync

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/registry/store/duckdb"
	"github.com/muster-fleet/muster/workers/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const primary = "https://issuer.example.org/realms/muster"

// inspector inspects no worker: there are none here.
type inspector struct{}

func (inspector) Inspect(context.Context, string, registry.Transport) (registry.Info, error) {
	return registry.Info{}, errors.New("nothing is registered here")
}

// house is a real registry and a recorder in front of it.
type house struct {
	*registry.Service
	t        *testing.T
	recorder *Recorder
	access   *authz.Access
	logged   *heard
	now      atomic.Int64 // seconds that were added to the time
	// gone has every write fail; writes counts those that were tried.
	gone   atomic.Bool
	writes atomic.Int32
}

// heard keeps what is logged.
type heard struct {
	mu   sync.Mutex
	text strings.Builder
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, logged: &heard{}}
	log := slog.New(slog.NewTextHandler(h.logged, nil))
	store, err := duckdb.Open(t.Context(), filepath.Join(t.TempDir(), "muster.db"), duckdb.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if h.Service, err = registry.Open(t.Context(), store, registry.Options{Logger: log, Inspector: inspector{}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	types, err := authz.NewTypes(authz.Standard()...)
	if err != nil {
		t.Fatal(err)
	}
	mapping := authz.DefaultMapping()
	mapping["role:operator"] = "operators"
	h.access, err = authz.NewAccess(authz.Config{RoleMapping: mapping, GroupPattern: regexp.MustCompile(`^(?:/made/.*|operators)$`)}, types, h.Snapshot)
	if err != nil {
		t.Fatal(err)
	}
	h.recorder, err = NewRecorder(Config{Primary: primary, GroupsPrefix: "kc:", Names: h.access.Named, Admits: h.access.Admits, Clock: h.clock}, h, log)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) clock() time.Time { return time.Now().Add(time.Duration(h.now.Load()) * time.Second) }

// SeenUsers is the registry's, while the store is there.
func (h *house) SeenUsers(ctx context.Context, all []registry.Seen) error {
	h.writes.Add(1)
	if h.gone.Load() {
		return fault.New(fault.Unavailable, "store_unavailable", "the store cannot be reached")
	}
	return h.Service.SeenUsers(ctx, all)
}

// saw notes tokens and has them written.
func (h *house) saw(tokens ...*token.Principal) {
	h.t.Helper()
	for _, p := range tokens {
		h.recorder.Saw(p)
	}
	if !h.recorder.write(h.t.Context()) {
		h.t.Fatal("they were not written: ", h.logged)
	}
}

// groups are the names of the stored groups of somebody by the provider.
func (h *house) groups(name string) string {
	h.t.Helper()
	set := h.Snapshot().Access
	u := set.UserOf(primary, "sub-"+name)
	if u == nil {
		return "nobody"
	}
	var out []string
	for m := range set.GroupsOf(u.ID) {
		if m.Source == access.SourceSync {
			out = append(out, set.Group(m.Group).Name)
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

var start = time.Now().Add(-time.Hour).Truncate(time.Second)

// bearer is a token of the primary issuer, of the nth minute; nil groups are no
// claim.
func bearer(name string, minute int, groups []string, roles ...string) *token.Principal {
	return &token.Principal{
		Issuer: primary, Subject: "sub-" + name, Username: name, Email: name + "@example.org", EmailVerified: true,
		Groups: groups, RealmRoles: roles, IssuedAt: start.Add(time.Duration(minute) * time.Minute),
	}
}

func TestGroupsFollowTheTokens(t *testing.T) {
	h := newHouse(t)
	if _, err := h.CreateGroup(t.Context(), registry.Muster(), access.Group{Name: "/finance"}, registry.Change{}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		says string
		p    *token.Principal
		want string
	}{
		{"what exists or may be made is stored", bearer("alice", 0, []string{"/finance", "/made/a", "/unmade", "/made/b"}, "operator"), "/finance /made/a /made/b operators"},
		{"an absent claim changes nothing", bearer("alice", 20, nil), "/finance /made/a /made/b operators"},
		{"a group that is gone goes", bearer("alice", 21, []string{"/finance", "/made/b"}), "/finance /made/b"},
		{"an older token changes nothing", bearer("alice", 2, []string{"/made/a"}), "/finance /made/b"},
		{"nor does one of the same second", bearer("alice", 21, []string{"/made/a"}), "/finance /made/b"},
		{"an empty claim takes all", bearer("alice", 22, []string{}), ""},
		{"groups named as system groups are none of them", bearer("alice", 23, []string{"Admin", "Everyone", "/finance"}), "/finance"},
		{"a mapped role makes an administrator", bearer("alice", 24, []string{}, "muster-admin"), "Admin"},
		{"and no longer, once it is lost", bearer("alice", 25, []string{}), ""},
	} {
		h.saw(step.p)
		if got := h.groups("alice"); got != step.want {
			t.Errorf("%s: %q, not %q", step.says, got, step.want)
		}
	}
	if u := h.Snapshot().Access.UserOf(primary, "sub-alice"); u.Email != "alice@example.org" || u.Username != "alice" || !u.Active {
		t.Errorf("%+v", u)
	}
}

// iat is told in seconds: of two tokens of one second the one with a claim counts,
// whichever comes first.
func TestTokensOfOneSecond(t *testing.T) {
	h := newHouse(t)
	h.saw(bearer("alice", 0, []string{"/made/a"}), bearer("bob", 0, []string{"/made/a"}))
	h.saw(bearer("alice", 20, nil))
	h.saw(bearer("alice", 20, []string{"/made/b"}))
	h.saw(bearer("bob", 20, []string{"/made/b"}))
	h.saw(bearer("bob", 20, nil), bearer("bob", 20, []string{}))
	h.recorder.Saw(bearer("carol", 0, nil))
	h.saw(bearer("carol", 0, []string{"/made/c"}), bearer("carol", 0, nil))
	if got := h.groups("alice") + h.groups("bob") + h.groups("carol"); got != "/made/b/made/b/made/c" {
		t.Errorf("%s", got)
	}
}

// A token that says nothing new is written once in a while, and one that was dealt
// with costs a look.
func TestWhatIsKnownIsNotWritten(t *testing.T) {
	h := newHouse(t)
	h.saw(bearer("alice", 0, []string{"/made/a"}), bearer("bob", 0, nil))
	revision, writes := h.Snapshot().Revision, h.writes.Load()
	h.saw(bearer("alice", 0, []string{"/made/a"}), bearer("alice", 1, []string{"/made/a"}), bearer("alice", 9, []string{"/made/a", "/unmade"}), bearer("bob", 0, nil))
	if h.Snapshot().Revision != revision || h.writes.Load() != writes {
		t.Errorf("%d writes for nothing, revision %d", h.writes.Load()-writes, h.Snapshot().Revision-revision)
	}
	p := bearer("alice", 9, []string{"/made/a"})
	if n := testing.AllocsPerRun(100, func() { h.recorder.Saw(p) }); n != 0 || len(h.recorder.pending) != 0 {
		t.Errorf("a token that is known costs %v allocations", n)
	}
	h.saw(bearer("alice", 10, []string{"/made/a"}))
	if u := h.Snapshot().Access.UserOf(primary, "sub-alice"); !u.SyncedAt.Equal(start.Add(10 * time.Minute)) {
		t.Errorf("synced at %v", u.SyncedAt)
	}
	h.saw(bearer("bob", 1, nil))
	if h.Snapshot().Revision != revision+1 {
		t.Error("a token without groups was written again")
	}
}

// An address of another issuer binds nobody, nor one that nobody has verified.
func TestOnlyThePrimaryIssuerBinds(t *testing.T) {
	h := newHouse(t)
	if err := h.SeedAdmin(t.Context(), "Alice@example.org"); err != nil {
		t.Fatal(err)
	}
	foreign, unverified, p := bearer("mallory", 0, []string{}), bearer("eve", 0, []string{}), bearer("alice", 0, []string{})
	foreign.Issuer, foreign.Email = "https://elsewhere.example.org", p.Email
	unverified.Email, unverified.EmailVerified = p.Email, false
	h.saw(foreign, unverified)
	set := h.Snapshot().Access
	for _, q := range []*token.Principal{foreign, unverified} {
		if u := set.UserOf(q.Issuer, q.Subject); u == nil || set.IsAdmin(&access.Who{User: u}) || u.Email != "" {
			t.Errorf("%s is %+v", q.Username, u)
		}
	}
	h.saw(p)
	set = h.Snapshot().Access
	if u := set.UserOf(primary, p.Subject); u == nil || !set.IsAdmin(&access.Who{User: u}) {
		t.Errorf("alice is %+v", u)
	}
}

// What the store cannot take now waits; whom it will never take keeps nobody else
// from being stored.
func TestFailures(t *testing.T) {
	h := newHouse(t)
	h.gone.Store(true)
	h.recorder.Saw(bearer("alice", 0, []string{"/made/a"}))
	h.recorder.Saw(bearer("alice", 1, []string{"/made/b"}))
	h.recorder.Saw(bearer("bob", 0, []string{}))
	if h.recorder.write(t.Context()) || len(h.recorder.pending) != 2 {
		t.Errorf("%d wait", len(h.recorder.pending))
	}
	h.gone.Store(false)
	bad := bearer("x", 0, []string{})
	bad.Subject = strings.Repeat("x", 5000)
	h.saw(bad)
	if got := h.groups("alice") + "|" + h.groups("bob"); got != "/made/b|" || len(h.recorder.pending) != 0 {
		t.Errorf("%s, %d wait", got, len(h.recorder.pending))
	}
	if text := h.logged.String(); strings.Count(text, "cannot be kept as a user") != 1 || strings.Contains(text, "xxxxx") {
		t.Errorf("%s", text)
	}
	writes := h.writes.Load()
	h.saw(bad)
	if h.writes.Load() != writes {
		t.Error("it was tried again")
	}
}

func TestThereIsABound(t *testing.T) {
	h := newHouse(t)
	for i := range maxPending + 10 {
		h.recorder.Saw(bearer(strings.Repeat("u", 1+i%7)+time.Duration(i).String(), 0, nil))
	}
	if n := len(h.recorder.pending); n != maxPending {
		t.Errorf("%d wait", n)
	}
	clear(h.recorder.pending)
	h.recorder.Saw(bearer("late", 0, nil))
	if len(h.recorder.pending) != 1 {
		t.Error("there was no room afterwards")
	}
}

// Run writes by itself, also when many are seen at once, and ends.
func TestRun(t *testing.T) {
	h := newHouse(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); h.recorder.Run(ctx) }()
	changes := h.Watch(ctx)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			for minute := range 5 {
				h.recorder.Saw(bearer("u"+strconv.Itoa(i), minute, []string{"/made/" + string(rune('a'+minute))}))
			}
		})
	}
	wg.Wait()
	deadline := time.After(20 * time.Second)
	for done := false; !done; {
		done = true
		for i := range 40 {
			done = done && h.groups("u"+strconv.Itoa(i)) == "/made/e"
		}
		if done {
			break
		}
		select {
		case <-changes:
		case <-deadline:
			t.Fatal("they were not written")
		}
	}
	stop()
	<-ended
}

func TestWhatARecorderNeeds(t *testing.T) {
	for _, c := range []Config{{}, {Names: func(*token.Principal) []string { return nil }}} {
		if r, err := NewRecorder(c, nil, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%+v", r)
		}
	}
}

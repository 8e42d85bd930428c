package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// envAccess makes a crash test's child change access instead of all else: its
// value is what it does, one of the constants below.
const (
	envAccess   = "MUSTER_TEST_CRASH_ACCESS"
	accessChurn = "churn"
	accessTown  = "town"
)

// townSize is how many members and grants the group of a town has.
const townSize = 10_000

// accessOp is one change of access. Its audit row holds it, and nothing else is
// needed to know what it made of what was there.
type accessOp struct {
	Kind    string
	User    int
	Group   int
	Source  access.Source
	Version int
}

// The kinds of accessOp.
const (
	opUser     = "user"
	opGroup    = "group"
	opMember   = "member"
	opUnmember = "no member"
	opGrant    = "grant"
	opUngrant  = "no grant"
	opToken    = "token"
	opUntoken  = "no token"
	opNoGroup  = "no group"
	opNoUser   = "no user"
	// opPeople makes townSize users, opTown a group of them with as many grants.
	opPeople = "people"
	opTown   = "town"
)

// townGroup is the number of the group of a town; its people have numbers from
// townPeople on.
const townGroup, townPeople = 1000, 1000

func (o accessOp) delta() (d access.Delta) {
	switch o.Kind {
	case opUser:
		u := userOf(o.User)
		u.Name, u.Revision = fmt.Sprint("name ", o.Version), int64(o.Version)
		d.Users = []access.User{u}
	case opGroup:
		g := groupOf(o.Group)
		g.Description = fmt.Sprint("described ", o.Version)
		d.Groups = []access.Group{g}
	case opMember:
		m := memberOf(o.User, o.Group, o.Source)
		m.AddedBy = fmt.Sprint("by ", o.Version)
		d.Members = []access.Member{m}
	case opUnmember:
		d.GoneMembers = []access.MemberKey{memberOf(o.User, o.Group, o.Source).MemberKey}
	case opGrant:
		g := grantOf(o.Group, o.Group)
		g.AssignedBy = fmt.Sprint("by ", o.Version)
		d.Grants = []access.Grant{g}
	case opUngrant:
		d.GoneGrants = []access.ID{grantOf(o.Group, o.Group).ID}
	case opToken:
		k := tokenOf(o.User, o.User)
		k.Name = fmt.Sprint("token ", o.Version)
		d.Tokens = []access.Token{k}
	case opUntoken:
		d.GoneTokens = []access.ID{tokenOf(o.User, o.User).ID}
	case opNoGroup:
		d.GoneGroups = []access.ID{accessID('g', o.Group)}
	case opNoUser:
		d.GoneUsers = []access.ID{accessID('u', o.User)}
	case opPeople:
		for n := range townSize {
			d.Users = append(d.Users, userOf(townPeople+n))
		}
	case opTown:
		d.Groups = []access.Group{groupOf(townGroup)}
		for n := range townSize {
			d.Members = append(d.Members, memberOf(townPeople+n, townGroup, access.SourceAdmin))
			d.Grants = append(d.Grants, grantOf(townGroup+n, townGroup))
		}
	}
	return d
}

// next draws a change that can be made of what is there.
func (m accessModel) next(r *rand.Rand) accessOp {
	o := accessOp{User: r.IntN(5), Group: r.IntN(5), Source: access.SourceAdmin, Version: r.IntN(1_000_000)}
	if r.IntN(2) == 0 {
		o.Source = access.SourceSync
	}
	_, user := m.users[accessID('u', o.User)]
	_, group := m.groups[accessID('g', o.Group)]
	kinds := []string{opUser, opGroup, opMember, opMember, opMember, opUnmember, opUnmember, opGrant, opUngrant, opToken, opUntoken}
	switch o.Kind = kinds[r.IntN(len(kinds))]; {
	case !user && o.Kind != opGroup && o.Kind != opGrant && o.Kind != opUngrant:
		o.Kind = opUser
	case !group && o.Kind != opUser && o.Kind != opToken && o.Kind != opUntoken:
		o.Kind = opGroup
	case r.IntN(12) == 0:
		o.Kind = opNoGroup
	case r.IntN(20) == 0:
		o.Kind = opNoUser
	}
	return o
}

// nextTown removes the group of the town and makes it again, by turns.
func (m accessModel) nextTown() accessOp {
	switch {
	case len(m.users) == 0:
		return accessOp{Kind: opPeople}
	case len(m.groups) == 0:
		return accessOp{Kind: opTown}
	default:
		return accessOp{Kind: opNoGroup, Group: townGroup}
	}
}

const actionAccess = "access.scribbled"

// changeAccess makes one change with its audit row.
func changeAccess(ctx context.Context, s registry.Store, o accessOp) (registry.Revision, error) {
	after, err := json.Marshal(o)
	if err != nil {
		return 0, err
	}
	d := o.delta()
	return s.Write(ctx, func(ctx context.Context, tx registry.Tx) error {
		return errors.Join(tx.ApplyAccess(ctx, &d), tx.Audit(ctx, registry.AuditEntry{
			ID: uuid.NewString(), At: noon, Actor: admin, Action: actionAccess, Resource: o.Kind, After: after, Result: "ok",
		}))
	})
}

// loadedAccess is what a store holds, as a model.
func loadedAccess(ctx context.Context, s registry.Store) (accessModel, registry.Revision, error) {
	m := newAccessModel()
	c, err := s.Load(ctx, 0)
	if err != nil {
		return m, 0, err
	}
	if c.Access != nil {
		m.apply(c.Access)
	}
	return m, c.Revision, nil
}

// scribbleAccess ends only when something fails, and says what.
func scribbleAccess(place, how string, open OpenAt) error {
	ctx := context.Background()
	s, err := open(ctx, place, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	m, _, err := loadedAccess(ctx, s)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(Ack{}); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	for {
		o := m.nextTown()
		if how == accessChurn {
			o = m.next(r)
		}
		rev, err := changeAccess(ctx, s, o)
		if err != nil {
			return fmt.Errorf("%+v: %w", o, err)
		}
		d := o.delta()
		m.apply(&d)
		if err := out.Encode(Ack{Revision: rev, Action: actionAccess, Resource: o.Kind}); err != nil {
			return err
		}
	}
}

// accessLedger is what the audit log tells of access.
type accessLedger struct {
	model    accessModel
	number   int64
	revision registry.Revision
	mac      []byte
	kinds    map[registry.Revision]string
}

// check replays the audit log, whose chain must hold, and compares.
func (l *accessLedger) check(t testing.TB, s registry.Store, acks []Ack) {
	t.Helper()
	err := s.AuditScan(t.Context(), l.number+1, l.number+1_000_000, func(e *registry.AuditEntry) error {
		row := e.Row()
		mac, known := s.AuditChain().MAC(l.mac, &row)
		if e.Number != l.number+1 || e.Revision != l.revision+1 || !known || !bytes.Equal(mac, e.MAC) {
			t.Fatalf("after row %d at revision %d comes row %d at %d; its mac fits: %v", l.number, l.revision, e.Number, e.Revision, bytes.Equal(mac, e.MAC))
		}
		var o accessOp
		if err := json.Unmarshal(e.After, &o); err != nil {
			return err
		}
		d := o.delta()
		l.model.apply(&d)
		l.number, l.revision, l.mac = e.Number, e.Revision, mac
		l.kinds[e.Revision] = o.Kind
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range acks {
		if l.kinds[a.Revision] != a.Resource {
			t.Fatalf("%q was acknowledged at revision %d, where the audit log has %q", a.Resource, a.Revision, l.kinds[a.Revision])
		}
	}
	m, rev, err := loadedAccess(t.Context(), s)
	if err != nil || rev != l.revision {
		t.Fatalf("the store is at revision %d and its audit log at %d: %v", rev, l.revision, err)
	}
	m.checkOrphans(t)
	if !reflect.DeepEqual(m, l.model) {
		t.Fatalf("the store has %s, of which the audit log tells %s", m.counts(), l.model.counts())
	}
}

func (m accessModel) counts() string {
	return fmt.Sprintf("%d users, %d groups, %d members, %d grants, %d tokens", len(m.users), len(m.groups), len(m.members), len(m.grants), len(m.tokens))
}

func (m accessModel) checkOrphans(t testing.TB) {
	t.Helper()
	for k := range m.members {
		_, user := m.users[k.User]
		if _, group := m.groups[k.Group]; !user || !group {
			t.Fatalf("%+v is a member without a user or a group", k)
		}
	}
	for _, g := range m.grants {
		if _, group := m.groups[g.Group]; !group {
			t.Fatalf("%+v is a grant without a group", g)
		}
	}
	for _, k := range m.tokens {
		if _, user := m.users[k.User]; !user {
			t.Fatalf("token %s has no owner", k.ID)
		}
	}
}

func testKillAccess(t *testing.T, b Backend) {
	killAccess(t, b, accessChurn, Kills(t), 250*time.Millisecond)
}

// testKillTown kills while a group of 10,000 members and 10,000 grants is made and
// removed: there is all of it or nothing.
func testKillTown(t *testing.T, b Backend) {
	killAccess(t, b, accessTown, max(Kills(t)/10, 4), 2*time.Second)
}

func killAccess(t *testing.T, b Backend, how string, kills int, within time.Duration) {
	place := b.Place(t)
	l := accessLedger{model: newAccessModel(), kinds: map[registry.Revision]string{}}
	acknowledged := 0
	for n := range kills {
		acks := kill(t, b, place, within, envAccess+"="+how)
		acknowledged += len(acks)
		s, err := b.OpenAt(t.Context(), place, logger(t))
		if err != nil {
			t.Fatalf("kill %d: the store does not open: %v", n, err)
		}
		l.check(t, s, acks)
		o := l.model.nextTown()
		if how == accessChurn {
			o = l.model.next(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
		}
		if _, err := changeAccess(t.Context(), s, o); err != nil {
			t.Fatalf("kill %d: %+v: %v", n, o, err)
		}
		l.check(t, s, nil)
		if err := s.Close(t.Context()); err != nil {
			t.Fatalf("kill %d: close: %v", n, err)
		}
	}
	t.Logf("%d kills, %d acknowledged changes, none lost, none halved; %s", kills, acknowledged, l.model.counts())
	if l.number <= int64(kills) {
		t.Error("no child ever got as far as a change")
	}
}

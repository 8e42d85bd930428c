package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/registry/store/postgres/pgtest"
	"github.com/muster-fleet/muster/registry/store/storetest"
)

var root = registry.Actor{Subject: "sub-1", Issuer: "https://issuer", Username: "admin"}

// copies puts copies of a database in its place.
type copies struct {
	t     *testing.T
	admin *pgx.Conn // of another database
	name  string
	dsn   string
}

func newCopies(t *testing.T) *copies {
	t.Helper()
	dsn := pgtest.Database(t)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c := &copies{t: t, name: strings.TrimPrefix(u.Path, "/"), dsn: dsn}
	u.Path = "/postgres"
	if c.admin, err = pgx.Connect(t.Context(), u.String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		for _, other := range []string{"_copy", "_gone"} {
			if _, err := c.admin.Exec(ctx, `DROP DATABASE IF EXISTS `+c.name+other+` WITH (FORCE)`); err != nil {
				t.Error(err)
			}
		}
		if err := c.admin.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *copies) exec(statements ...string) {
	c.t.Helper()
	for _, s := range statements {
		if _, err := c.admin.Exec(c.t.Context(), strings.ReplaceAll(s, "$NAME", c.name)); err != nil {
			c.t.Fatalf("%s: %v", s, err)
		}
	}
}

// take copies what is there, as soon as nobody has it open.
func (c *copies) take() {
	c.t.Helper()
	c.exec(endOthers)
	eventually(c.t, "the database is copied", func() bool {
		_, err := c.admin.Exec(c.t.Context(), `CREATE DATABASE `+c.name+`_copy TEMPLATE `+c.name)
		return err == nil
	})
}

const endOthers = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '$NAME'`

// restore puts the copy in the place of what is there, under whoever uses it.
func (c *copies) restore() {
	c.t.Helper()
	c.exec(`ALTER DATABASE $NAME WITH ALLOW_CONNECTIONS false`, endOthers)
	eventually(c.t, "the copy is in place", func() bool {
		_, err := c.admin.Exec(c.t.Context(), `ALTER DATABASE `+c.name+` RENAME TO `+c.name+`_gone`)
		return err == nil
	})
	c.exec(`ALTER DATABASE $NAME_copy RENAME TO $NAME`)
}

// late is a service that looks at the store only when it is asked to.
func (c *copies) late() *registry.Service {
	c.t.Helper()
	store, err := openAt(c.t.Context(), c.dsn, quiet())
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := registry.Open(c.t.Context(), unheard{store}, registry.Options{Logger: quiet(), Inspector: storetest.Scribbler(), PollInterval: time.Hour})
	if err != nil {
		c.t.Fatal(errors.Join(err, store.Close(c.t.Context())))
	}
	c.t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(c.t.Context())); err != nil {
			c.t.Error(err)
		}
	})
	return s
}

// unheard is a store whose notifications are lost.
type unheard struct{ registry.Store }

func (unheard) Changed() <-chan struct{} { return nil }

func group(t *testing.T, s *registry.Service, name string) access.Group {
	t.Helper()
	g, err := s.CreateGroup(t.Context(), root, access.Group{Name: name}, registry.Change{})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestRestoredUnderneath restores a database from an older copy under replicas that
// are running, and has another one go on with it until it is at their revision, and
// beyond. What the restored store does not have, they may not have either.
func TestRestoredUnderneath(t *testing.T) {
	for _, beyond := range []registry.Revision{0, 1, 5} {
		t.Run(fmt.Sprint(beyond, " changes beyond"), func(t *testing.T) {
			c := newCopies(t)
			first := c.late()
			staff := group(t, first, "Staff")
			somebody := []registry.Seen{{Issuer: "https://issuer", Subject: "sub-alice", IssuedAt: time.Now()}}
			if err := first.SeenUsers(t.Context(), somebody); err != nil {
				t.Fatal(err)
			}
			grant, err := first.CreateGrant(t.Context(), root, access.Grant{Group: staff.ID, Type: "rule_step", Resource: "secret"}, registry.Change{})
			if err != nil {
				t.Fatal(err)
			}
			if err := first.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.take()
			writer, reader := c.late(), c.late()
			for n := range 4 {
				group(t, writer, fmt.Sprint("lost ", n))
			}
			at := writer.Snapshot().Revision
			caughtUp(t, reader, staff.ID)
			c.restore()

			other := c.late()
			if err := other.DeleteGrant(t.Context(), root, grant.ID, registry.Change{}); err != nil {
				t.Fatal(err)
			}
			for n := 0; other.Snapshot().Revision < at+beyond; n++ {
				group(t, other, fmt.Sprint("new ", n))
			}
			if reader.Snapshot().Revision != at || reader.Snapshot().Access.Grant(grant.ID) == nil {
				t.Fatal("the reader has heard of it")
			}
			refusedOnce(t, writer, other, grant.ID)
			eventually(t, "the reader has what there is", func() bool {
				// This only reads; the first connections are those to the database that is gone.
				err := reader.SeenUsers(t.Context(), somebody)
				return err == nil && sameGroups(reader, other) && reader.Snapshot().Access.Grant(grant.ID) == nil
			})
		})
	}
}

// caughtUp has a service look at the store.
func caughtUp(t *testing.T, s *registry.Service, id access.ID) {
	t.Helper()
	if _, err := s.UpdateGroup(t.Context(), root, id, registry.GroupPatch{}, registry.Change{}); err != nil {
		t.Fatal(err)
	}
}

// refusedOnce asks for changes that would be decided over what is gone: they are
// refused until all of the store was read, which the first refusal sees to.
func refusedOnce(t *testing.T, s, other *registry.Service, grant access.ID) {
	t.Helper()
	rows := func() int {
		all, err := other.AuditTrail(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before := rows()
	eventually(t, "it is noticed", func() bool {
		_, err := s.CreateGroup(t.Context(), root, access.Group{Name: "new 0"}, registry.Change{})
		if errors.Is(err, registry.ErrReplaced) && !fault.Is(err, "store_unavailable") {
			t.Errorf("%v", err)
		}
		if err == nil {
			t.Error("decided over a store that is gone")
		}
		return fault.Is(err, "group_exists") || errors.Is(err, registry.ErrReplaced)
	})
	if s.Snapshot().Access.Grant(grant) != nil || s.Snapshot().Access.GroupByName("lost 0") != nil || rows() != before {
		t.Error("it has what the store does not have")
	}
	if _, err := s.CreateGroup(t.Context(), root, access.Group{Name: "again"}, registry.Change{}); err != nil || rows() != before+1 {
		t.Errorf("the second time: %v", err)
	}
	if _, err := other.CreateGroup(t.Context(), root, access.Group{Name: "again"}, registry.Change{}); !fault.Is(err, "group_exists") {
		t.Errorf("%v", err)
	}
	caughtUp(t, other, other.Snapshot().Access.GroupByName("Staff").ID)
	if r, err := s.VerifyAudit(t.Context(), nil, nil); err != nil || !r.OK {
		t.Errorf("%+v %v", r, err)
	}
}

func sameGroups(a, b *registry.Service) bool {
	x, y := a.Snapshot().Access, b.Snapshot().Access
	for g := range y.GroupsAfter("") {
		if x.GroupByName(g.Name) == nil {
			return false
		}
	}
	return x.GroupCount() == y.GroupCount()
}

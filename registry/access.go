package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/registry/table"
)

// Change says how a change of access control is to be made.
type Change struct {
	// DryRun has everything decided and answered as if it were made, and nothing
	// changed.
	DryRun bool
	// IfMatch, unless empty, must be a revision, bare or in double quotes, else the
	// answer is 412: the record's own; the group's for its memberships and new
	// grants; 1 for a grant, which never changes, and for a token.
	IfMatch string
}

// accessTimeout bounds a transaction that may concern ten thousand members.
const accessTimeout = time.Minute

// maxText bounds texts of identity providers and ids of resources, in bytes.
const maxText = 1000

// errDryRun gives a transaction up that was only to be decided.
var errDryRun = errors.New("only tried")

// decision is a change of access control that is being worked out over the newest
// state of all replicas. It decides; the store only keeps.
type decision struct {
	set   *access.Set // as it will be
	now   time.Time
	actor Actor
	delta access.Delta
	rows  []accessRow
	// tables are to be registered along with the change.
	tables []*table.Table
}

// accessRow is a row for the audit log.
type accessRow struct {
	at               time.Time // zero for the time of the change
	actor            Actor
	action, resource string
	result           string
	before, after    any
}

// changeAccess makes the change that decide works out. What decide returns to its
// caller it has to set anew each time.
func (s *Service) changeAccess(ctx context.Context, a Actor, dry bool, decide func(x *decision) error) error {
	return s.changeAccessWithin(ctx, s.opts.WriteTimeout, a, dry, decide)
}

// changeAccessWithin is changeAccess for one that may take longer than others.
func (s *Service) changeAccessWithin(
	ctx context.Context, most time.Duration, a Actor, dry bool, decide func(x *decision) error,
) error {
	return s.decideWithin(ctx, most, a, dry, func(_ context.Context, _ Tx, x *decision) error { return decide(x) })
}

// decideWithin is changeAccessWithin for what is decided over more than access: it
// may read in the transaction, and must not write.
func (s *Service) decideWithin(
	ctx context.Context, most time.Duration, a Actor, dry bool, decide func(ctx context.Context, tx Tx, x *decision) error,
) error {
	var did written
	err := s.writeWithin(ctx, most, func(ctx context.Context, tx Tx) error {
		did = written{}
		snap, err := s.current(ctx, tx)
		if err != nil {
			return err
		}
		x := &decision{set: snap.Access, now: s.now(), actor: a.storable()}
		if err := decide(ctx, tx, x); err != nil {
			return err
		}
		switch {
		case x.delta.Empty() && len(x.rows) == 0:
			return errUnchanged
		case dry:
			return errDryRun
		}
		return x.store(ctx, tx, &did)
	}, &did)
	switch {
	case errors.Is(err, errUnchanged):
		// It is as wished, which this replica may not have heard of yet.
		return s.refresh(ctx)
	case errors.Is(err, errDryRun):
		return nil
	default:
		return err
	}
}

// store writes the change and its rows, and notes it for the snapshot.
func (x *decision) store(ctx context.Context, tx Tx, did *written) error {
	if !x.delta.Empty() {
		if err := tx.ApplyAccess(ctx, &x.delta); err != nil {
			return err
		}
		did.access = &x.delta
	}
	if err := tx.InsertTables(ctx, x.tables); err != nil {
		return err
	}
	for i := range x.rows {
		if err := x.rows[i].write(ctx, tx, x.now); err != nil {
			return err
		}
	}
	return nil
}

// do takes a part of the change in, so that what is decided next sees it. No key
// may come twice in all parts together.
func (x *decision) do(part access.Delta) {
	x.set = x.set.With(&part)
	d := &x.delta
	d.Users, d.Groups = append(d.Users, part.Users...), append(d.Groups, part.Groups...)
	d.Members, d.Grants = append(d.Members, part.Members...), append(d.Grants, part.Grants...)
	d.Tokens = append(d.Tokens, part.Tokens...)
	d.GoneUsers, d.GoneGroups = append(d.GoneUsers, part.GoneUsers...), append(d.GoneGroups, part.GoneGroups...)
	d.GoneMembers, d.GoneGrants = append(d.GoneMembers, part.GoneMembers...), append(d.GoneGrants, part.GoneGrants...)
	d.GoneTokens = append(d.GoneTokens, part.GoneTokens...)
}

// note adds a row to the audit log: a change that the actor made.
func (x *decision) note(action, resource string, before, after any) {
	x.rows = append(x.rows, accessRow{time.Time{}, x.actor, action, resource, resultOK, before, after})
}

// by is who made it, as records tell.
func (x *decision) by() string { return x.actor.Username }

// newAccessID makes an id that sorts behind those made before.
func newAccessID() (access.ID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return access.ID{}, fmt.Errorf("make an id: %w", err)
	}
	return id, nil
}

// matchesAccess judges If-Match.
func matchesAccess(what string, revision int64, ifMatch string) error {
	if matchesRevision(revision, ifMatch) {
		return nil
	}
	return fault.New(fault.Precondition, "revision_mismatch",
		"%s has the revision %d, not what If-Match asks for; read it again and decide anew", what, revision)
}

// matchesNone judges If-Match of what is only to be made.
func matchesNone(what, ifMatch string) error {
	if ifMatch == "" {
		return nil
	}
	return fault.New(fault.Precondition, "revision_mismatch",
		"%s is not there yet and has no revision; send no If-Match", what)
}

// badText says what is wrong with a text that is kept, or nothing.
func badText(s string) string {
	switch {
	case len(s) > maxText:
		return fmt.Sprintf("is longer than %d bytes", maxText)
	case !utf8.ValidString(s):
		return "is no UTF-8"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "holds control characters"
	default:
		return ""
	}
}

func noGroup(id access.ID) error {
	return fault.New(fault.NotFound, "not_found", "there is no group with the id %s", id)
}

// codeNoUser is for a user that is asked for and not there.
const codeNoUser = "user_not_found"

func noUser(id access.ID) error {
	return fault.New(fault.NotFound, codeNoUser, "there is no user with the id %s", id)
}

// group is one that must be there, and of the revision that If-Match asks for.
func (x *decision) group(id access.ID, ifMatch string) (*access.Group, error) {
	g := x.set.Group(id)
	if g == nil {
		return nil, noGroup(id)
	}
	return g, matchesAccess("group "+shown(g.Name), g.Revision, ifMatch)
}

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/run"
)

// The names of what is done with steps, in the audit log.
const (
	ActionStepCreated = "rule_step.created"
	ActionStepChanged = "rule_step.changed"
	ActionStepDeleted = "rule_step.deleted"
)

const codeBadStep = "bad_step"

// StepInput is the wish of a step, as the body of a request says it.
type StepInput struct {
	Name   string
	Worker string
	Client run.Client
	// Users and the others are the zero Choice when they are not asked for.
	Users, Groups, Clients  run.Choice[string]
	Entities, Relationships run.Choice[int64]
	// Timeout is run.DefaultTimeout when nil, Retries none.
	Timeout *string
	Retries *int
	// Violations are what the reader of the body has found wrong already; they are
	// reported together with the rest.
	Violations []fault.Violation
}

// PutStep adds a step, or replaces the one of this name. ifMatch, unless empty,
// must have the revision of the step that is there, bare or quoted, or be * for any;
// else the answer is 412. Everything that is wrong is reported at once. A wish that changes
// nothing is no change.
func (s *Service) PutStep(ctx context.Context, actor Actor, in StepInput, ifMatch string) (step run.Step, created bool, err error) {
	wish, v := in.wish()
	var after *run.Step
	err = s.write(ctx, func(ctx context.Context, tx Tx) error {
		created = false
		var before *run.Step
		if run.CheckName(in.Name) == nil {
			var err error
			if before, err = optionalStep(tx.Step(ctx, in.Name)); err != nil {
				return err
			}
		}
		found := violations{list: v.list}
		if err := checkStepWorker(ctx, tx, wish.Worker, &found); err != nil {
			return err
		}
		if err := errors.Join(stepMatches(before, ifMatch), found.err()); err != nil {
			return err
		}
		now := s.now()
		after = wish.stored(before, actor, now)
		if before != nil && after.SameWish(before) {
			after = before
			return errUnchanged
		}
		created = before == nil
		action := ActionStepChanged
		if created {
			action = ActionStepCreated
		}
		if err := tx.PutStep(ctx, after); err != nil {
			return err
		}
		return auditStep(ctx, tx, actor, action, now, before, after)
	}, &written{})
	if err != nil && !errors.Is(err, errUnchanged) {
		return run.Step{}, false, err
	}
	return *after, created, nil
}

// wish turns the input into a step without what the store knows.
func (in *StepInput) wish() (*stepWish, *violations) {
	v := &violations{list: in.Violations}
	w := &stepWish{run.Step{
		Name: in.Name, Client: in.Client, Users: in.Users, Groups: in.Groups, Clients: in.Clients,
		Entities: in.Entities, Relationships: in.Relationships, Timeout: run.DefaultTimeout,
	}}
	if err := run.CheckName(in.Name); err != nil {
		v.add(codeBadStep, "/name", "%v", err)
	}
	switch id, err := ParseWorkerID(in.Worker); {
	case in.Worker == "":
		v.add(codeBadStep, "/worker", "is missing; give the uuid of a registered RuleTransformation worker")
	case err != nil:
		v.add(codeBadStep, "/worker", "%s %v", shown(in.Worker), err)
	default:
		w.Worker = string(id)
	}
	if err := run.CheckText(in.Client.ID); err != nil {
		v.add(codeBadStep, "/client/id", "%v; give the Keycloak client that the worker acts as", err)
	}
	if err := run.CheckSecretFile(in.Client.SecretFile); err != nil {
		v.add(codeBadStep, "/client/secretFile", "%v", err)
	}
	checkNames(v, "/users", in.Users)
	checkNames(v, "/groups", in.Groups)
	checkNames(v, "/clients", in.Clients)
	checkListed(v, "/entities", len(in.Entities.List))
	checkListed(v, "/relationships", len(in.Relationships.List))
	in.limits(w, v)
	return w, v
}

func (in *StepInput) limits(w *stepWish, v *violations) {
	if in.Timeout != nil {
		d, err := time.ParseDuration(*in.Timeout)
		if err != nil || d < run.MinTimeout || d > run.MaxTimeout {
			v.add(codeBadStep, "/timeout", "%s is not a duration from %s to %s, such as 10m",
				shown(*in.Timeout), run.MinTimeout, run.MaxTimeout)
		}
		w.Timeout = d
	}
	if in.Retries != nil {
		if *in.Retries < 0 || *in.Retries > run.MaxRetries {
			v.add(codeBadStep, "/retries", "is %d; from 0 to %d are taken", *in.Retries, run.MaxRetries)
		}
		w.Retries = *in.Retries
	}
}

func checkNames(v *violations, pointer string, c run.Choice[string]) {
	if !checkListed(v, pointer, len(c.List)) {
		return
	}
	for i, name := range c.List {
		if err := run.CheckText(name); err != nil {
			v.add(codeBadStep, pointer+"/"+strconv.Itoa(i), "%v", err)
		}
	}
}

func checkListed(v *violations, pointer string, n int) bool {
	if n > run.MaxListed {
		v.add(codeBadStep, pointer, "lists %d; at most %d are taken: write \"all\", or split the step", n, run.MaxListed)
	}
	return n <= run.MaxListed
}

// checkStepWorker finds out whether a step may name this worker; empty has been
// reported.
func checkStepWorker(ctx context.Context, tx Tx, id string, v *violations) error {
	if id == "" {
		return nil
	}
	switch w, err := optional(tx.Worker(ctx, WorkerID(id))); {
	case err != nil:
		return err
	case w == nil:
		v.add(codeBadStep, "/worker", "%s is not registered; register it first", id)
	case w.Class != ClassResult || w.Type != TypeRuleTransformation:
		v.add(codeBadStep, "/worker", "%s is a worker of class %s and type %s; a step needs class %s and type %s",
			id, shown(w.Class), shown(w.Type), ClassResult, TypeRuleTransformation)
	}
	return nil
}

// stepWish is a step without what the store knows of it.
type stepWish struct{ run.Step }

func (w *stepWish) stored(before *run.Step, actor Actor, now time.Time) *run.Step {
	after := w.Step
	after.CreatedBy, after.CreatedAt, after.UpdatedAt, after.Revision = storable(actor.Username), now, now, 1
	if before != nil {
		after.CreatedBy, after.CreatedAt, after.Revision = before.CreatedBy, before.CreatedAt, before.Revision+1
	}
	return &after
}

func optionalStep(s *run.Step, err error) (*run.Step, error) {
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return s, err
}

// stepMatches checks If-Match; there is nothing to match when there is no step.
func stepMatches(s *run.Step, ifMatch string) error {
	rev := "none"
	if s != nil {
		rev = strconv.FormatInt(s.Revision, 10)
	}
	if ifMatch == "" || s != nil && matchesRevision(s.Revision, ifMatch) {
		return nil
	}
	return fault.New(fault.Precondition, "revision_mismatch",
		"the step's revision is %s, not what If-Match asks for; read it again and decide anew", rev)
}

// Step returns one step; not_found when there is none.
func (s *Service) Step(ctx context.Context, name string) (*run.Step, error) {
	if run.CheckName(name) != nil { // stores need not take every text
		return nil, noStep(name)
	}
	step, err := s.store.Step(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil, noStep(name)
	}
	return step, err
}

// Steps returns at most limit steps with a name above after, ordered by name.
func (s *Service) Steps(ctx context.Context, after string, limit int) ([]*run.Step, error) {
	return s.store.Steps(ctx, after, limit)
}

// DeleteStep removes a step. While a run of it is open that is run_open; the run
// is returned then. Its ended runs stay readable.
func (s *Service) DeleteStep(ctx context.Context, actor Actor, name, ifMatch string) (*run.Run, error) {
	if run.CheckName(name) != nil {
		return nil, noStep(name)
	}
	var open *run.Run
	err := s.write(ctx, func(ctx context.Context, tx Tx) error {
		before, err := tx.Step(ctx, name)
		if errors.Is(err, ErrNotFound) {
			return noStep(name)
		}
		if err != nil {
			return err
		}
		if err := stepMatches(before, ifMatch); err != nil {
			return err
		}
		runs, err := openOf(ctx, tx, name)
		if err != nil {
			return err
		}
		if len(runs) > 0 {
			open = runs[0]
			return fault.New(fault.Conflict, CodeRunOpen, "run %s of this step has not ended; cancel it or wait", open.ID)
		}
		if err := tx.DeleteStep(ctx, name); err != nil {
			return err
		}
		return auditStep(ctx, tx, actor, ActionStepDeleted, s.now(), before, nil)
	}, &written{})
	return open, err
}

func noStep(name string) error {
	return fault.New(fault.NotFound, "not_found", "there is no rule transformation named %s", shown(name))
}

// stepJSON is a step as the audit log shows it.
type stepJSON struct {
	Name          string    `json:"name"`
	Worker        string    `json:"worker"`
	Client        string    `json:"client"`
	SecretFile    string    `json:"secretFile"`
	Users         any       `json:"users,omitempty"`
	Groups        any       `json:"groups,omitempty"`
	Clients       any       `json:"clients,omitempty"`
	Entities      any       `json:"entities,omitempty"`
	Relationships any       `json:"relationships,omitempty"`
	Timeout       string    `json:"timeout"`
	Retries       int       `json:"retries"`
	UpdatedAt     time.Time `json:"updatedAt"`
	Revision      int64     `json:"revision"`
}

// choice is "all", a list, or nil for nothing.
func choice[T comparable](c run.Choice[T]) any {
	switch {
	case c.All:
		return "all"
	case c.List != nil:
		return c.List
	default:
		return nil
	}
}

func auditStep(ctx context.Context, tx Tx, actor Actor, action string, now time.Time, before, after *run.Step) error {
	show := func(s *run.Step) (any, bool) {
		if s == nil {
			return nil, false
		}
		return stepJSON{
			Name: s.Name, Worker: s.Worker, Client: s.Client.ID, SecretFile: s.Client.SecretFile,
			Users: choice(s.Users), Groups: choice(s.Groups), Clients: choice(s.Clients),
			Entities: choice(s.Entities), Relationships: choice(s.Relationships),
			Timeout: s.Timeout.String(), Retries: s.Retries, UpdatedAt: s.UpdatedAt, Revision: s.Revision,
		}, true
	}
	subject := after
	if subject == nil {
		subject = before
	}
	return auditChange(ctx, tx, actor, action, "rule_step:"+subject.Name, now, before, after, show)
}

// auditChange writes the row for a change from before to after, of which one may
// be nil.
func auditChange[T any](ctx context.Context, tx Tx, actor Actor, action, resource string, now time.Time,
	before, after *T, show func(*T) (any, bool),
) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an audit id: %w", err)
	}
	e := AuditEntry{ID: id.String(), At: now, Actor: actor.storable(), Action: action, Resource: resource, Result: resultOK}
	for _, side := range []struct {
		of *T
		to *[]byte
	}{{before, &e.Before}, {after, &e.After}} {
		v, there := show(side.of)
		if !there {
			continue
		}
		if *side.to, err = json.Marshal(v); err != nil {
			return fmt.Errorf("write %s for the audit log: %w", resource, err)
		}
	}
	return tx.Audit(ctx, e)
}

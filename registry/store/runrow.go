package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
)

// stepBody is what a step's row keeps as JSON.
type stepBody struct {
	Worker        string        `json:"worker"`
	Client        string        `json:"client"`
	SecretFile    string        `json:"secretFile"`
	Users         chosen        `json:"users"`
	Groups        chosen        `json:"groups"`
	Clients       chosen        `json:"clients"`
	Entities      chosenIDs     `json:"entities"`
	Relationships chosenIDs     `json:"relationships"`
	Timeout       time.Duration `json:"timeout"`
	Retries       int           `json:"retries"`
}

type (
	chosen    = run.Choice[string]
	chosenIDs = run.Choice[int64]
)

func bodyOf(s *run.Step) (string, error) {
	text, err := json.Marshal(stepBody{
		Worker: s.Worker, Client: s.Client.ID, SecretFile: s.Client.SecretFile, Users: s.Users, Groups: s.Groups,
		Clients: s.Clients, Entities: s.Entities, Relationships: s.Relationships, Timeout: s.Timeout, Retries: s.Retries,
	})
	if err != nil {
		return "", fmt.Errorf("step %s: %w", s.Name, err)
	}
	return string(text), nil
}

const selectStep = `SELECT name, body, created_by, created_at, updated_at, revision FROM rule_steps`

func scanStep(row scanner) (*run.Step, error) {
	var s run.Step
	var text string
	if err := row.Scan(&s.Name, &text, &s.CreatedBy, &s.CreatedAt, &s.UpdatedAt, &s.Revision); err != nil {
		return nil, err
	}
	var b stepBody
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		return nil, fmt.Errorf("step %s: %w", s.Name, err)
	}
	s.Worker, s.Client, s.Timeout, s.Retries = b.Worker, run.Client{ID: b.Client, SecretFile: b.SecretFile}, b.Timeout, b.Retries
	s.Users, s.Groups, s.Clients, s.Entities, s.Relationships = b.Users, b.Groups, b.Clients, b.Entities, b.Relationships
	s.CreatedAt, s.UpdatedAt = utc(s.CreatedAt), utc(s.UpdatedAt)
	return &s, nil
}

const selectRun = `SELECT id, step, state, started_by, queued_at, not_before, ended_at, retries, cancelling, attempts,
	created, ignored, deleted, lines FROM rule_runs`

func scanRun(row scanner) (*run.Run, error) {
	var r run.Run
	var notBefore, ended sql.NullTime
	var attempts string
	err := row.Scan(&r.ID, &r.Step, &r.State, &r.StartedBy, &r.QueuedAt, &notBefore, &ended, &r.Retries, &r.Cancelling,
		&attempts, &r.Counts.Created, &r.Counts.Ignored, &r.Counts.Deleted, &r.Lines)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(attempts), &r.Attempts); err != nil {
		return nil, fmt.Errorf("attempts of run %s: %w", r.ID, err)
	}
	r.QueuedAt, r.NotBefore, r.EndedAt = utc(r.QueuedAt), utc(notBefore.Time), utc(ended.Time)
	for i := range r.Attempts {
		a := &r.Attempts[i]
		a.StartedAt, a.EndedAt = utc(a.StartedAt), utc(a.EndedAt)
	}
	return &r, nil
}

func attemptsOf(r *run.Run) (string, error) {
	text, err := json.Marshal(r.Attempts)
	if err != nil {
		return "", fmt.Errorf("attempts of run %s: %w", r.ID, err)
	}
	return string(text), nil
}

const selectLease = `SELECT run, owner, beat FROM rule_run_leases`

func scanLease(row scanner) (l registry.Lease, err error) {
	err = row.Scan(&l.Run, &l.Owner, &l.Beat)
	return l, err
}

func scanLine(row scanner) (l run.Line, err error) {
	err = row.Scan(&l.Number, &l.At, &l.Text)
	l.At = utc(l.At)
	return l, err
}

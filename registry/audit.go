package registry

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The names of actions in the audit log.
const (
	ActionRegistered     = "worker.registered"
	ActionUpdated        = "worker.updated"
	ActionPaused         = "worker.paused"
	ActionResumed        = "worker.resumed"
	ActionDeleted        = "worker.deleted"
	ActionQuarantined    = "worker.quarantined"
	ActionPardoned       = "worker.pardoned"
	ActionVersionChanged = "worker.version_changed"
	ActionConformance    = "worker.conformance_recorded"
	ActionGateway        = "gateway.uuid_set"
)

// resultOK is the result of a change that was made.
const resultOK = "ok"

// Muster is the actor of changes that nobody asked for.
func Muster() Actor { return Actor{Username: "muster"} }

// storable is text as both stores take it: without NUL, which PostgreSQL refuses,
// and valid UTF-8. Tokens and workers may say anything.
func storable(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}

func (a Actor) storable() Actor {
	return Actor{
		Subject: storable(a.Subject), Issuer: storable(a.Issuer), Username: storable(a.Username),
		User: storable(a.User), Token: storable(a.Token),
		RequestID: storable(a.RequestID), Address: storable(a.Address),
	}
}

// recordJSON is a worker as the audit log shows it: the record of fleet.md,
// section 1, without the standing, which is nobody's change.
type recordJSON struct {
	UUID         WorkerID         `json:"uuid"`
	Name         string           `json:"name"`
	URL          string           `json:"url"`
	Class        string           `json:"class"`
	Type         string           `json:"type"`
	Version      string           `json:"version"`
	Transport    Transport        `json:"transport"`
	Active       bool             `json:"active"`
	PausedUntil  *time.Time       `json:"pausedUntil,omitempty"`
	Settings     Settings         `json:"settings"`
	Conformance  *conformanceJSON `json:"conformance,omitempty"`
	Quarantine   *quarantineJSON  `json:"quarantine,omitempty"`
	RegisteredBy string           `json:"registeredBy"`
	RegisteredAt time.Time        `json:"registeredAt"`
	UpdatedAt    time.Time        `json:"updatedAt"`
	Revision     int64            `json:"revision"`
}

type conformanceJSON struct {
	Level   Level     `json:"level"`
	At      time.Time `json:"at"`
	Version string    `json:"version"`
}

type quarantineJSON struct {
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// auditJSON writes a record for the audit log; nil for no record.
func auditJSON(w *Worker) ([]byte, error) {
	if w == nil {
		return nil, nil
	}
	r := recordJSON{
		UUID: w.ID, Name: w.Name, URL: w.URL, Class: w.Class, Type: w.Type, Version: w.Version,
		Transport: w.Transport, Active: w.Active, Settings: w.Settings, RegisteredBy: w.RegisteredBy,
		RegisteredAt: w.RegisteredAt, UpdatedAt: w.UpdatedAt, Revision: w.Revision,
	}
	if !w.PausedUntil.IsZero() {
		r.PausedUntil = &w.PausedUntil
	}
	if c := w.Conformance; !c.At.IsZero() {
		r.Conformance = &conformanceJSON{c.Level, c.At, c.Version}
	}
	if q := w.Quarantined; q != nil {
		r.Quarantine = &quarantineJSON{q.Reason, q.Since}
	}
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write worker %s for the audit log: %w", w.ID, err)
	}
	return data, nil
}

// auditWorker makes the row for a change from before to after, of which one may
// be nil.
func auditWorker(actor Actor, action string, at time.Time, before, after *Worker) (AuditEntry, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return AuditEntry{}, fmt.Errorf("make an audit id: %w", err)
	}
	e := AuditEntry{ID: id.String(), At: at, Actor: actor.storable(), Action: action, Result: resultOK}
	if e.Before, err = auditJSON(before); err != nil {
		return AuditEntry{}, err
	}
	if e.After, err = auditJSON(after); err != nil {
		return AuditEntry{}, err
	}
	subject := after
	if subject == nil {
		subject = before
	}
	e.Resource = "worker:" + string(subject.ID)
	return e, nil
}

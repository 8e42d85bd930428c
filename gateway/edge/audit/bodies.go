package audit

import (
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
)

// AuditRow is one row of the audit log.
type AuditRow struct {
	ID        string          `json:"id"`
	Number    int64           `json:"number" doc:"Counts from 1 without gaps."`
	Time      time.Time       `json:"time"`
	Actor     AuditActor      `json:"actor"`
	Action    string          `json:"action" example:"worker.paused"`
	Resource  string          `json:"resource" example:"worker:8a8a8a8a-0000-4000-8000-000000000001"`
	Before    json.RawMessage `json:"before" doc:"The record before the change; null when there was none."`
	After     json.RawMessage `json:"after" doc:"The record after the change; null when there is none."`
	Result    string          `json:"result" doc:"ok, or the code of what refused it."`
	Address   string          `json:"address"`
	RequestID string          `json:"request_id"`
	KeyID     string          `json:"key_id" doc:"The key of the row's mac; empty in a chain without one."`
	MAC       string          `json:"mac" doc:"In hex; empty in rows from before the chain. number:mac is a head."`
}

// AuditActor is who did it.
type AuditActor struct {
	Subject  string `json:"subject"`
	Issuer   string `json:"issuer"`
	Username string `json:"username"`
	TokenID  string `json:"token_id" doc:"The personal access token that was used; empty without one."`
	UserID   string `json:"user_id"`
}

// AuditPage is a page of rows.
type AuditPage struct {
	Items      []AuditRow `json:"items"`
	NextCursor string     `json:"nextCursor"`
}

// AuditHead is a stored head.
type AuditHead struct {
	Number    int64     `json:"number"`
	MAC       string    `json:"mac"`
	Head      string    `json:"head" doc:"N:HASH, as verification takes it."`
	Time      time.Time `json:"time"`
	KeyID     string    `json:"key_id"`
	Signature string    `json:"signature"`
}

// AuditHeadPage is a page of heads.
type AuditHeadPage struct {
	Items      []AuditHead `json:"items"`
	NextCursor string      `json:"nextCursor"`
}

// AuditSpan is a run of rows.
type AuditSpan struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	Rows  int64 `json:"rows"`
}

// AuditKeyUse is which rows a key has chained.
type AuditKeyUse struct {
	KeyID string `json:"key_id"`
	First int64  `json:"first"`
	Last  int64  `json:"last"`
	Rows  int64  `json:"rows"`
}

// AuditFinding is one thing that is wrong.
type AuditFinding struct {
	Kind   string `json:"kind" enum:"edited,removed,inserted,reordered,cut_tail,replaced,bad_head,unknown_key,key_dropped"`
	First  int64  `json:"first"`
	Last   int64  `json:"last"`
	Detail string `json:"detail"`
}

// AuditReport is what a verification found.
type AuditReport struct {
	OK        bool           `json:"ok"`
	Looked    AuditSpan      `json:"looked" doc:"The rows that were read."`
	Unchained AuditSpan      `json:"unchained" doc:"Rows from before the chain, of which nothing can be proven."`
	Pruned    int64          `json:"pruned" doc:"Up to which row retention has removed rows; 0 when it has not."`
	Keys      []AuditKeyUse  `json:"keys"`
	Heads     int64          `json:"heads" doc:"How many heads were compared with their rows."`
	End       string         `json:"end" doc:"The head of the last row, N:HASH: keep it elsewhere."`
	Findings  []AuditFinding `json:"findings"`
	More      int64          `json:"more" doc:"How many findings are not listed."`
	Notes     []string       `json:"notes" doc:"What could not be checked, and why."`
}

func renderRow(e *registry.AuditEntry) AuditRow {
	a := e.Actor
	return AuditRow{
		ID: e.ID, Number: e.Number, Time: e.At.UTC(),
		Actor:  AuditActor{Subject: a.Subject, Issuer: a.Issuer, Username: a.Username, TokenID: a.Token, UserID: a.User},
		Action: e.Action, Resource: e.Resource, Before: document(e.Before), After: document(e.After), Result: e.Result,
		Address: a.Address, RequestID: a.RequestID, KeyID: e.KeyID, MAC: hex.EncodeToString(e.MAC),
	}
}

// document is what a row holds, as JSON whatever somebody has made of it: a log that
// was tampered with has to be readable.
func document(data []byte) json.RawMessage {
	if data == nil {
		return nil
	}
	if json.Valid(data) {
		return data
	}
	text, err := json.Marshal(string(data))
	if err != nil {
		return nil // a string can always be written
	}
	return text
}

func renderHead(h *audit.Head) AuditHead {
	return AuditHead{
		Number: h.Number, MAC: hex.EncodeToString(h.MAC), Head: h.String(), Time: h.At.UTC(),
		KeyID: h.KeyID, Signature: hex.EncodeToString(h.Signature),
	}
}

func renderReport(r *audit.Report) AuditReport {
	out := AuditReport{
		OK: r.OK, Looked: AuditSpan(r.Looked), Unchained: AuditSpan(r.Unchained), Pruned: r.Pruned,
		Keys: []AuditKeyUse{}, Heads: r.Heads, End: r.End, Findings: []AuditFinding{}, More: r.More, Notes: r.Notes,
	}
	for _, k := range r.Keys {
		out.Keys = append(out.Keys, AuditKeyUse{k.ID, k.First, k.Last, k.Rows})
	}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, AuditFinding{string(f.Kind), f.First, f.Last, f.Detail})
	}
	return out
}

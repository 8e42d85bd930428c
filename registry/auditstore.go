package registry

import (
	"context"
	"time"

	"github.com/muster-fleet/muster/registry/audit"
)

// AuditQuery is what is asked of the audit log; zero values ask for everything.
// Texts are compared exactly.
type AuditQuery struct {
	// Action is a name, or the beginning of names with a * behind it.
	Action string
	// Actor is a subject, a username, or the uuid of a user or a token.
	Actor    string
	Resource string
	Result   string
	// Since and Until bound the time: Since is within, Until is not.
	Since, Until time.Time
	// After and Before bound the number, neither is within; Before is 0 without a
	// bound.
	After, Before int64
	// Oldest has the oldest come first in place of the newest.
	Oldest bool
	// Limit is the most rows that are returned; at least 1.
	Limit int
}

// AuditEnd is where the chain of the audit log ends, as the store's state has it:
// the number and mac of the last row, apart from the rows themselves.
type AuditEnd struct {
	// Number is 0 before the first row; MAC is nil before the first one with a mac.
	Number int64
	MAC    []byte
}

// AuditBounds is which rows of the audit log there are, as of one moment.
type AuditBounds struct {
	// First and Last are the least and the greatest number of a row, 0 without rows.
	First, Last int64
	// LastHead is the greatest number of a stored head; 0 without heads.
	LastHead int64
	End      AuditEnd
}

// AuditKeeper reads the audit log, and what belongs to its chain.
type AuditKeeper interface {
	// AuditFind returns the rows that meet a query, in the order of their numbers or
	// against it.
	AuditFind(ctx context.Context, q AuditQuery) ([]AuditEntry, error)
	// AuditScan calls take with each row numbered from first to last, in order, and
	// stops at its first error, which it returns. The entry is used again.
	AuditScan(ctx context.Context, first, last int64, take func(e *AuditEntry) error) error
	// AuditBounds returns which rows there are.
	AuditBounds(ctx context.Context) (AuditBounds, error)
	// AuditHeads returns at most limit heads numbered after one, in order.
	AuditHeads(ctx context.Context, after int64, limit int) ([]audit.Head, error)
	// AuditChain are the keys that rows are chained with; nil without keys.
	AuditChain() *audit.Keys
}

// AuditTx is what a transaction does with the audit log. Each audit.Segment rows it
// stores a head by itself.
type AuditTx interface {
	// Audit appends to the audit log; number, mac and key id are given by the store.
	Audit(ctx context.Context, e AuditEntry) error
	// SealAudit signs and stores the head of the chain's end, as of a time; ok is false
	// when there is no row with a mac, or when that head is stored already.
	SealAudit(ctx context.Context, at time.Time) (head audit.Head, ok bool, err error)
	// DropAudit removes all rows up to the newest stored head that was signed before
	// a time and whose number is at most most above the least one, and the heads
	// before it. It returns that head and how many rows went; ok is false when there
	// is no such head, and nothing was done.
	DropAudit(ctx context.Context, before time.Time, most int64) (end audit.Head, rows int64, ok bool, err error)
}

// Row is the entry as its chain covers it. It shares the entry's bytes.
func (e *AuditEntry) Row() audit.Row {
	return audit.Row{
		Number: e.Number, ID: e.ID, Revision: int64(e.Revision), At: e.At,
		Subject: e.Actor.Subject, Issuer: e.Actor.Issuer, Username: e.Actor.Username,
		TokenID: e.Actor.Token, UserID: e.Actor.User, RequestID: e.Actor.RequestID, Address: e.Actor.Address,
		Action: e.Action, Resource: e.Resource, Before: e.Before, After: e.After, Result: e.Result, KeyID: e.KeyID,
	}
}

package audit

import (
	"encoding/binary"
	"time"
)

// Row is one row of the audit log, as far as its mac covers it: all of it but the
// mac itself.
type Row struct {
	// Number counts from 1 without gaps.
	Number   int64
	ID       string
	Revision int64
	// At counts in microseconds, which is what stores keep; what is finer is left
	// out of account.
	At time.Time

	// Who did it.
	Subject, Issuer, Username, TokenID, UserID string
	RequestID, Address                         string

	Action, Resource string
	// Before and After are JSON; nil is not the same as empty.
	Before, After []byte
	Result        string
	// KeyID names the key of the mac; empty in a chain without one.
	KeyID string
}

// form begins every encoding. A change of what follows takes another one, and a
// way to tell which rows are encoded by which.
const form = "muster audit row 1\n"

// encode appends what a mac covers: every text with its length in front, numbers
// with a fixed length, in a fixed order. Two different pairs of mac and row never
// encode alike.
func (r *Row) encode(b, prev []byte) []byte {
	b = append(b, form...)
	b = text(b, prev)
	b = number(b, r.Number)
	b = text(b, r.ID)
	b = number(b, r.Revision)
	b = number(b, r.At.UnixMicro())
	for _, s := range [...]string{
		r.Subject, r.Issuer, r.Username, r.TokenID, r.UserID, r.RequestID, r.Address, r.Action, r.Resource,
	} {
		b = text(b, s)
	}
	b = optional(b, r.Before)
	b = optional(b, r.After)
	b = text(b, r.Result)
	return text(b, r.KeyID)
}

func number(b []byte, n int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }

func text[T string | []byte](b []byte, s T) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...)
}

// optional tells nil from empty.
func optional(b, data []byte) []byte {
	if data == nil {
		return append(b, 0)
	}
	return text(append(b, 1), data)
}

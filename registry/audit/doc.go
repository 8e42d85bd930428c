// Package audit makes the audit log tamper-evident: each row's mac covers every
// column of the row and the mac before it, so that an edited, removed, inserted
// or moved row is found by who has the key, and a cut tail by who kept a head.
//
// It knows rows, keys and heads, and no database: the store appends, the
// registry's service reads (specification of access, section 5; docs/adr/0162).
package audit

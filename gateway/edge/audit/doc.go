// Package audit is the API of the audit log: /api/admin/audit with its rows, heads
// and verification (specification of access, sections 3 and 5). It reads alone: rows
// are written by the changes that they tell of.
package audit

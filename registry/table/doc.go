// Package table has the nouns of the registry of tables: what a table of a source
// is, what keeps a value from being one of its, and the grammar of its schedule.
// It does not touch a store, a source or a clock.
package table

// Package agnes reads access control and the registry of tables out of the
// system.duckdb of the agnes analyst at schema v13 or v14, for an import. The file is
// somebody else's: it is opened read-only, by an engine that reaches no other file,
// no network and no extension, and nothing in it is believed but what has the form
// that is expected.
package agnes

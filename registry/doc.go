// Package registry is what is known: the workers of the fleet, their standing
// quarantine, and who changed what. It holds the nouns, the service functions
// that change them (one writer, one transaction including the audit row), and
// the snapshot from which everything else reads without touching a database.
package registry

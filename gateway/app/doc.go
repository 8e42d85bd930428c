// Package app is the composition root: it builds each component of a gateway
// from the configuration, in the order of their dependencies, starts them, and
// takes them down in the reverse order. Nothing else knows them all, and only the
// command line imports it.
package app

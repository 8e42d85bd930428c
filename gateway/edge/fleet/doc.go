// Package fleet is the management API of the fleet: /api/workers over REST and
// muster.registry.v1.Registry over gRPC (fleet specification, section 1), both
// over the same functions of the registry and the same prober.
//
// REST bodies are read by the strict reader of package rest, which reports every
// mistake at once, in the specification's order; the OpenAPI description is
// generated from the same Go types but validates nothing. Errors are RFC 9457
// problems.
package fleet

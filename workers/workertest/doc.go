// Package workertest is the conformance suite for workers of class "result" and
// type "ExternalGraphSecurity", in any language and over either transport. It
// plays the gateway: it calls the worker as registered, gives it elements, and
// holds what comes back against what was sent. "muster conform" runs it from the
// command line; Go authors run it with RunT.
//
// The cases stand on three levels, each of which needs the ones before it:
//
//   - core: what a gateway needs to call the worker at all: identity, both kinds,
//     empty data, errors, and tokens of every bad sort.
//   - robust: what traffic brings: 10,000 elements, values that careless JSON
//     libraries change, callers at once, callers that are slow or go away.
//   - laws: what lets a gateway split a batch and run the parts side by side: an
//     answer depends on the caller and the element alone. A worker that fails only
//     here works, is called with whole batches, and is recorded as contextual.
//
// A worker with a policy that shows nothing of the suite's own elements proves
// nothing about values and laws; such cases are skipped, and Options.Nodes and
// Options.Relationships give elements that the caller may see.
//
// The suite never sends more than a few hundred requests, each of a few MB at
// most, to the one address that it was given, follows no redirects and uses no
// proxy.
package workertest

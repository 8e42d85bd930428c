// Package worker is the SDK for workers of class "result" and type
// "ExternalGraphSecurity": services that decide, element by element, what a
// caller may see of a graph. An author gives an identity and one function from
// principal and element to a verdict; Serve does the rest:
//
//   - the worker contract over REST: GET / with the four keys, POST on Path with
//     the contract's bodies and errors,
//   - the same function over gRPC (muster.worker.v1.GraphSecurity), with
//     grpc.health open and reflection behind a token,
//   - bearer tokens verified offline against the issuer's keys,
//   - limits on body and concurrency, the caller's deadline, /livez, /readyz and
//     /metrics,
//   - draining on SIGTERM, and enrolment at a gateway's registry.
//
// # Fail closed
//
// The zero Verdict hides. A panic, a failed lookup (Fail), a deadline or a batch
// function that returns too few verdicts makes the whole request fail; nothing of
// it is answered. There is no way to answer an element that the function did not
// judge.
//
// # Which audience a worker has to accept
//
// A token names who it is for in its aud claim, and a worker refuses tokens that
// are not for it. Which audience that is depends on the identity setting of the
// worker's registration:
//
//   - "forward" (the default, and what the worker contract documents): the
//     gateway passes on the token that the caller sent to it, so the audience is
//     the gateway's own, usually AudienceForward ("muster").
//   - "exchange": the gateway exchanges the caller's token (RFC 8693) for one
//     issued for this worker alone. The audience is the worker's own, the same
//     text as settings.audience of its registration, and the worker should accept
//     no other: a token that leaked from another service is then no key to it.
//
// # One element at a time
//
// A verdict should depend on the principal and the element alone. Then a batch
// may be split, reordered and judged in parallel without changing the result; the
// suite in workers/workertest (muster conform) proves it, and a worker that
// passes level "laws" may be called in chunks. A worker that fails it still works.
//
// How to write one is told in docs/how-to/write-a-worker.md.
package worker

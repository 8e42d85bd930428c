// Package fanout asks the workers of the fleet. It is the gateway's outgoing
// side: one leg per worker (REST or gRPC) with its bulkhead, its circuit breaker
// and its kept connections, all workers asked at once, and every way in which a
// worker can fail turned into one row of the table in the fleet's specification.
//
// What a worker says is trusted for nothing but hiding: answers are matched
// against the batch that was sent, and an answer that says anything else is a
// violation of which nothing is used. The package sees snapshots, never a store.
package fanout

// Package h1 is a client for HTTP/1.1 that sends one kind of request: a POST of
// bytes that are already in memory, to one origin, over kept connections.
//
// It exists because the calls to workers are most of the gateway's bill: where
// net/http copies a body of known length through a 32 KiB buffer and hands every
// exchange over between three goroutines, this client writes the caller's own
// slices with writev and reads the answer on the goroutine that asks for it. It
// reads answers strictly: what it accepts net/http accepts as well, with the same
// status and the same body (fuzzed), and where a framing could be read in two
// ways it refuses. It follows no redirect, knows no proxy, no cookies and no
// content coding.
package h1

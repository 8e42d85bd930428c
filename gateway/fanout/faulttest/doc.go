// Package faulttest holds workers for tests: well-behaved ones over REST and
// gRPC whose decisions the test writes down, and misbehaving ones that answer
// by hand over a raw socket. All of them are real servers on loopback.
package faulttest

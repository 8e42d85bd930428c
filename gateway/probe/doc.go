// Package probe asks workers who they are and keeps what it found.
//
// An Inspector makes the one call of a registration: GET on the root of the
// worker's origin, or Describe (fleet specification, section 2). A Prober makes
// that call again and again for every registered worker, listens to what traffic
// has to say, and derives each worker's standing (section 3). Standing is this
// replica's own view and is never stored; quarantine alone is, through the
// registry. The rules by which a standing moves are in standing.go, which knows
// no clock and no network.
package probe

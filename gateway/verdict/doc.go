// Package verdict is the lattice that decides what a caller may see. For each
// element: hidden < visible with a set of properties < visible whole. A Set holds
// one source's verdicts over one batch, Meet combines sets, Close drops the
// relationships whose ends are not visible, ReadReply and Collector turn what a
// worker said into a Set or into a Violation, Answer writes what is left.
//
// The package does no I/O of its own beyond the readers and writers it is given,
// knows no clock, and imports only the contract's reader and the wire types.
package verdict

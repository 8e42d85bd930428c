// Package rules evaluates Graph Access Rules. Compile folds the rules of one
// principal and the graph model into a Program; Program.Decide says of every
// element of a request whether the principal may see it, and which of its
// properties. Nothing is visible unless a rule speaks for it.
//
// The laws are those of docs/reference/graph-access-rules.md. They are written
// down a second time, slowly and without anything shared, in the tests, which
// compare the two.
//
// # How it is fast
//
// Neighbours in a graph look alike. What the rules say of nodes with one label
// and one sequence of property names is folded once into masks over the positions
// of the properties and into conditions on positions; a node then costs the
// lookup of its labels by their bytes, a look at the values that conditions ask
// for, and an OR of masks for each label. That its names are those of a node
// before, the reader of the request has found out already, see
// element.Batch.Skeleton; where it has not, they are compared. What is folded is
// kept with the program, up to a bound; beyond it the same code folds for each
// node anew, so that whoever sends other names with every node pays in time
// proportional to what is sent, and holds no memory.
package rules

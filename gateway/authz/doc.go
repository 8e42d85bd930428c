// Package authz decides what a caller may do. It holds three things: the table of
// resource types that grants speak of (types.go), the table of what every
// endpoint of Muster needs (endpoints.go), and the resolver that answers for a
// caller from memory, without a query (access.go). What the words mean is in the
// access specification, sections 1 and 2.
package authz

// Package transformations is the API of rule transformations:
// /api/rule-transformations with its steps and their runs (specification of rules
// and transformations, section 4). What a call does is done by the registry's
// functions; the runs themselves are carried out by package transform.
package transformations

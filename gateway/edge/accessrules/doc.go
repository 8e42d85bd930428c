// Package accessrules is the REST API of the graph model and the Graph Access
// Rules: /api/graph-model and /api/graph-access-rule, of which POST accessRules
// is the published contract by which rule transformations post their rules
// (worker contract, section 5.4).
//
// Bodies are read strictly: a member with a misspelt name is refused, because a
// condition that nobody reads would show what it was meant to hide.
package accessrules

// Package celfilter is the reference worker of type ExternalGraphSecurity: its
// decisions are a policy file of named rules, each a CEL expression over the
// element and the caller. It shows how a worker of one's own may look, and serves
// those whose policy fits into such rules.
//
// A policy is YAML:
//
//	rules:
//	  - name: no secrets
//	    when: '"Secret" in element.labels'
//	    decide: hide
//	  - name: ssn is for hr
//	    when: '!("/hr" in principal.groups)'
//	    decide: strip
//	    properties: [ssn]
//	  - name: staff see what is not too confidential
//	    kind: node
//	    when: '"/staff" in principal.groups && element.properties.level <= 2'
//	    decide: keep
//	    missing: skip
//
// The rules are asked in order. A strip rule that holds takes its properties away
// and the next rule is asked; the first keep or hide rule that holds decides. An
// element that no rule decides is hidden, unless the policy says "default: keep".
//
// The expressions know:
//
//	element.id, element.properties      of any element; properties is a map
//	element.labels                      a node's; empty for a relationship
//	element.type, .startId, .endId, .startLabel, .endLabel   a relationship's; empty for a node
//	kind                                "node" or "relationship"
//	principal.username, .subject, .email, .emailVerified, .groups, .roles, .client, .issuer
//	claims                              all of the token's claims, a map
//
// A rule that asks for a property, claim or list entry that is not there hides the
// element, because nobody can tell what it would have decided. Its "missing" may
// say otherwise: "skip" goes on as if it did not hold, "match" as if it held. Use
// has(element.properties.x) to ask whether something is there. Any other failure
// of an expression (a string compared with a number, a cost over CostLimit) hides.
//
// Integers that fit into 64 bits are exact, other numbers are doubles; a number
// that fits into neither makes the expression that reads it fail.
package celfilter

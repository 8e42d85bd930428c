// Package access is who may do what: users, groups, memberships by source,
// grants and personal access tokens, as nouns and as one immutable set that
// answers questions from memory. It decides nothing about how a token was
// verified and knows no store. What the words mean is specs/access.md, section 1.
package access

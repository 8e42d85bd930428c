package rule

import "time"

// Rule is a stored Graph Access Rule: what its subjects may see. There are no
// rules that forbid. It must not be changed once it is in a snapshot.
type Rule struct {
	// ID is given by the store, from 1 on, and never given again.
	ID int64
	// Name is the rule's identity for conflicts, over all creators.
	Name string
	// Active is false for a rule that does nothing.
	Active bool
	// Users are user names, compared case-folded; Groups are whole paths, one
	// leading slash ignored; Clients are client ids or the names of their service
	// accounts.
	Users, Groups, Clients []string
	Entities               []EntityGrant
	Relationships          []ID
	Conditions             []Condition
	Functions              []ID

	Creator Creator
	// CreatedBy is the creator's user name, for people to read.
	CreatedBy string
	// Run is the id of the run whose token created the rule; empty outside runs.
	Run                  string
	CreatedAt, UpdatedAt time.Time
	// Revision is the store's, of the change that wrote the rule.
	Revision int64
}

// EntityGrant shows the nodes of an entity, with the properties listed.
type EntityGrant struct {
	ID         ID
	Properties []ID
}

// Condition has a rule speak only for nodes whose property has this value, in
// its string form. Values of one property are alternatives; conditions on
// different properties must all hold.
type Condition struct {
	Property ID
	Value    string
}

// Creator is who owns a rule: DeleteAllForUser removes the rules of one creator.
type Creator struct {
	Issuer, Subject string
	// Step is the rule transformation in whose run the rule was posted; empty
	// outside runs.
	Step string
}

// Strategy says what becomes of rules that are there already.
type Strategy string

// The strategies of the published contract.
const (
	Ignore           Strategy = "Ignore"
	DeleteOnConflict Strategy = "DeleteOnConflict"
	DeleteAllForUser Strategy = "DeleteAllForUser"
)

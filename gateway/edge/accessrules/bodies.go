package accessrules

import (
	"time"

	"github.com/muster-fleet/muster/registry/rule"
)

// The types below are the bodies of answers, and describe those of requests for
// OpenAPI; requests are read by hand, in read.go, and a test holds the two equal.

// PostInput is the body of POST accessRules.
type PostInput struct {
	Strategy   string      `json:"ruleCreationStrategy,omitempty" enum:"Ignore,DeleteOnConflict,DeleteAllForUser" doc:"Ignore when left out."`
	Generation string      `json:"generation,omitempty" doc:"Stages the rules until they are committed; with DeleteAllForUser only."`
	Rules      []RuleInput `json:"rules" nullable:"false"`
}

// RuleInput is a rule as it is posted.
type RuleInput struct {
	Name          string           `json:"name" doc:"The rule's identity, over all creators."`
	AccessLevel   string           `json:"accessLevel,omitempty" enum:"view"`
	Active        *bool            `json:"active,omitempty" default:"true"`
	Users         []string         `json:"users,omitempty" doc:"User names, compared case-folded."`
	Groups        []string         `json:"groups,omitempty" doc:"Whole paths; one leading slash is ignored."`
	Clients       []string         `json:"clients,omitempty" doc:"Client ids, or service-account-<client id>."`
	Entities      []EntityGrant    `json:"entities,omitempty"`
	Relationships []rule.ID        `json:"relationships,omitempty"`
	Conditions    []ConditionInput `json:"propertyValueConditions,omitempty"`
	Functions     []rule.ID        `json:"functions,omitempty"`
}

// EntityGrant shows the nodes of an entity with the properties listed.
type EntityGrant struct {
	ID         rule.ID   `json:"id"`
	Properties []rule.ID `json:"properties" nullable:"false"`
}

// ConditionInput is a condition of a rule. Both spellings are read; answers have
// the published one.
type ConditionInput struct {
	PropertyID rule.ID `json:"PropertyId"`
	Value      string  `json:"Value"`
}

// AccessRule is a stored rule.
type AccessRule struct {
	ID            int64            `json:"id"`
	Name          string           `json:"name"`
	AccessLevel   string           `json:"accessLevel" enum:"view"`
	Active        bool             `json:"active"`
	Users         []string         `json:"users" nullable:"false"`
	Groups        []string         `json:"groups" nullable:"false"`
	Clients       []string         `json:"clients" nullable:"false"`
	Entities      []EntityGrant    `json:"entities" nullable:"false"`
	Relationships []rule.ID        `json:"relationships" nullable:"false"`
	Conditions    []ConditionInput `json:"propertyValueConditions" nullable:"false"`
	Functions     []rule.ID        `json:"functions" nullable:"false"`
	State         string           `json:"state" enum:"active,inactive,orphaned,staged" doc:"orphaned: something that the rule names is not in the graph model, and grants nothing."`
	Orphans       *Orphans         `json:"orphans,omitempty"`
	Warnings      []Warning        `json:"warnings,omitempty" doc:"What the rule says that has no effect."`
	CreatedBy     Creator          `json:"createdBy"`
	Run           string           `json:"run,omitempty" doc:"The run of a rule transformation that posted it."`
	Generation    string           `json:"generation,omitempty" doc:"Of a staged rule."`
	CreatedAt     time.Time        `json:"createdAt"`
	UpdatedAt     time.Time        `json:"updatedAt"`
	Revision      int64            `json:"revision"`
}

// Orphans are what a rule names and the model does not have.
type Orphans struct {
	Entities      []rule.ID `json:"entities" nullable:"false"`
	Properties    []rule.ID `json:"properties" nullable:"false"`
	Relationships []rule.ID `json:"relationships" nullable:"false"`
	// Silent says that a condition is among them.
	Silent bool `json:"silent" doc:"A condition cannot be tested, so the whole rule grants nothing."`
}

// Creator is who owns a rule.
type Creator struct {
	Issuer   string `json:"issuer"`
	Subject  string `json:"subject"`
	Username string `json:"username"`
	Step     string `json:"step,omitempty" doc:"The rule transformation in whose run it was posted."`
}

// Posted is the answer to POST accessRules and to a commit.
type Posted struct {
	Created []string `json:"created" nullable:"false"`
	Ignored []string `json:"ignored" nullable:"false"`
	Deleted []string `json:"deleted" nullable:"false"`
	// Warnings are there on a post alone.
	Warnings []Warning `json:"warnings,omitempty" doc:"What was stored and has no effect."`
}

// Warning is something in a rule that is no mistake and has no effect.
type Warning struct {
	Code    string `json:"code" enum:"never_matches"`
	Pointer string `json:"pointer" doc:"Where it stands in the body."`
	Detail  string `json:"detail"`
}

// PostedVerbose is Posted with ?verbose=true.
type PostedVerbose struct {
	Created  []Named   `json:"created" nullable:"false"`
	Ignored  []Named   `json:"ignored" nullable:"false"`
	Deleted  []Named   `json:"deleted" nullable:"false"`
	Warnings []Warning `json:"warnings,omitempty" doc:"What was stored and has no effect."`
}

// Named is a rule and who had created it before the call.
type Named struct {
	Name      string  `json:"name"`
	CreatedBy Creator `json:"createdBy"`
}

// Removed is the answer to DELETE accessRules?createdBy=me.
type Removed struct {
	Deleted int `json:"deleted" doc:"How many rules there were."`
}

// CommitInput is the body of POST accessRules:commit.
type CommitInput struct {
	Generation string `json:"generation"`
}

// AccessRules is one page of a list of rules.
type AccessRules struct {
	Items      []AccessRule `json:"items" nullable:"false" doc:"Ordered by id."`
	NextCursor string       `json:"nextCursor" doc:"Of the next page; empty on the last one."`
}

// GraphModel is the graph model.
type GraphModel struct {
	Entities      []Entity       `json:"entities" nullable:"false"`
	Relationships []Relationship `json:"relationships" nullable:"false"`
}

// ModelRecord is the model as it is stored.
type ModelRecord struct {
	GraphModel
	Revision int64 `json:"revision"`
}

// ModelChanged is the answer to PUT /api/graph-model.
type ModelChanged struct {
	Revision int64    `json:"revision"`
	Orphaned Orphaned `json:"orphaned" doc:"What rules name and the model does not have; it grants nothing."`
}

// Orphaned are the ids that rules use in vain, and those rules.
type Orphaned struct {
	Entities      []rule.ID `json:"entities" nullable:"false"`
	Properties    []rule.ID `json:"properties" nullable:"false"`
	Relationships []rule.ID `json:"relationships" nullable:"false"`
	Rules         []RuleRef `json:"rules" nullable:"false" doc:"The first 1000, ordered by id."`
	Count         int       `json:"count" doc:"How many rules there are."`
}

// RuleRef names a rule.
type RuleRef struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// Entity is a kind of node.
type Entity struct {
	ID         rule.ID    `json:"id"`
	Title      string     `json:"title" doc:"The label."`
	Properties []Property `json:"properties" nullable:"false"`
}

// Property is a property of an entity.
type Property struct {
	ID    rule.ID `json:"id"`
	Title string  `json:"title" doc:"The property's name."`
}

// Relationship is a kind of relationship.
type Relationship struct {
	ID    rule.ID `json:"id"`
	From  string  `json:"entityNameFrom"`
	To    string  `json:"entityNameTo"`
	Name  string  `json:"name"`
	Alias string  `json:"alias" doc:"The relationship's type."`
}

// CheckInput is the body of POST accessRules:check.
type CheckInput struct {
	Principal  CheckPrincipal `json:"principal"`
	Parameters map[string]any `json:"parameters" doc:"As in a filter request."`
	Data       any            `json:"data" doc:"As in a filter request."`
}

// CheckPrincipal is whose view is asked for.
type CheckPrincipal struct {
	Username string   `json:"username,omitempty"`
	Groups   []string `json:"groups,omitempty"`
	Client   string   `json:"client,omitempty" doc:"As if the token were this client's own service account."`
}

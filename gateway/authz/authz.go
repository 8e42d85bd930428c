// Package authz decides what a principal may do. Until groups and grants land,
// a realm role decides; the actions are named so that callers will not change.
package authz

import (
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

const (
	// RoleAdmin is the Keycloak realm role that may do everything.
	RoleAdmin = "muster-admin"
	// RoleRulesWrite is the realm role that may write Graph Access Rules and the
	// graph model, and nothing else: rule transformations hold it.
	RoleRulesWrite = "muster-rules-write"
)

// Action is something that needs a right beyond a valid token.
type Action struct {
	// code is the error's, what the phrase that its text uses.
	code string
	what string
	// also is a role that allows this action beside RoleAdmin; empty without one.
	also string
}

// The actions.
var (
	// ManageWorkers registers, lists, changes, probes and removes workers.
	ManageWorkers = Action{code: "denied", what: "the worker registry"}
	// ExplainFilter learns what a filter hid, and why.
	ExplainFilter = Action{code: "explain_denied", what: "an explained answer"}
	// WriteRules reads and writes the graph model and Graph Access Rules.
	WriteRules = Action{code: "denied", what: "work on Graph Access Rules", also: RoleRulesWrite}
	// ManageTransformations lists and changes rule transformations.
	ManageTransformations = Action{code: "denied", what: "the rule transformations"}
	// RunTransformation starts, watches and cancels runs of a rule transformation.
	RunTransformation = Action{code: "denied", what: "a run of a rule transformation"}
)

// Require returns nil when the principal may do it, else a *fault.Error of kind
// Denied. It is safe for concurrent use and allocates nothing when it allows.
func Require(p *token.Principal, a Action) error {
	if p != nil && (p.HasRealmRole(RoleAdmin) || a.also != "" && p.HasRealmRole(a.also)) {
		return nil
	}
	if a.also != "" {
		return fault.New(fault.Denied, a.code,
			"%s needs the realm role %s or %s, which this token does not carry", a.what, a.also, RoleAdmin)
	}
	return fault.New(fault.Denied, a.code,
		"%s needs the realm role %s, which this token does not carry", a.what, RoleAdmin)
}

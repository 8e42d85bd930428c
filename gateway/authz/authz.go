// Package authz decides what a principal may do. Until groups and grants land,
// a realm role decides; the actions are named so that callers will not change.
package authz

import (
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

// RoleAdmin is the Keycloak realm role that may do everything.
const RoleAdmin = "muster-admin"

// Action is something that needs a right beyond a valid token.
type Action struct {
	// code is the error's, what the phrase that its text uses.
	code string
	what string
}

// The actions.
var (
	// ManageWorkers registers, lists, changes, probes and removes workers.
	ManageWorkers = Action{code: "denied", what: "the worker registry"}
	// ExplainFilter learns what a filter hid, and why.
	ExplainFilter = Action{code: "explain_denied", what: "an explained answer"}
)

// Require returns nil when the principal may do it, else a *fault.Error of kind
// Denied. It is safe for concurrent use and allocates nothing when it allows.
func Require(p *token.Principal, a Action) error {
	if p != nil && p.HasRealmRole(RoleAdmin) {
		return nil
	}
	return fault.New(fault.Denied, a.code,
		"%s needs the realm role %s, which this token does not carry", a.what, RoleAdmin)
}

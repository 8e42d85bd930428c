package rest

import (
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// Refusals returns what notes, for the audit log, that a call was refused by what
// carries it out: who asked, the action and the resource of its endpoint, and the
// code. It returns nil for calls that change nothing, dry runs among them. What is
// no request that can be carried out at all, and what ends with a failure of ours,
// is not a refusal.
func Refusals(
	e *authz.Endpoint, param func(string) string, dryRun bool, actor registry.Actor,
	note func(actor registry.Actor, action, resource, code string),
) func(error) {
	if note == nil || dryRun || !e.Changes() {
		return nil
	}
	return func(err error) {
		f := fault.From(err)
		switch f.Kind {
		case fault.Denied, fault.NotFound, fault.Conflict, fault.Precondition, fault.Unprocessable:
			note(actor, e.Action, e.Resource(param), f.Code)
		default:
		}
	}
}

package authz

import (
	"slices"
	"strings"

	"github.com/muster-fleet/muster/proto/fault"
)

// The scopes of personal access tokens beside those of one resource, "type:id".
const (
	// ScopeRead is everything that the owner may read.
	ScopeRead = "read"
	// ScopeAdmin is everything that the owner may.
	ScopeAdmin = "admin"
)

// CodeInsufficientScope refuses a personal access token for what only its owner's
// login may.
const CodeInsufficientScope = "insufficient_scope"

// scoped reports whether the caller's personal access token reaches a resource; ""
// stands for what is no resource. Tokens of logins reach everything.
func (w *Who) scoped(typ, id string) bool {
	if w.personal == nil {
		return true
	}
	for _, s := range w.personal.Scopes {
		if s == ScopeAdmin || s == ScopeRead && w.reading {
			return true
		}
		if typ != "" && w.scopeReaches(s, typ, id) {
			return true
		}
	}
	return false
}

func (w *Who) scopeReaches(scope, typ, id string) bool {
	rest, ok := strings.CutPrefix(scope, typ)
	if !ok || rest == "" || rest[0] != ':' {
		return false
	}
	t := w.access.types.byKey[typ]
	if rest[1:] == id || rest[1:] == Wildcard && t.Wildcard {
		return true
	}
	also, implied := t.Implied[id]
	return implied && rest[1:] == also
}

// CheckScopes returns scopes as a token is to keep them, in the order given, each
// once. What is no scope is 422 bad_scope; what the caller may not themselves is
// 403 scope_denied. There has to be at least one.
func (w *Who) CheckScopes(scopes []string) ([]string, error) {
	if len(scopes) == 0 {
		return nil, badScope("scopes are missing; give %q, %q, or type:id such as worker:<uuid>", ScopeRead, ScopeAdmin)
	}
	out := make([]string, 0, len(scopes))
	for _, s := range scopes {
		canonical, err := w.checkScope(strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, canonical) {
			out = append(out, canonical)
		}
	}
	return out, nil
}

func (w *Who) checkScope(s string) (string, error) {
	switch s {
	case ScopeRead:
		return s, nil
	case ScopeAdmin:
		if !w.Admin() {
			return "", fault.New(fault.Denied, "scope_denied", "the scope %q is for administrators; your tokens may have %q, or type:id of what you were granted", s, ScopeRead)
		}
		return s, nil
	}
	typ, id, ok := strings.Cut(s, ":")
	if !ok || w.access.types.byKey[typ] == nil {
		return "", badScope("the scope %s is none of %q, %q and type:id, with a type of %s", quoted(s), ScopeRead, ScopeAdmin, strings.Join(w.access.types.Keys(), ", "))
	}
	canonical, err := w.access.types.CheckGrant(typ, id)
	if err != nil {
		return "", badScope("the scope %s names no resource: %v", quoted(s), err)
	}
	if !w.May(typ, canonical) {
		return "", fault.New(fault.Denied, "scope_denied", "the scope %s is more than you may yourself", quoted(s))
	}
	return typ + ":" + canonical, nil
}

func badScope(format string, args ...any) error {
	return fault.New(fault.Unprocessable, "bad_scope", format, args...)
}

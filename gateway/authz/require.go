package authz

import (
	"slices"

	"github.com/muster-fleet/muster/proto/fault"
)

// Pass says how a caller was let in.
type Pass struct {
	// CreatorOnly is set for a caller without the grant, who is let in to what they
	// have created themselves: the call has to look, and to refuse the rest as
	// Refused does.
	CreatorOnly bool
}

// Require lets a caller in to an endpoint or returns a *fault.Error: 403 for
// administrators' calls and for coarse rights, and for a resource that the caller
// may not see the 404 of one that is not there. param returns the parameters of
// the request; "" stands for one that it does not have. It allocates nothing when
// it lets the caller in.
func (w *Who) Require(e *Endpoint, param func(name string) string) (Pass, error) {
	w.reading = e.reads()
	switch e.Need.kind {
	case needPublic:
		return Pass{}, nil
	case needAnybody:
		return Pass{}, w.mayChange()
	case needAdmin:
		if w.Admin() {
			return Pass{}, nil
		}
		if w.member() && !w.plain {
			return Pass{}, needsScope()
		}
		return Pass{}, Refused()
	case needGrant:
		// Administrators are found with the first resource; what is left are those of
		// whom the request names none that there could be.
		for i := range e.Need.any {
			if w.mayPair(&e.Need.any[i], param) {
				return Pass{}, nil
			}
		}
		if w.Admin() {
			return Pass{}, nil
		}
		if e.Need.creator {
			return Pass{CreatorOnly: true}, w.mayOwn(&e.Need.any[0])
		}
		if w.personal != nil && w.ownerMay(e, param) {
			return Pass{}, needsScope()
		}
		return Pass{}, w.refuse(e, param)
	case needNothing:
	}
	return Pass{}, Refused()
}

// mayChange refuses a personal access token without a wide scope for what is no
// resource's.
func (w *Who) mayChange() error {
	if w.reading || w.scoped("", "") {
		return nil
	}
	return needsScope()
}

// mayOwn refuses a personal access token that is for something else than the
// resource which a creator's own are parts of.
func (w *Who) mayOwn(p *Pair) error {
	if w.scoped(p.Type, p.ID) {
		return nil
	}
	return needsScope()
}

func needsScope() error {
	return fault.New(fault.Denied, CodeInsufficientScope, "the scopes of this personal access token do not reach so far; log in, or make a token with other scopes")
}

// ownerMay reports whether nothing but the scopes of a personal access token keeps
// its owner from a call about something that the token lets them see.
func (w *Who) ownerMay(e *Endpoint, param func(string) string) bool {
	if !w.sees(e, param) {
		return false
	}
	owner := *w
	owner.personal = nil
	return owner.Admin() || slices.ContainsFunc(e.Need.any, func(p Pair) bool { return owner.mayPair(&p, param) })
}

// sees reports whether the caller may read what a request is about. Coarse rights,
// whose refusal tells nothing, are seen by everybody.
func (w *Who) sees(e *Endpoint, param func(string) string) bool {
	about := e.Sees
	if about == nil {
		about = &e.Need.any[0]
	}
	if w.access.types.byKey[about.Type].Missing == nil {
		return true
	}
	reader := *w
	reader.reading = true
	return reader.mayPair(about, param)
}

// mayPair reports whether the caller may reach the resource that a request is
// about.
func (w *Who) mayPair(p *Pair, param func(string) string) bool {
	if p.Some {
		return w.MaySome(p.Type)
	}
	id := p.ID
	if name, ok := p.parameter(); ok {
		id = param(name)
	}
	if p.Via != nil {
		var found bool
		if id, found = p.Via(w.snapshot, id); !found {
			return false
		}
	}
	canonical, err := w.access.types.byKey[p.Type].Check(id)
	return err == nil && w.May(p.Type, canonical)
}

// refuse says no as it has to be said of the resource.
func (w *Who) refuse(e *Endpoint, param func(string) string) error {
	if e.Sees != nil && !w.mayPair(e.Sees, param) {
		return w.missing(e.Sees, param)
	}
	first := &e.Need.any[0]
	if t := w.access.types.byKey[first.Type]; t.Missing == nil {
		return t.Denied(first.ID)
	}
	return w.missing(first, param)
}

func (w *Who) missing(p *Pair, param func(string) string) error {
	id := p.ID
	if name, ok := p.parameter(); ok {
		id = param(name)
	}
	t := w.access.types.byKey[p.Type]
	if canonical, err := t.Check(id); err == nil {
		id = canonical
	}
	return t.Missing(id)
}

// Explain returns nil for a caller who may learn what a filter hid, and why.
func (w *Who) Explain() error {
	if w.May(TypeExplain, ExplainFilter) {
		return nil
	}
	return fault.New(fault.Denied, codeExplainDenied, "an explained answer needs a grant on %s %s", TypeExplain, ExplainFilter)
}

// WriteRules returns nil for a caller who may write Graph Access Rules.
func (w *Who) WriteRules() error {
	if w.May(TypeGraphRules, RulesWrite) {
		return nil
	}
	return w.access.types.byKey[TypeGraphRules].Denied(RulesWrite)
}

// Denied is the refusal of a coarse right of a type.
func (t *Type) Denied(id string) error {
	if id == "" || id[0] == '{' {
		return fault.New(fault.Denied, t.Code, "%s needs a grant of type %s", t.What, t.Key)
	}
	return fault.New(fault.Denied, t.Code, "%s needs a grant on %s %s", t.What, t.Key, id)
}

// Refused is the refusal of what is the administrators'.
func Refused() error {
	return fault.New(fault.Denied, codeDenied, "this is for administrators: members of the group Admin")
}

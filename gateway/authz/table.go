package authz

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/muster-fleet/muster/registry"
)

// kind is how an endpoint decides.
type kind uint8

const (
	needNothing kind = iota // the zero Need is no need at all, and refused by NewTable
	needPublic
	needAnybody
	needAdmin
	needGrant
)

// Need is what an endpoint demands of a caller.
type Need struct {
	kind kind
	any  []Pair
	// creator lets in whoever asks for what they have made themselves.
	creator bool
}

// The needs without a resource.
var (
	// Public asks for nothing, not even for a token.
	Public = Need{kind: needPublic}
	// Anybody asks for a valid token of a user who is not deactivated.
	Anybody = Need{kind: needAnybody}
	// Admin asks for a member of the group Admin.
	Admin = Need{kind: needAdmin}
)

// Granted asks for a grant on one of these resources; members of Admin need none.
func Granted(first Pair, more ...Pair) Need {
	return Need{kind: needGrant, any: append([]Pair{first}, more...)}
}

// IsPublic reports whether not even a token is asked for.
func (n Need) IsPublic() bool { return n.kind == needPublic }

// OrCreator lets in, beside those with a grant, everybody for what they created
// themselves. The call is told so, by Pass.CreatorOnly, and has to look.
func (n Need) OrCreator() Need {
	n.creator = true
	return n
}

// Pair is a resource that a request is about.
type Pair struct {
	Type string
	// ID is the resource's id; {name} in it stands for a parameter of the request:
	// a path's, or a field of a message.
	ID string
	// Via finds the resource by what ID has become; false when there is none. Says
	// tells it in words. Both or neither.
	Via  func(s *registry.Snapshot, id string) (string, bool)
	Says string
	// Some asks for a grant on any resource of the type: which one the request is
	// about is known only while it is carried out, where it is asked again. ID is
	// empty then.
	Some bool
}

// Audience is which tokens an endpoint takes, where auth.managementAudience is set.
type Audience uint8

const (
	// ForManagement takes tokens for the management audience alone.
	ForManagement Audience = iota
	// ForService takes every valid token: also one that was forwarded to a worker.
	ForService
	// ForServiceAccounts is ForManagement, but takes every valid token of a service
	// account that has an explicit grant: of a rule transformation's worker.
	ForServiceAccounts
)

// Endpoint is one thing that can be called.
type Endpoint struct {
	// Key is "METHOD /pattern" with a pattern of net/http's ServeMux, "/pattern" for
	// all methods, or "/package.Service/Method" for gRPC.
	Key  string
	Need Need
	// Sees is what a caller has to be allowed for a refusal to be told as one: all
	// others get the answer that the resource is not there.
	Sees *Pair
	// Audience is which tokens are taken.
	Audience Audience
	// Login refuses personal access tokens: the caller's token would leave Muster, or
	// make another one.
	Login bool
	// Reads marks a call that changes nothing; those by GET are such without it.
	Reads bool
	// Ops marks what the operations listener answers.
	Ops bool
	// Action is what the audit log calls the change that the call makes, also when it
	// is refused; About is what the change is of, with parameters in braces. Calls
	// that change nothing have neither.
	Action, About string
	// Note is for the reference.
	Note string
}

// Changes reports whether a call changes something.
func (e *Endpoint) Changes() bool { return e.Need.kind != needPublic && !e.reads() }

// Resource is what a request would change, as the audit log has it.
func (e *Endpoint) Resource(param func(name string) string) string {
	noun, name, ok := strings.Cut(e.About, "{")
	if !ok {
		return noun
	}
	return noun + param(strings.TrimSuffix(name, "}"))
}

// reads reports whether the endpoint changes nothing.
func (e *Endpoint) reads() bool {
	method, _, _ := strings.Cut(e.Key, " ")
	return e.Reads || method == http.MethodGet
}

// Table is what every endpoint needs. It is immutable.
type Table struct {
	list  []*Endpoint
	byKey map[string]*Endpoint
}

// NewTable returns the table of a list, such as Endpoints's, over types. All
// mistakes are told at once.
func NewTable(types *Types, list ...Endpoint) (*Table, error) {
	t := &Table{byKey: make(map[string]*Endpoint, len(list))}
	var wrong []error
	for i := range list {
		e := &list[i]
		if t.byKey[e.Key] != nil {
			wrong = append(wrong, fmt.Errorf("%s stands there twice", e.Key))
		}
		if err := e.check(types); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", e.Key, err))
		}
		t.list = append(t.list, e)
		t.byKey[e.Key] = e
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("authz: the table of endpoints: %w", errors.Join(wrong...))
	}
	return t, nil
}

func (e *Endpoint) check(types *Types) error {
	_, path, ok := strings.Cut(e.Key, " ")
	if !ok {
		path = e.Key
	}
	if !strings.HasPrefix(path, "/") {
		return errors.New("is neither \"METHOD /pattern\" nor \"/package.Service/Method\"")
	}
	if e.Need.kind == needNothing {
		return errors.New("says nothing of what it needs")
	}
	if e.Changes() != (e.Action != "") || (e.Action == "") != (e.About == "") {
		return errors.New("needs an action and what it is about if it changes something, and neither if not")
	}
	pairs := slices.Clone(e.Need.any)
	if e.Sees != nil {
		if t := types.Type(e.Sees.Type); t == nil || t.Missing == nil {
			return fmt.Errorf("%s is no type whose resources can be missing", e.Sees.Type)
		}
		pairs = append(pairs, *e.Sees)
	}
	for _, p := range pairs {
		if err := p.check(types, path); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pair) check(types *Types, path string) error {
	t := types.Type(p.Type)
	switch {
	case t == nil:
		return fmt.Errorf("there is no resource type %q", p.Type)
	case (p.ID == "") != p.Some:
		return fmt.Errorf("a resource of %s needs either an id or Some", p.Type)
	case (p.Via == nil) != (p.Says == ""):
		return fmt.Errorf("a resource of %s needs Via and Says, or neither", p.Type)
	}
	if name, ok := p.parameter(); ok && strings.Contains(path, "{") && !strings.Contains(path, "{"+name+"}") {
		return fmt.Errorf("its path has no {%s}", name)
	}
	if _, templated := p.parameter(); !templated && !p.Some && p.Via == nil {
		if id, err := t.Check(p.ID); err != nil || id != p.ID {
			return fmt.Errorf("%q is no resource of %s", p.ID, p.Type)
		}
	}
	return nil
}

// parameter returns the name of the parameter that ID stands for.
func (p *Pair) parameter() (string, bool) {
	name, ok := strings.CutPrefix(p.ID, "{")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, "}")
}

// Endpoint returns the entry of a key, or nil.
func (t *Table) Endpoint(key string) *Endpoint { return t.byKey[key] }

// All returns the entries in the order of the list. The slice must not be changed.
func (t *Table) All() []*Endpoint { return t.list }

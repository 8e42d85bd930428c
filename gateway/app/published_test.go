package app_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// published is the page of what every endpoint needs, as people read it. What is
// expected of the gateway is worked out from its words, by nothing that the gateway
// itself decides with.
type published struct {
	endpoints []endpoint
	types     map[string]resourceType
}

type endpoint struct {
	key, needs, tokens, notes string
	changes                   bool
}

type resourceType struct {
	wildcard bool
	refusal  string // "404 not_found" or "403 code"
}

func readPublished(t *testing.T) published {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash("../../docs/reference/access-endpoints.md"))
	if err != nil {
		t.Fatal(err)
	}
	p := published{types: map[string]resourceType{}}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch first := strings.Trim(cells[0], "`"); {
		case len(cells) != 5 || first == cells[0]:
		case strings.Contains(first, "/"):
			p.endpoints = append(p.endpoints, endpoint{first, cells[1], cells[2], cells[4], strings.HasPrefix(cells[3], "yes")})
		default:
			p.types[first] = resourceType{cells[3] == "yes", cells[4]}
		}
	}
	if len(p.endpoints) < 70 || len(p.types) != 8 {
		t.Fatalf("the page has %d endpoints and %d types", len(p.endpoints), len(p.types))
	}
	return p
}

// walker is somebody who calls everything.
type walker struct {
	name  string
	token string
	// broken is what the token itself is refused with; empty for a good one.
	broken string
	admin  bool
	grants []string // type:id
	// scopes are a personal access token's, nil for one of a login.
	scopes []string
	// plain is a token without the management audience, service one of a client's
	// own account.
	plain, service bool
}

const letIn = "let in"

// The sentences of the page.
var (
	onePair  = regexp.MustCompile("^a grant on `(\\S+)` `(\\S+)`(, or to be the creator)?$")
	anyPair  = regexp.MustCompile("^any grant of type `(\\S+)`$")
	typeOfIt = regexp.MustCompile("^a grant on `worker_type` of the type of worker \\{uuid\\}$")
	seesIt   = regexp.MustCompile(`404 for who may not see (\S+) (\S+)`)
)

// expects is what an endpoint answers to somebody, with these parameters: "let in",
// or the status and code of the refusal.
func (p *published) expects(t *testing.T, e *endpoint, w *walker, params map[string]string) string {
	t.Helper()
	personal := w.scopes != nil
	switch {
	case e.needs == "nothing":
		return letIn
	case w.broken != "":
		return w.broken
	case personal && strings.HasSuffix(e.tokens, "of a login"):
		return "403 login_token_required"
	case w.plain && strings.HasPrefix(e.tokens, "management"):
		return p.ofPlain(t, e, w, params)
	}
	return p.byNeed(t, e, w, params)
}

// ofPlain is about a token that is for the service alone.
func (p *published) ofPlain(t *testing.T, e *endpoint, w *walker, params map[string]string) string {
	t.Helper()
	const wrongAudience = "401 invalid_token"
	if e.tokens != "management, or a service account's" {
		return wrongAudience
	}
	granted := *w
	granted.admin = false
	own := strings.HasSuffix(e.needs, ", or to be the creator")
	plainly := *e
	plainly.needs = strings.TrimSuffix(e.needs, ", or to be the creator")
	by := p.byNeed(t, &plainly, &granted, params)
	switch {
	case by == letIn && w.service:
		return letIn
	case by != letIn && !own && !w.admin:
		return by
	default:
		return wrongAudience
	}
}

func (p *published) byNeed(t *testing.T, e *endpoint, w *walker, params map[string]string) string {
	t.Helper()
	const outOfScope = "403 insufficient_scope"
	wide := w.wide(e.changes)
	switch e.needs {
	case "a valid token":
		if e.changes && !wide {
			return outOfScope
		}
		return letIn
	case "membership in Admin":
		switch {
		case !w.admin:
			return "403 denied"
		case !wide:
			return outOfScope
		}
		return letIn
	}
	if w.admin && wide {
		return letIn
	}
	typ, id, creator := p.about(t, e, params)
	owner := *w
	owner.scopes = nil
	switch {
	case p.may(w, typ, id, e.changes):
		return letIn
	case creator:
		if !w.scoped(p, typ, id, e.changes) {
			return outOfScope
		}
		return letIn
	}
	refusal := p.types[typ].refusal
	sees := strings.HasPrefix(refusal, "403") || p.may(w, typ, id, false)
	if m := seesIt.FindStringSubmatch(e.notes); m != nil {
		if sees = p.may(w, m[1], params[m[2]], false); !sees {
			return p.types[m[1]].refusal
		}
	}
	if w.scopes != nil && sees && p.may(&owner, typ, id, e.changes) {
		return outOfScope
	}
	return refusal
}

// about reads which resource a need is about.
func (p *published) about(t *testing.T, e *endpoint, params map[string]string) (typ, id string, creator bool) {
	t.Helper()
	if m := onePair.FindStringSubmatch(e.needs); m != nil {
		if strings.HasPrefix(m[2], "{") {
			m[2] = params[m[2]]
		}
		return m[1], m[2], m[3] != ""
	}
	if m := anyPair.FindStringSubmatch(e.needs); m != nil {
		return m[1], "", false // any of them
	}
	if typeOfIt.MatchString(e.needs) {
		return "worker_type", "ExternalGraphSecurity", false
	}
	t.Fatalf("%s needs %q, which the test cannot read", e.key, e.needs)
	return "", "", false
}

// wide reports whether scopes reach what is no single resource.
func (w *walker) wide(changes bool) bool {
	return w.scopes == nil || slices.Contains(w.scopes, "admin") || !changes && slices.Contains(w.scopes, "read")
}

// scoped reports whether scopes reach a resource.
func (w *walker) scoped(p *published, typ, id string, changes bool) bool {
	return w.wide(changes) || covers(p, w.scopes, typ, id)
}

// may reports whether somebody may reach a resource; without an id, any of a type.
func (p *published) may(w *walker, typ, id string, changes bool) bool {
	if id != "" {
		return w.scoped(p, typ, id, changes) && (w.admin || covers(p, w.grants, typ, id))
	}
	for _, g := range slices.Concat(w.grants, w.scopes) {
		of, one, typed := strings.Cut(g, ":")
		if typed && of == typ && p.may(w, typ, one, changes) {
			return true
		}
	}
	return w.admin && w.wide(changes)
}

// covers reports whether a list of type:id has a resource, or all of its type.
func covers(p *published, list []string, typ, id string) bool {
	return slices.Contains(list, typ+":"+id) || p.types[typ].wildcard && slices.Contains(list, typ+":*") ||
		typ == "graph_rules" && id == "read" && slices.Contains(list, "graph_rules:write")
}

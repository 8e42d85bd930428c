package admin

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// maxScopes bounds the scopes of one token.
const maxScopes = 100

// The codes of mistakes that this package finds.
const (
	codeNotFound     = "not_found"
	codeUserNotFound = "user_not_found"
	codeBlank        = "blank"
	codeBadExpiry    = "bad_expires_at"
	codeBadDays      = "bad_expires_in_days"
	codeBadScope     = "bad_scope"
	codeNotYetKnown  = "user_not_known"
)

// body reads the body of a call into members of an object.
func (a *api) body(w http.ResponseWriter, r *http.Request, read func([]byte) error, mediaTypes ...string) error {
	raw, err := a.rest.ReadBody(w, r, rest.MaxBody, mediaTypes...)
	if err != nil {
		return err
	}
	return read(raw)
}

// refused is the one error for all mistakes of a body; nil when there are none.
func refused(r *rest.Reader) error {
	if len(r.Violations) == 0 {
		return nil
	}
	e := fault.New(fault.Invalid, r.Violations[0].Code, "%s", r.Violations[0].Detail)
	e.Violations = r.Violations
	return e
}

// need notes a member that is missing or blank. One of the wrong type, which is
// noted already, is not missing as well.
func need(r *rest.Reader, name string, value *string) string {
	switch at := "/" + name; {
	case value == nil && slices.ContainsFunc(r.Violations, func(v fault.Violation) bool { return v.Pointer == at }):
	case value == nil:
		r.Add(rest.CodeBadRequest, at, "%s is missing", name)
	case strings.TrimSpace(*value) == "":
		r.Add(codeBlank, at, "%s is blank", name)
	default:
		return *value
	}
	return ""
}

// orNull is a member that may also be null, which is as if it were not there.
func orNull(f rest.Field) rest.Field {
	set := f.Set
	f.Want += ", or null"
	f.Set = func(raw []byte) bool { return string(raw) == "null" || set(raw) }
	return f
}

// readGroup reads the body of POST /api/admin/groups.
func readGroup(body []byte) (access.Group, error) {
	var r rest.Reader
	var name, description *string
	err := r.Read(body, rest.Fields{
		"name":        rest.OptionalText(rest.CodeBadRequest, &name),
		"description": orNull(rest.OptionalText(rest.CodeBadRequest, &description)),
	})
	if err != nil {
		return access.Group{}, err
	}
	g := access.Group{Name: need(&r, "name", name)}
	if description != nil {
		g.Description = *description
	}
	return g, refused(&r)
}

// readGroupPatch reads the body of PATCH /api/admin/groups/{id}.
func readGroupPatch(body []byte) (registry.GroupPatch, error) {
	var r rest.Reader
	var p registry.GroupPatch
	err := r.Read(body, rest.Fields{
		"name":        rest.OptionalText(rest.CodeBadRequest, &p.Name),
		"description": rest.OptionalText(rest.CodeBadRequest, &p.Description),
	})
	if err != nil {
		return p, err
	}
	if p.Name != nil {
		need(&r, "name", p.Name)
	}
	return p, refused(&r)
}

// readOne reads a body that is one text under a name.
func readOne(body []byte, name string) (string, error) {
	var r rest.Reader
	var value *string
	if err := r.Read(body, rest.Fields{name: rest.OptionalText(rest.CodeBadRequest, &value)}); err != nil {
		return "", err
	}
	text := need(&r, name, value)
	return text, refused(&r)
}

// grantInput is the body of POST /api/admin/grants as it was read.
type grantInput struct {
	group, typ, resource string
	expires              *time.Time
}

func readGrant(body []byte) (grantInput, error) {
	var r rest.Reader
	var in grantInput
	var group, typ, resource *string
	err := r.Read(body, rest.Fields{
		"group_id":      rest.OptionalText(rest.CodeBadRequest, &group),
		"resource_type": rest.OptionalText(rest.CodeBadRequest, &typ),
		"resource_id":   rest.OptionalText(rest.CodeBadRequest, &resource),
		"expires_at":    orNull(rest.Moment(rest.CodeBadRequest, &in.expires)),
	})
	if err != nil {
		return in, err
	}
	in.group, in.typ = need(&r, "group_id", group), need(&r, "resource_type", typ)
	in.resource = need(&r, "resource_id", resource)
	return in, refused(&r)
}

// tokenInput is the body of POST /api/tokens as it was read.
type tokenInput struct {
	name   string
	days   *int
	never  bool // expires_in_days is null
	scopes []string
}

func readToken(body []byte) (tokenInput, error) {
	var r rest.Reader
	in := tokenInput{scopes: []string{authz.ScopeRead}}
	var name *string
	days := rest.Whole(codeBadDays, &in.days)
	err := r.Read(body, rest.Fields{
		"name": rest.OptionalText(rest.CodeBadRequest, &name),
		"expires_in_days": {Code: days.Code, Want: days.Want + ", or null", Set: func(raw []byte) bool {
			in.never = string(raw) == "null"
			return in.never || days.Set(raw)
		}},
		"scopes": texts(&in.scopes),
	})
	if err != nil {
		return in, err
	}
	in.name = need(&r, "name", name)
	if in.days != nil && (*in.days < 1 || *in.days > maxDays) {
		r.Add(codeBadDays, "/expires_in_days", "expires_in_days is from 1 to %d", maxDays)
	}
	if len(in.scopes) == 0 || len(in.scopes) > maxScopes {
		r.Add(codeBadScope, "/scopes", "scopes are 1 to %d; leave them out for [%q]", maxScopes, authz.ScopeRead)
	}
	return in, refused(&r)
}

// texts is a member that is a list of strings.
func texts(to *[]string) rest.Field {
	return rest.Field{Code: rest.CodeBadRequest, Want: "a list of strings", Set: func(raw []byte) bool {
		// A null would pass for the zero value.
		var list []*string
		if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &list) != nil || slices.Contains(list, nil) {
			return false
		}
		*to = make([]string, 0, len(list))
		for _, one := range list {
			*to = append(*to, *one)
		}
		return true
	}}
}

// dryRun reads the parameter dryRun, and what If-Match asks for.
func dryRun(q *rest.Parameters, r *http.Request) registry.Change {
	flag := q.Flag("dryRun")
	return registry.Change{DryRun: flag != nil && *flag, IfMatch: rest.IfMatch(r)}
}

// onlyDryRun reads the query of a mutation that has no other parameter.
func onlyDryRun(r *http.Request) (registry.Change, error) {
	q := rest.ReadQuery(r, "dryRun")
	return dryRun(q, r), q.Err()
}

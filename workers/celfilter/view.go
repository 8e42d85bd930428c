package celfilter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"

	"github.com/muster-fleet/muster/workers/worker"
)

func kindOf(e worker.Element) string {
	if e.Kind() == worker.Nodes {
		return kindNode
	}
	return kindRelationship
}

// view makes an element what expressions see of it.
func view(e worker.Element) *Element {
	v := &Element{
		ID: e.ID(), Labels: e.Labels(), Type: e.Type(), StartID: e.StartID(), EndID: e.EndID(),
		StartLabel: e.StartLabel(), EndLabel: e.EndLabel(), Properties: map[string]any{},
	}
	if v.Labels == nil {
		v.Labels = []string{}
	}
	for name, value := range e.Properties() {
		v.Properties[name] = fromJSON(value.Any())
	}
	return v
}

// newSubject makes a principal what expressions see of it.
func newSubject(p *worker.Principal) (subject, error) {
	s := subject{
		principal: &Principal{
			Username: p.Username, Subject: p.Subject, Email: p.Email, EmailVerified: p.EmailVerified,
			Groups: orEmpty(p.Groups), Roles: orEmpty(p.RealmRoles), Client: p.Client, Issuer: p.Issuer,
		},
		claims: map[string]any{},
	}
	if len(p.Claims) == 0 {
		return s, nil
	}
	d := json.NewDecoder(bytes.NewReader(p.Claims))
	d.UseNumber()
	var claims map[string]any
	if err := d.Decode(&claims); err != nil {
		return s, fmt.Errorf("celfilter: read the token's claims: %w", err)
	}
	for name, value := range claims {
		s.claims[name] = fromJSON(value)
	}
	return s, nil
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// errRange makes an expression that reads such a number fail.
var errRange = errors.New("the number is out of range")

// fromJSON turns decoded JSON into what cel takes: integers of 64 bits stay
// integers, other numbers become doubles, and those that fit into neither an
// error that an expression meets only when it reads them.
func fromJSON(v any) any {
	switch v := v.(type) {
	case json.Number:
		return number(string(v))
	case []any:
		for i := range v {
			v[i] = fromJSON(v[i])
		}
		return v
	case map[string]any:
		for k := range v {
			v[k] = fromJSON(v[k])
		}
		return v
	default:
		return v
	}
}

func number(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n
	}
	if !strings.ContainsAny(text, ".eE") {
		return types.WrapErr(errRange) // a double would lose digits of an integer
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return types.WrapErr(errRange)
	}
	return f
}

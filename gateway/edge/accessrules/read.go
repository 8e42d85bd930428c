package accessrules

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
)

// The codes of mistakes in bodies.
const (
	codeBadRules = "bad_rules"
	codeBadModel = "bad_model"
)

const (
	wantArray  = "an array"
	wantObject = "an object"
	wantID     = "a whole number from 0 to 9007199254740991, written without fraction and exponent"
)

// post is the body of POST accessRules.
type post struct {
	strategy   string
	generation string
	rules      []rule.Rule
}

// readPost reads the body of POST accessRules. The error is a *fault.Error when
// the body is no JSON object; other mistakes are returned for the registry to
// report together with its own.
func readPost(body []byte) (post, []fault.Violation, error) {
	var r rest.Reader
	var p post
	err := r.Read(body, rest.Fields{
		"ruleCreationStrategy": rest.Text(codeBadRules, func(s string) { p.strategy = s }),
		"generation": rest.Text(codeBadRules, func(s string) {
			if p.generation = s; s == "" { // it would not be staged, and each chunk take the place of the one before
				r.Add(codeBadRules, "/generation", "generation is empty; name one, or leave it out to have the rules take effect at once")
			}
		}),
		"rules": present(list(codeBadRules, func(at int, raw []byte) {
			p.rules = append(p.rules, readRule(&r, "/rules/"+strconv.Itoa(at), raw))
		})),
	})
	// With DeleteAllForUser none would mean that all are to go: that has to be said.
	if err == nil && !has(body, "rules") {
		r.Add(codeBadRules, "/rules", "rules is missing; send [] to post none")
	}
	return p, r.Violations, err
}

// readRule reads one rule of a list; what is wrong with it is noted in r.
func readRule(r *rest.Reader, at string, raw []byte) rule.Rule {
	out := rule.Rule{Active: true}
	members, err := element.ReadObject(raw, len(raw))
	if err != nil {
		r.Add(codeBadRules, at, "%s has to be %s", dotted(at), wantObject)
		return out
	}
	r.Members(at, members, ruleFields(r, at, &out))
	return out
}

// readOneRule reads the body of PUT accessRules/{id}: a rule as GET shows it.
// What only the gateway sets is taken and left aside, so that what was read can
// be sent back changed.
func readOneRule(body []byte) (rule.Rule, []fault.Violation, error) {
	var r rest.Reader
	out := rule.Rule{Active: true}
	known := ruleFields(&r, "", &out)
	for _, name := range []string{"id", "state", "orphans", "warnings", "createdBy", "run", "createdAt", "updatedAt", "revision"} {
		known[name] = rest.Field{Code: codeBadRules, Set: func([]byte) bool { return true }}
	}
	err := r.Read(body, known)
	return out, r.Violations, err
}

func ruleFields(r *rest.Reader, at string, to *rule.Rule) rest.Fields {
	return rest.Fields{
		"name":        rest.Text(codeBadRules, func(s string) { to.Name = s }),
		"accessLevel": accessLevel(),
		"active": {Code: codeBadRules, Want: "true or false", Set: func(raw []byte) bool {
			to.Active = string(raw) == "true"
			return to.Active || string(raw) == "false"
		}},
		"users":                   texts(r, codeBadRules, at+"/users", &to.Users),
		"groups":                  texts(r, codeBadRules, at+"/groups", &to.Groups),
		"clients":                 texts(r, codeBadRules, at+"/clients", &to.Clients),
		"entities":                entityGrants(r, at+"/entities", &to.Entities),
		"relationships":           ids(r, codeBadRules, at+"/relationships", &to.Relationships),
		"propertyValueConditions": conditions(r, at+"/propertyValueConditions", &to.Conditions),
		"functions":               ids(r, codeBadRules, at+"/functions", &to.Functions),
	}
}

// accessLevel takes the one level that there is.
func accessLevel() rest.Field {
	return rest.Field{Code: codeBadRules, Want: `"view", the only access level there is`, Set: func(raw []byte) bool {
		return len(raw) > 0 && raw[0] == '"' && string(element.AppendText(nil, raw)) == "view"
	}}
}

func entityGrants(r *rest.Reader, at string, to *[]rule.EntityGrant) rest.Field {
	return list(codeBadRules, func(i int, raw []byte) {
		var g rule.EntityGrant
		here := at + "/" + strconv.Itoa(i)
		seen := object(r, codeBadRules, here, raw, rest.Fields{
			"id":         id(codeBadRules, &g.ID),
			"properties": ids(r, codeBadRules, here+"/properties", &g.Properties),
		})
		if seen && !has(raw, "id") {
			r.Add(codeBadRules, here+"/id", "%s.id is missing", dotted(here))
		}
		*to = append(*to, g)
	})
}

// conditions are read in both spellings of their members.
func conditions(r *rest.Reader, at string, to *[]rule.Condition) rest.Field {
	return list(codeBadRules, func(i int, raw []byte) {
		var c rule.Condition
		here := at + "/" + strconv.Itoa(i)
		properties, values := 0, 0
		property := rest.Field{Code: codeBadRules, Want: wantID, Set: func(raw []byte) bool {
			properties++
			return readID(raw, &c.Property)
		}}
		value := rest.Field{Code: codeBadRules, Want: "a string; write a number as the text that the graph has, such as \"2500\"",
			Set: func(raw []byte) bool {
				values++
				if len(raw) == 0 || raw[0] != '"' {
					return false
				}
				c.Value = string(element.AppendText(nil, raw))
				return true
			}}
		ok := object(r, codeBadRules, here, raw, rest.Fields{
			"PropertyId": property, "propertyId": property, "Value": value, "value": value,
		})
		if ok && properties != 1 {
			r.Add(codeBadRules, here+"/PropertyId", "%s needs PropertyId, once", dotted(here))
		}
		if ok && values != 1 {
			r.Add(codeBadRules, here+"/Value", "%s needs Value, once", dotted(here))
		}
		*to = append(*to, c)
	})
}

// readModel reads the body of PUT /api/graph-model.
func readModel(body []byte) (*rule.Model, []fault.Violation, error) {
	var r rest.Reader
	m := &rule.Model{}
	err := r.Read(body, rest.Fields{
		"entities":      present(list(codeBadModel, func(i int, raw []byte) { m.Entities = append(m.Entities, readEntity(&r, i, raw)) })),
		"relationships": list(codeBadModel, func(i int, raw []byte) { m.Relationships = append(m.Relationships, readRelationship(&r, i, raw)) }),
		// As GET shows it.
		"revision": {Code: codeBadModel, Set: func([]byte) bool { return true }},
	})
	// A model without entities shows nothing to anybody: that has to be said.
	if err == nil && !has(body, "entities") {
		r.Add(codeBadModel, "/entities", "entities is missing; send [] for a model of nothing")
	}
	return m, r.Violations, err
}

func readEntity(r *rest.Reader, i int, raw []byte) rule.Entity {
	var e rule.Entity
	at := "/entities/" + strconv.Itoa(i)
	ok := object(r, codeBadModel, at, raw, rest.Fields{
		"id":    id(codeBadModel, &e.ID),
		"title": rest.Text(codeBadModel, func(s string) { e.Title = s }),
		"properties": list(codeBadModel, func(j int, raw []byte) {
			var p rule.Property
			here := at + "/properties/" + strconv.Itoa(j)
			ok := object(r, codeBadModel, here, raw, rest.Fields{
				"id":    id(codeBadModel, &p.ID),
				"title": rest.Text(codeBadModel, func(s string) { p.Title = s }),
			})
			need(r, codeBadModel, ok, here, raw, "id", "title")
			e.Properties = append(e.Properties, p)
		}),
	})
	need(r, codeBadModel, ok, at, raw, "id", "title")
	return e
}

func readRelationship(r *rest.Reader, i int, raw []byte) rule.Relationship {
	var rel rule.Relationship
	at := "/relationships/" + strconv.Itoa(i)
	text := func(to *string) rest.Field { return rest.Text(codeBadModel, func(s string) { *to = s }) }
	ok := object(r, codeBadModel, at, raw, rest.Fields{
		"id":             id(codeBadModel, &rel.ID),
		"entityNameFrom": text(&rel.From),
		"entityNameTo":   text(&rel.To),
		"name":           text(&rel.Name),
		"alias":          text(&rel.Alias),
	})
	need(r, codeBadModel, ok, at, raw, "id", "entityNameFrom", "entityNameTo", "name", "alias")
	return rel
}

// need notes members that an object has to have and has not.
func need(r *rest.Reader, code string, read bool, at string, raw []byte, names ...string) {
	if !read {
		return
	}
	for _, name := range names {
		if !has(raw, name) {
			r.Add(code, at+"/"+name, "%s.%s is missing", dotted(at), name)
		}
	}
}

// has reports whether a JSON object that has been read has a member.
func has(raw []byte, name string) bool {
	members, err := element.ReadObject(raw, len(raw))
	if err != nil {
		return false
	}
	for _, m := range members {
		if m.Name == name {
			return true
		}
	}
	return false
}

// object reads one object of a list.
func object(r *rest.Reader, code, at string, raw []byte, known rest.Fields) bool {
	members, err := element.ReadObject(raw, len(raw))
	if err != nil {
		r.Add(code, at, "%s has to be %s", dotted(at), wantObject)
		return false
	}
	r.Members(at, members, known)
	return true
}

// list is a member that is an array, whose items each are given to item.
func list(code string, item func(i int, raw []byte)) rest.Field {
	return rest.Field{Code: code, Want: wantArray, Set: func(raw []byte) bool {
		if string(raw) == "null" { // as serialisers write a list that is not there
			return true
		}
		var items []json.RawMessage
		if len(raw) == 0 || raw[0] != '[' || json.Unmarshal(raw, &items) != nil {
			return false
		}
		for i, one := range items {
			item(i, one)
		}
		return true
	}}
}

// present is a list that may not be null, since leaving it empty takes away what
// there is.
func present(f rest.Field) rest.Field {
	set := f.Set
	f.Set = func(raw []byte) bool { return string(raw) != "null" && set(raw) }
	return f
}

func texts(r *rest.Reader, code, at string, to *[]string) rest.Field {
	return list(code, func(i int, raw []byte) {
		if raw[0] != '"' {
			here := at + "/" + strconv.Itoa(i)
			r.Add(code, here, "%s has to be a string", dotted(here))
			return
		}
		*to = append(*to, string(element.AppendText(nil, raw)))
	})
}

func ids(r *rest.Reader, code, at string, to *[]rule.ID) rest.Field {
	return list(code, func(i int, raw []byte) {
		var one rule.ID
		if !readID(raw, &one) {
			here := at + "/" + strconv.Itoa(i)
			r.Add(code, here, "%s has to be %s", dotted(here), wantID)
			return
		}
		*to = append(*to, one)
	})
}

func id(code string, to *rule.ID) rest.Field {
	return rest.Field{Code: code, Want: wantID, Set: func(raw []byte) bool { return readID(raw, to) }}
}

func readID(raw []byte, to *rule.ID) bool {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	// A number such as 01 or +1 is no JSON and was refused before; -0 is one.
	if err != nil || n < 0 || rule.ID(n) > rule.MaxID || string(raw) == "-0" {
		return false
	}
	*to = rule.ID(n)
	return true
}

// dotted writes a JSON pointer for people.
func dotted(pointer string) string {
	return strings.ReplaceAll(strings.TrimPrefix(pointer, "/"), "/", ".")
}

// refused makes the one error of what is wrong with a body; nil when nothing is.
func refused(all []fault.Violation) error {
	if len(all) == 0 {
		return nil
	}
	e := fault.New(fault.Invalid, all[0].Code, "%s", all[0].Detail)
	e.Violations = all
	return e
}

// principalOf is the principal of :check.
type principalOf struct {
	username, client string
	groups           []string
}

// readCheck reads the body of accessRules:check. What is behind "principal" is a
// filter body, read by the filter's reader from the same bytes.
func readCheck(body []byte) (principalOf, []byte, error) {
	var r rest.Reader
	var who principalOf
	var parameters, data []byte
	err := r.Read(body, rest.Fields{
		"principal": r.Object("/principal", rest.CodeBadRequest, rest.Fields{
			"username": rest.Text(rest.CodeBadRequest, func(s string) { who.username = s }),
			"client":   rest.Text(rest.CodeBadRequest, func(s string) { who.client = s }),
			"groups":   texts(&r, rest.CodeBadRequest, "/principal/groups", &who.groups),
		}),
		"parameters": {Code: rest.CodeBadRequest, Want: wantObject, Set: func(raw []byte) bool { parameters = raw; return raw[0] == '{' }},
		"data":       {Code: rest.CodeBadRequest, Want: "an array or an object", Set: func(raw []byte) bool { data = raw; return raw[0] == '[' || raw[0] == '{' }},
	})
	if err != nil {
		return who, nil, err
	}
	if who.username == "" && who.client == "" && len(who.groups) == 0 && len(r.Violations) == 0 {
		r.Add(rest.CodeBadRequest, "/principal", "principal needs a username, groups or a client: whose view is asked for?")
	}
	if len(r.Violations) > 0 {
		return who, nil, refused(r.Violations)
	}
	if parameters == nil || data == nil {
		return who, nil, fault.New(fault.Invalid, rest.CodeInvalidRequest, "parameters and data are needed, as in a filter request")
	}
	filter := make([]byte, 0, len(parameters)+len(data)+32)
	filter = append(append(filter, `{"parameters":`...), parameters...)
	filter = append(append(filter, `,"data":`...), data...)
	return who, append(filter, '}'), nil
}

package rule

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/muster-fleet/muster/proto/fault"
)

// The bounds of rules and models. They keep one rule or one model from taking
// the memory of a million; each is far above what people or programs write.
const (
	// MaxName is the most bytes of a rule's name: it stands in answers, logs and
	// lists.
	MaxName = 200
	// MaxSubject is the most bytes of a user, group or client: Keycloak keeps
	// names of up to 255 characters, and a group's path has several.
	MaxSubject = 1024
	// MaxSubjects is the most users, groups and clients of one rule together;
	// whoever has more people has a group.
	MaxSubjects = 10_000
	// MaxIDs is the most ids of one rule together, each place counted.
	MaxIDs = 50_000
	// MaxConditions is the most conditions of one rule.
	MaxConditions = 1_000
	// MaxValue is the most bytes of a condition's value.
	MaxValue = 4096
	// MaxRules is the most rules of one request; more go in chunks of a
	// generation.
	MaxRules = 100_000
	// MaxGeneration is the most bytes of a generation's id.
	MaxGeneration = 200
	// MaxTitle is the most bytes of a title, name or alias in the model.
	MaxTitle = 1024
	// MaxModel is the most entities, properties and relationships of a model
	// together.
	MaxModel = 500_000
)

// maxMistakes bounds how many mistakes of one input are told.
const maxMistakes = 1000

// The codes of violations.
const (
	CodeBadRules = "bad_rules"
	CodeBadModel = "bad_model"
)

// mistakes gathers what is wrong with an input.
type mistakes struct {
	code string
	// prefix and of precede every pointer and every detail.
	prefix, of string
	list       []fault.Violation
	more       int
}

func (m *mistakes) add(pointer, format string, args ...any) {
	if len(m.list) >= maxMistakes {
		m.more++
		return
	}
	m.list = append(m.list, fault.Violation{
		Code: m.code, Pointer: m.prefix + pointer, Detail: m.of + fmt.Sprintf(format, args...),
	})
}

// all are the mistakes, with a last one that counts those not told.
func (m *mistakes) all() []fault.Violation {
	if m.more > 0 {
		m.list = append(m.list, fault.Violation{
			Code: m.code, Detail: fmt.Sprintf("and %d more mistakes; mend these first", m.more),
		})
	}
	return m.list
}

// CheckRules finds everything that is wrong with the rules of one request: in
// each rule, by name and field, and names that come twice. Pointers are those of
// the published body: /rules/0/name. Ids that no model knows are no mistake.
func CheckRules(rules []Rule) []fault.Violation {
	m := mistakes{code: CodeBadRules}
	if len(rules) > MaxRules {
		m.add("/rules", "rules: %d in one request; at most %d are taken, send more in chunks of a generation", len(rules), MaxRules)
		return m.all()
	}
	first := make(map[string]int, len(rules))
	for i := range rules {
		r := &rules[i]
		m.prefix, m.of = fmt.Sprintf("/rules/%d", i), fmt.Sprintf("rule %s: ", shown(r.Name))
		r.check(&m)
		if before, twice := first[r.Name]; twice && r.Name != "" {
			m.add("/name", "name: rule %d of this request has it too; a name may come once", before)
		} else {
			first[r.Name] = i
		}
	}
	m.prefix, m.of = "", ""
	return m.all()
}

// Check finds everything that is wrong with one rule. Pointers begin at the rule:
// /name.
func (r *Rule) Check() []fault.Violation {
	m := mistakes{code: CodeBadRules, of: fmt.Sprintf("rule %s: ", shown(r.Name))}
	r.check(&m)
	return m.all()
}

func (r *Rule) check(m *mistakes) {
	switch {
	case r.Name == "":
		m.add("/name", "name: is empty; it is the rule's identity")
	case len(r.Name) > MaxName:
		m.add("/name", "name: has %d bytes; at most %d are taken", len(r.Name), MaxName)
	}
	if !utf8.ValidString(r.Name) || strings.ContainsFunc(r.Name, unicode.IsControl) {
		m.add("/name", "name: holds control characters or is no UTF-8")
	}
	r.checkSubjects(m)
	if len(r.Entities) == 0 && len(r.Relationships) == 0 {
		m.add("", "entities, relationships: there is none; list what the rule shows")
	}
	r.checkIDs(m)
	r.checkConditions(m)
}

func (r *Rule) checkSubjects(m *mistakes) {
	switch n := len(r.Users) + len(r.Groups) + len(r.Clients); {
	case n == 0:
		m.add("", "users, groups, clients: there is none; say whom the rule is for")
	case n > MaxSubjects:
		m.add("", "users, groups, clients: there are %d; at most %d are taken, use a group", n, MaxSubjects)
	}
	for kind, list := range [subjectKinds][]string{r.Users, r.Groups, r.Clients} {
		field := [subjectKinds]string{"users", "groups", "clients"}[kind]
		for i, s := range list {
			switch {
			case subjectKind(kind).key(s) == "":
				m.add(at(field, i), "%s: %s names nobody", field, shown(s))
			case len(s) > MaxSubject:
				m.add(at(field, i), "%s: has %d bytes; at most %d are taken", field, len(s), MaxSubject)
			case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
				m.add(at(field, i), "%s: holds control characters or is no UTF-8", field)
			}
		}
	}
}

func at(field string, i int) string { return fmt.Sprintf("/%s/%d", field, i) }

func (r *Rule) checkIDs(m *mistakes) {
	n := len(r.Entities) + len(r.Relationships) + len(r.Functions)
	for _, e := range r.Entities {
		n += len(e.Properties)
	}
	if n > MaxIDs {
		m.add("", "entities, relationships, functions: there are %d ids; at most %d are taken", n, MaxIDs)
		return
	}
	seen := make(map[ID]bool, len(r.Entities))
	for i, e := range r.Entities {
		checkID(m, at("entities", i)+"/id", "entities", e.ID)
		if seen[e.ID] {
			m.add(at("entities", i)+"/id", "entities: %d comes twice; list its properties in one place", e.ID)
		}
		seen[e.ID] = true
		for j, p := range e.Properties {
			checkID(m, at("entities", i)+at("properties", j), "entities.properties", p)
		}
	}
	for i, id := range r.Relationships {
		checkID(m, at("relationships", i), "relationships", id)
	}
	for i, id := range r.Functions {
		checkID(m, at("functions", i), "functions", id)
	}
}

func checkID(m *mistakes, pointer, field string, id ID) {
	if id < 0 || id > MaxID {
		m.add(pointer, "%s: %d is not between 0 and %d", field, id, MaxID)
	}
}

func (r *Rule) checkConditions(m *mistakes) {
	const field = "propertyValueConditions"
	if n := len(r.Conditions); n > MaxConditions {
		m.add("/"+field, "%s: there are %d; at most %d are taken", field, n, MaxConditions)
		return
	}
	for i, c := range r.Conditions {
		checkID(m, at(field, i)+"/PropertyId", field, c.Property)
		if len(c.Value) > MaxValue {
			m.add(at(field, i)+"/Value", "%s: a value has %d bytes; at most %d are taken", field, len(c.Value), MaxValue)
		}
		if !utf8.ValidString(c.Value) {
			m.add(at(field, i)+"/Value", "%s: a value is no UTF-8", field)
		}
	}
}

// shown quotes a name for an error, cut to a length that a person reads.
func shown(s string) string {
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}

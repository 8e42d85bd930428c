package rule

import (
	"fmt"
	"strings"

	"github.com/muster-fleet/muster/proto/fault"
)

// CodeNeverMatches is the code of a subject that no token can be.
const CodeNeverMatches = "never_matches"

// Warnings tells what the rules of one request say that is no mistake and has no
// effect: clients with capital letters. Keycloak writes the user name of a service
// account in lower case, so that a client is its own only when its id is in lower
// case, and no rule can name another one. Pointers are those of the published
// body. At most 1,000 are told.
func Warnings(rules []Rule) []fault.Violation {
	m := mistakes{code: CodeNeverMatches}
	for i := range rules {
		r := &rules[i]
		m.prefix, m.of = fmt.Sprintf("/rules/%d", i), fmt.Sprintf("rule %s: ", shown(r.Name))
		r.warn(&m)
	}
	m.prefix, m.of = "", ""
	return m.all()
}

// Warnings is Warnings for one rule; pointers begin at the rule.
func (r *Rule) Warnings() []fault.Violation {
	m := mistakes{code: CodeNeverMatches}
	r.warn(&m)
	return m.all()
}

func (r *Rule) warn(m *mistakes) {
	for i, c := range r.Clients {
		if c != strings.ToLower(c) {
			m.add(fmt.Sprintf("/clients/%d", i), "clients: %s has capital letters and never matches: Keycloak writes the names of "+
				"service accounts in lower case; give the client an id in lower case", shown(c))
		}
	}
}

package rule

import (
	"fmt"
	"strings"
	"testing"
)

func TestClientsThatNeverMatch(t *testing.T) {
	rules := []Rule{
		{Name: "fine", Clients: []string{"loader", "service-account-loader", "straße"}, Users: []string{"Alice"}, Groups: []string{"/A"}},
		{Name: "r", Clients: []string{"loader", "Loader", "service-account-LOADER", "Ärger"}},
	}
	got := Warnings(rules)
	if len(got) != 3 || got[0].Pointer != "/rules/1/clients/1" || got[0].Code != CodeNeverMatches || !strings.Contains(got[0].Detail, `rule "r": clients: "Loader"`) {
		t.Errorf("%+v", got)
	}
	if one := rules[1].Warnings(); len(one) != 3 || one[2].Pointer != "/clients/3" || Warnings(rules[:1]) != nil {
		t.Errorf("%+v", one)
	}
	if Check := CheckRules(rules[1:]); len(Check) != 1 { // it shows nothing; that is all
		t.Errorf("%+v", Check)
	}
	many := Rule{Name: "many"}
	for n := range maxMistakes + 5 {
		many.Clients = append(many.Clients, fmt.Sprint("C", n))
	}
	if all := many.Warnings(); len(all) != maxMistakes+1 || !strings.Contains(all[maxMistakes].Detail, "5 more") {
		t.Errorf("%d", len(all))
	}
}

// What is warned of is what SubjectsOf does with the tokens of Keycloak.
func TestWarningsAreTrue(t *testing.T) {
	for _, id := range []string{"loader", "Loader", "my-App2", "ÄB"} {
		r := Rule{Clients: []string{id}}
		sub := SubjectsOf("service-account-"+strings.ToLower(id), id, nil)
		if matches := sub.Client == id; matches == (len(r.Warnings()) > 0) {
			t.Errorf("%s: matches %v, warned %v", id, matches, r.Warnings())
		}
	}
}

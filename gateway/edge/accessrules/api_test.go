package accessrules_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

func names(list any) []string {
	out := []string{}
	items, _ := list.([]any)
	for _, x := range items {
		switch x := x.(type) {
		case string:
			out = append(out, x)
		case map[string]any:
			out = append(out, x["name"].(string))
		}
	}
	return out
}

// The documented body is taken as it stands and given back in its spelling.
func TestPublishedBody(t *testing.T) {
	g := newGateway(t)
	posted := g.ok("loader", "POST", rulesPath, contract(t, "access-rules-request.json"))
	if got := fmt.Sprint(names(posted["created"]), posted["ignored"], posted["deleted"]); got != "[rule-transform-mock-rule1] [] []" {
		t.Fatalf("posted %v", posted)
	}
	page := g.as("loader", "GET", rulesPath, "")
	for _, want := range []string{
		`"propertyValueConditions":[{"PropertyId":5303,"Value":"2500"},{"PropertyId":5296,"Value":"Test"}]`,
		`"clients":["service-account-user"]`, `"functions":[12]`, `"active":false`, `"accessLevel":"view"`, `"state":"inactive"`,
		`"createdBy":{"issuer":"https://issuer","subject":"sub-loader","username":"loader"}`, `"nextCursor":""`,
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("%s is not in %s", want, page.body)
		}
	}
	// The other spelling is read, and the published one given back.
	g.ok("loader", "POST", rulesPath, `{"rules":[{"name":"b","users":["alice"],"entities":[{"id":1,"properties":[2]}],
		"propertyValueConditions":[{"propertyId":2,"value":"x"}],"groups":null}]}`)
	if got := g.as("loader", "GET", rulesPath+"?namePrefix=b", ""); !strings.Contains(got.body, `[{"PropertyId":2,"Value":"x"}]`) ||
		!strings.Contains(got.body, `"active":true`) || !strings.Contains(got.body, `"groups":[]`) {
		t.Errorf("%s", got.body)
	}
}

// All mistakes of a post come at once, by rule and field, and nothing is stored.
func TestMistakes(t *testing.T) {
	g := newGateway(t)
	r := g.as("loader", "POST", rulesPath, `{"ruleCreationStrategy": "Merge", "rules": [
		{"name": "", "users": ["alice"], "entities": [{"id": 1, "properties": []}]},
		{"name": "nobody", "entities": [{"id": 1, "properties": []}]},
		{"name": "nothing", "users": ["alice"]},
		{"name": "edit", "accessLevel": "edit", "users": ["alice"], "relationships": [1]},
		{"name": "twice", "users": ["alice"], "relationships": [1]},
		{"name": "twice", "users": ["alice"], "relationships": [1]},
		{"name": "types", "users": "alice", "groups": [1], "entities": [{"properties": [1.5]}], "relationships": [-1], "active": "yes"},
		{"name": "typo", "users": ["alice"], "relationships": [1], "propertyValueCondition": [{"PropertyId": 1, "Value": "x"}]},
		{"name": "halves", "users": ["alice"], "entities": [{"id": 1, "properties": []}],
		 "propertyValueConditions": [{"PropertyId": 1}, {"Value": "x"}, {"PropertyId": 1, "propertyId": 2, "Value": "y"}, {"PropertyId": 1, "Value": 2500}]},
		7]}`)
	g.refused(r, http.StatusBadRequest, "bad_rules",
		"/ruleCreationStrategy", "/rules/0/name", `"pointer":"/rules/1"`, "users, groups, clients", `"pointer":"/rules/2"`,
		"/rules/3/accessLevel", "/rules/5/name", "/rules/6/users", "/rules/6/groups/0", "/rules/6/entities/0/id",
		"/rules/6/entities/0/properties/0", "/rules/6/relationships/0", "/rules/6/active", "/rules/7/propertyValueCondition",
		"/rules/8/propertyValueConditions/0/Value", "/rules/8/propertyValueConditions/1/PropertyId",
		"/rules/8/propertyValueConditions/2/PropertyId", "/rules/8/propertyValueConditions/3/Value", "/rules/9")
	if n := g.svc.Snapshot().Rules.Len(); n != 0 {
		t.Errorf("%d rules were stored", n)
	}
	for _, c := range []struct {
		body string
		code string
	}{
		{`[]`, "invalid_request"},
		{`{"rules":[],"rules":[]}`, "invalid_request"},
		{`{"rules":[{"name":"a","name":"b"}]}`, "invalid_request"},
		{`{"rulez":[]}`, "bad_request"},
		{`{"rules":{}}`, "bad_rules"},
		{`{"generation":"g","rules":[` + see("a", "alice") + `]}`, "bad_rules"}, // only with DeleteAllForUser
	} {
		g.refused(g.as("loader", "POST", rulesPath, c.body), http.StatusBadRequest, c.code)
	}
	g.refused(g.as("loader", "POST", rulesPath, `{"rules":["`+strings.Repeat("x", 1<<20)+`"]}`), http.StatusRequestEntityTooLarge, "too_large")
	g.refused(g.as("loader", "POST", rulesPath+"?verbos=true", `{"rules":[]}`), http.StatusBadRequest, "invalid_request")
}

func TestStrategies(t *testing.T) {
	g := newGateway(t)
	post := func(who, strategy string, rules ...string) string {
		t.Helper()
		out := g.ok(who, "POST", rulesPath, `{"ruleCreationStrategy":"`+strategy+`","rules":[`+strings.Join(rules, ",")+`]}`)
		return fmt.Sprint(names(out["created"]), names(out["ignored"]), names(out["deleted"]))
	}
	for i, c := range []struct{ who, strategy, rules, want string }{
		{"loader", "Ignore", "a b", "[a b] [] []"},
		{"other", "Ignore", "b c", "[c] [b] []"},
		{"loader", "DeleteOnConflict", "a", "[a] [] [a]"},
		{"loader", "DeleteOnConflict", "c d", "[c d] [] [c]"},
		{"loader", "DeleteAllForUser", "a e", "[a e] [] [a b c d]"},
		{"other", "DeleteAllForUser", "f", "[f] [] []"}, // c is the loader's since it replaced it, and gone
		{"other", "DeleteAllForUser", "a g", "[g] [a] [f]"},
	} {
		var rules []string
		for n := range strings.SplitSeq(c.rules, " ") {
			rules = append(rules, see(n, "alice"))
		}
		if got := post(c.who, c.strategy, rules...); got != c.want {
			t.Fatalf("step %d (%s as %s of %s): %s, want %s", i, c.strategy, c.who, c.rules, got, c.want)
		}
	}
	verbose := g.as("loader", "POST", rulesPath+"?verbose=true", `{"rules":[`+see("g", "alice")+`]}`)
	if !strings.Contains(verbose.body, `"ignored":[{"name":"g","createdBy":{"issuer":"https://issuer","subject":"sub-other","username":"other"}}]`) {
		t.Errorf("%s", verbose.body)
	}
	if got := g.ok("loader", "DELETE", rulesPath+"?createdBy=me", ""); got["deleted"] != 2.0 {
		t.Errorf("deleted %v", got)
	}
	left := g.ok("loader", "GET", rulesPath, "")
	if got := fmt.Sprint(names(left["items"])); got != "[g]" {
		t.Errorf("left are %s", got)
	}
	g.refused(g.as("loader", "DELETE", rulesPath, ""), http.StatusBadRequest, "invalid_request", "createdBy=me")
	g.refused(g.as("loader", "DELETE", rulesPath+"?createdBy=other", ""), http.StatusBadRequest, "invalid_request")
}

// What would take away all rules, or the model, has to be written: a body that a
// broken job sends must not.
func TestNothingIsTakenAwayByOmission(t *testing.T) {
	g := newGateway(t)
	g.ok("loader", "PUT", "/api/graph-model", model)
	g.ok("loader", "POST", rulesPath, `{"rules":[`+see("kept", "alice")+`]}`)
	for _, c := range []struct{ body, pointer string }{
		{`{"ruleCreationStrategy":"DeleteAllForUser"}`, "/rules"},
		{`{"ruleCreationStrategy":"DeleteAllForUser","rules":null}`, "/rules"},
		{`{"ruleCreationStrategy":"DeleteAllForUser","generation":"","rules":[` + see("chunk", "alice") + `]}`, "/generation"},
	} {
		g.refused(g.as("loader", "POST", rulesPath, c.body), http.StatusBadRequest, "bad_rules", c.pointer)
	}
	for _, body := range []string{`{}`, `{"entities":null}`, `{"relationships":[]}`} {
		g.refused(g.as("loader", "PUT", "/api/graph-model", body), http.StatusBadRequest, "bad_model", "/entities")
	}
	if got := fmt.Sprint(names(g.ok("loader", "GET", rulesPath+"?state=active", "")["items"])); got != "[kept]" {
		t.Errorf("left are %s", got)
	}
	g.ok("loader", "POST", rulesPath, `{"ruleCreationStrategy":"DeleteAllForUser","rules":[]}`)
	if got := fmt.Sprint(names(g.ok("loader", "GET", rulesPath, "")["items"])); got != "[]" {
		t.Errorf("left are %s", got)
	}
}

// What is staged is neither listed nor seen until it is committed, whole.
func TestGenerations(t *testing.T) {
	g := newGateway(t)
	g.ok("loader", "PUT", "/api/graph-model", model)
	g.ok("loader", "POST", rulesPath, `{"rules":[`+see("old", "alice")+`]}`)
	chunk := func(generation, rule string) reply {
		return g.as("loader", "POST", rulesPath, `{"ruleCreationStrategy":"DeleteAllForUser","generation":"`+generation+`","rules":[`+rule+`]}`)
	}
	for _, r := range []string{see("one", "alice"), see("two", "bob")} {
		if got := chunk("g1", r); got.status != http.StatusOK {
			t.Fatal(got)
		}
	}
	if got := fmt.Sprint(names(g.ok("loader", "GET", rulesPath, "")["items"])); got != "[old]" {
		t.Errorf("before the commit %s are listed", got)
	}
	var staged []string
	for path := rulesPath + "?state=staged&limit=1"; path != ""; {
		page := g.ok("loader", "GET", path, "")
		staged = append(staged, names(page["items"])...)
		if path = ""; page["nextCursor"] != "" {
			path = rulesPath + "?state=staged&limit=1&cursor=" + page["nextCursor"].(string)
		}
	}
	if !slices.Equal(staged, []string{"one", "two"}) {
		t.Errorf("staged are %s", staged)
	}
	commit := func(generation string) reply {
		return g.as("loader", "POST", rulesPath+":commit", `{"generation":"`+generation+`"}`)
	}
	first := commit("g1")
	if first.status != http.StatusOK || first.body != `{"created":["one","two"],"ignored":[],"deleted":["old"]}` {
		t.Fatal(first)
	}
	if again := commit("g1"); again.body != first.body {
		t.Errorf("a second commit answers %s", again.body)
	}
	chunk("g2", see("three", "alice"))
	chunk("g3", see("four", "alice"))
	g.refused(commit("g2"), http.StatusConflict, "generation_superseded")
	g.refused(commit("nobody's"), http.StatusConflict, "generation_superseded")
	g.refused(g.as("loader", "POST", rulesPath+":commit", `{}`), http.StatusBadRequest, "bad_rules", "/generation")
	g.refused(chunk("g3", `{"name":"x"}`), http.StatusBadRequest, "bad_rules")
	if got := commit("g3"); got.body != `{"created":["four"],"ignored":[],"deleted":["one","two"]}` {
		t.Errorf("%s", got.body)
	}
}

func TestModel(t *testing.T) {
	g := newGateway(t)
	if got := g.as("loader", "GET", "/api/graph-model", ""); got.body != `{"entities":[],"relationships":[],"revision":0}` {
		t.Errorf("%s", got.body)
	}
	g.refused(g.as("loader", "PUT", "/api/graph-model", `{"entities": [
		{"id": 1, "title": "A", "properties": [{"id": 1, "title": "p"}, {"id": 1, "title": "p"}]},
		{"id": 1, "title": "A", "properties": [{"id": 1}]}, {"title": "B"}, 3],
	 "relationships": [{"id": 1, "entityNameFrom": "A", "entityNameTo": "Z", "name": "r", "alias": ""}], "extra": 1}`),
		http.StatusBadRequest, "bad_model", "/entities/0/properties/1/id", "/entities/0/properties/1/title", "/entities/1/id", "/entities/1/title",
		"/entities/1/properties/0/title", "/entities/2/id", "/entities/3", "/relationships/0/entityNameTo", "/relationships/0/alias", "/extra")
	g.ok("loader", "PUT", "/api/graph-model", model)
	g.ok("loader", "POST", rulesPath, `{"rules":[`+see("a", "alice")+`]}`)
	// What GET gives can be sent back.
	if got := g.as("loader", "PUT", "/api/graph-model", g.as("loader", "GET", "/api/graph-model", "").body); got.status != http.StatusOK {
		t.Fatal(got)
	}
	renamed := strings.Replace(model, `"Benchmark_ID"`, `"Number"`, 1)
	g.refused(g.as("loader", "PUT", "/api/graph-model", renamed), http.StatusConflict, "rebinds_rules", "property 5303")
	g.refused(g.as("loader", "PUT", "/api/graph-model?rebind=1", renamed), http.StatusBadRequest, "invalid_request")
	g.ok("loader", "PUT", "/api/graph-model?rebind=true", renamed)
	gone := g.as("loader", "PUT", "/api/graph-model", `{"entities":[],"relationships":[]}`)
	if !strings.Contains(gone.body, `"orphaned":{"entities":[414],"properties":[5303],"relationships":[],"rules":[{"id":1,"name":"a"}],"count":1}`) {
		t.Errorf("%s", gone.body)
	}
	list := g.as("loader", "GET", rulesPath+"?state=orphaned", "")
	if !strings.Contains(list.body, `"state":"orphaned","orphans":{"entities":[414],"properties":[5303],"relationships":[],"silent":false}`) {
		t.Errorf("%s", list.body)
	}
	if active := g.ok("loader", "GET", rulesPath+"?state=staged", ""); len(names(active["items"])) != 0 {
		t.Errorf("staged: %v", active)
	}
}

func TestOneRule(t *testing.T) {
	g := newGateway(t)
	g.ok("loader", "POST", rulesPath, `{"rules":[`+see("a", "alice")+`,`+see("b", "bob")+`]}`)
	got := g.as("loader", "GET", rulesPath+"/1", "")
	tag := got.header.Get("ETag")
	if got.status != http.StatusOK || tag == "" {
		t.Fatal(got)
	}
	changed := strings.Replace(got.body, `"users":["alice"]`, `"users":["alice","carol"]`, 1)
	g.refused(g.as("loader", "PUT", rulesPath+"/1", changed, "If-Match", `"99"`), http.StatusPreconditionFailed, "revision_mismatch")
	put := g.as("other", "PUT", rulesPath+"/1", changed, "If-Match", tag)
	if put.status != http.StatusOK || !strings.Contains(put.body, `["alice","carol"]`) || !strings.Contains(put.body, `"username":"loader"`) || put.header.Get("ETag") == tag {
		t.Fatalf("%+v", put)
	}
	g.refused(g.as("loader", "PUT", rulesPath+"/1", see("another name", "alice")), http.StatusBadRequest, "bad_rules", "/name")
	g.refused(g.as("loader", "PUT", rulesPath+"/1", `{"name":"a","users":[],"extra":1}`), http.StatusBadRequest, "bad_request", "/extra", "users, groups, clients")
	g.refused(g.as("loader", "DELETE", rulesPath+"/2", "", "If-Match", `W/"2"`), http.StatusPreconditionFailed, "revision_mismatch")
	if got := g.as("loader", "DELETE", rulesPath+"/2", "", "If-Match", "*"); got.status != http.StatusNoContent {
		t.Fatal(got)
	}
	for _, id := range []string{"2", "0", "-1", "x", "01", "99999999999999999999"} {
		g.refused(g.as("loader", "GET", rulesPath+"/"+id, ""), http.StatusNotFound, "not_found")
		g.refused(g.as("loader", "DELETE", rulesPath+"/"+id, ""), http.StatusNotFound, "not_found")
	}
}

func TestList(t *testing.T) {
	g := newGateway(t)
	var all []string
	for i := range 25 {
		all = append(all, fmt.Sprintf(`{"name":"r%02d","users":["User%d"],"groups":["/g/%d"],"clients":["service-account-c%d"],"entities":[{"id":%d,"properties":[]}]}`, i, i%2, i%3, i%5, i%4))
	}
	g.ok("loader", "POST", rulesPath, `{"rules":[`+strings.Join(all, ",")+`]}`)
	g.ok("other", "POST", rulesPath, `{"rules":[`+see("z", "alice")+`]}`)
	for query, want := range map[string]int{
		"": 26, "namePrefix=r0": 10, "user=uSER1": 12, "user=nobody": 0, "group=g/1": 8, "group=/g/1": 8, "group=1": 0,
		"client=c2": 5, "client=service-account-c2": 5, "entity=3": 6, "createdBy=me": 25, "createdBy=other": 1, "createdBy=sub-other": 1,
		"user=user0&entity=2&group=/g/0": 2, "state=active": 26, "state=inactive": 0, "run=x": 0,
	} {
		for _, limit := range []int{1, 7, 1000} {
			var seen []string
			cursor := ""
			for {
				page := g.ok("loader", "GET", fmt.Sprintf("%s?%s&limit=%d&cursor=%s", rulesPath, query, limit, cursor), "")
				got := names(page["items"])
				if len(got) > limit {
					t.Fatalf("%s: %d on a page of %d", query, len(got), limit)
				}
				seen = append(seen, got...)
				if cursor = page["nextCursor"].(string); cursor == "" {
					break
				}
			}
			if len(seen) != want || len(slices.Compact(slices.Sorted(slices.Values(seen)))) != want {
				t.Errorf("%q by %d: %d rules %v, want %d", query, limit, len(seen), seen, want)
			}
		}
	}
	for _, query := range []string{"state=odd", "limit=0", "entity=x", "entity=-1", "user=", "group=/", "client=service-account-", "cursor=%21", "cursor=eA", "state=staged&cursor=eA", "users=a"} {
		g.refused(g.as("loader", "GET", rulesPath+"?"+query, ""), http.StatusBadRequest, "invalid_request")
	}
}

func TestCheckAndFunctions(t *testing.T) {
	g := newGateway(t)
	g.ok("loader", "PUT", "/api/graph-model", model)
	g.ok("loader", "POST", rulesPath, `{"rules":[
		{"name":"staff","groups":["staff"],"entities":[{"id":414,"properties":[5303]}],"functions":[12]},
		{"name":"grand","clients":["Grand"],"entities":[{"id":414,"properties":[]}]},
		{"name":"reports","clients":["reports"],"entities":[{"id":414,"properties":[]}]}]}`)
	check := func(principal string) reply {
		return g.as("admin", "POST", rulesPath+":check", `{"principal":`+principal+`,"parameters":{"type":"nodes"},"data":[
			{"elementId":"1","labels":["Benchmark"],"properties":{"Benchmark_ID":1,"BK_ID":"x"}},
			{"elementId":"2","labels":["A_Benchmark"],"properties":{}}]}`)
	}
	for principal, want := range map[string]string{
		`{"username":"alice","groups":["/staff"]}`: `{"result":{"nodes":[{"elementId":"1","labels":["Benchmark"],"properties":{"Benchmark_ID":1}}]}`,
		`{"username":"alice"}`:                     `{"result":{"nodes":[]}`,
		`{"client":"reports"}`:                     `{"result":{"nodes":[{"elementId":"1","labels":["Benchmark"],"properties":{}}]}`,
		`{"username":"service-account-reports"}`:   `{"result":{"nodes":[]}`, // a user of that name is not the client
		`{"groups":["/other/staff"]}`:              `{"result":{"nodes":[]}`,
		`{"client":"Grand"}`:                       `{"result":{"nodes":[]}`, // Keycloak's account of it has another name
	} {
		got := check(principal)
		if got.status != http.StatusOK || !strings.HasPrefix(got.body, want) || !strings.Contains(got.body, `"explain":[{`) || !json.Valid([]byte(got.body)) {
			t.Errorf("%s: %d %s", principal, got.status, got.body)
		}
	}
	for _, bad := range []string{`{}`, `{"username":1}`, `{"name":"alice"}`, `[]`} {
		if got := check(bad); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", bad, got.status, got.body)
		}
	}
	g.refused(g.as("admin", "POST", rulesPath+":check", `{"principal":{"username":"a"},"data":[]}`), http.StatusBadRequest, "invalid_request")
	g.refused(g.as("admin", "POST", rulesPath+":check", `{"principal":{"username":"a"},"parameters":{"type":"nodes"},"data":[{}]}`), http.StatusBadRequest, "invalid_request")
	g.refused(g.as("loader", "POST", rulesPath+":check", `{}`), http.StatusForbidden, "explain_denied")

	functions := "/api/graph-access-rule/functions/"
	if got := g.as("alice", "GET", functions+"12", ""); got.status != http.StatusNoContent {
		t.Errorf("%+v", got)
	}
	for _, id := range []string{"13", "x", "-12", "99999999999999999999"} {
		g.refused(g.as("alice", "GET", functions+id, ""), http.StatusForbidden, "denied")
	}
	g.refused(g.as("", "GET", functions+"12", ""), http.StatusUnauthorized, "invalid_token")
}

// Nobody learns anything without the right to, and what is one's own is open to
// its creator.
func TestWhoMayDoWhat(t *testing.T) {
	g := newGateway(t)
	g.ok("loader", "PUT", "/api/graph-model", model)
	g.ok("loader", "POST", rulesPath, `{"rules": [`+see("r", "alice")+`]}`)
	for _, c := range []struct{ method, path string }{
		{"GET", "/api/graph-model"}, {"PUT", "/api/graph-model"}, {"GET", rulesPath}, {"POST", rulesPath},
		{"GET", rulesPath + "/1"}, {"PUT", rulesPath + "/1"}, {"DELETE", rulesPath + "/1"}, {"POST", rulesPath + ":commit"},
		{"GET", rulesPath + "/99"}, {"DELETE", rulesPath + "/99"}, {"GET", rulesPath + "/x"}, {"DELETE", rulesPath + "/x"},
		{"GET", rulesPath + "?createdBy=loader"}, {"GET", rulesPath + "?state=staged"},
	} {
		g.refused(g.as("", c.method, c.path, ""), http.StatusUnauthorized, "invalid_token")
		g.refused(g.as("alice", c.method, c.path, ""), http.StatusForbidden, "denied", "graph_rules")
		if c.method != "GET" {
			g.refused(g.as("reader", c.method, c.path, ""), http.StatusForbidden, "denied", "graph_rules write")
		}
	}
	if one, none := g.as("alice", "GET", rulesPath+"/1", ""), g.as("alice", "GET", rulesPath+"/99", ""); one.body != none.body {
		t.Errorf("what is there is told: %s and %s", one.body, none.body)
	}
	g.ok("reader", "GET", rulesPath, "")
	g.ok("reader", "GET", rulesPath+"/1", "")
	g.refused(g.as("", "POST", rulesPath+":check", ""), http.StatusUnauthorized, "invalid_token")
	for _, who := range []string{"alice", "loader"} {
		g.refused(g.as(who, "POST", rulesPath+":check", ""), http.StatusForbidden, "explain_denied")
		g.refused(g.as(who, "PATCH", rulesPath, ""), http.StatusMethodNotAllowed, "method_not_allowed")
		g.refused(g.as(who, "GET", "/api/graph-access-rule/nothing", ""), http.StatusNotFound, "not_found")
	}
}

// Whose grant has gone may still see and delete what they have created.
func TestCreatorsOwnRules(t *testing.T) {
	g := newGateway(t)
	_, err := g.svc.PostRules(t.Context(), registry.Actor{Username: "alice"}, registry.RulePost{
		Creator: rule.Creator{Issuer: "https://issuer", Subject: "sub-alice"}, CreatedBy: "alice",
		Rules: []rule.Rule{{Name: "a", Active: true, Users: []string{"x"}, Entities: []rule.EntityGrant{{ID: 414}}}, {Name: "b", Active: true, Users: []string{"x"}, Entities: []rule.EntityGrant{{ID: 414}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	g.ok("loader", "POST", rulesPath, `{"rules": [`+see("r", "alice")+`]}`)
	if items, _ := g.ok("alice", "GET", rulesPath+"?createdBy=me", "")["items"].([]any); len(items) != 2 {
		t.Errorf("%d rules", len(items))
	}
	if r := g.ok("alice", "GET", rulesPath+"/1", ""); r["name"] != "a" {
		t.Errorf("%v", r)
	}
	g.refused(g.as("alice", "PUT", rulesPath+"/1", see("a", "alice")), http.StatusForbidden, "denied")
	g.refused(g.as("alice", "DELETE", rulesPath+"/1", "", "If-Match", `"77"`), http.StatusPreconditionFailed, "revision_mismatch")
	if r := g.as("alice", "DELETE", rulesPath+"/1", ""); r.status != http.StatusNoContent {
		t.Errorf("%+v", r)
	}
	g.refused(g.as("alice", "DELETE", rulesPath+"/3", ""), http.StatusForbidden, "denied")
	if r := g.ok("alice", "DELETE", rulesPath+"?createdBy=me", ""); r["deleted"] != 1.0 {
		t.Errorf("%v", r)
	}
	if n := g.svc.Snapshot().Rules.Len(); n != 1 {
		t.Errorf("%d rules are left, want loader's", n)
	}
}

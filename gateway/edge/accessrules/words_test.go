package accessrules_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// What is wrong is told with the right code and place.
func TestWhatIsWrongIsSaid(t *testing.T) {
	g := newGateway(t)
	with := func(principal string) string {
		return `{"principal":` + principal + `,"parameters":{"type":"nodes"},"data":[]}`
	}
	for body, pointer := range map[string]string{
		with(`{"username":"a","groups":"x"}`):         `"/principal/groups"`,
		with(`{"username":"a","groups":["/a",1]}`):    `"/principal/groups/1"`,
		with(`{"username":"a","groups":[["/a"]]}`):    `"/principal/groups/0"`,
		with(`{"username":"a","client":{"id":"x"}}`):  `"/principal/client"`,
		with(`{"groups":[]}`):                         `"/principal"`,
		with(`{"username":"a","group":["/a"]}`):       `"/principal/group"`,
		with(`{"username":null,"groups":["/staff"]}`): `"/principal/username"`,
	} {
		g.refused(g.as("admin", "POST", rulesPath+":check", body), http.StatusBadRequest, "bad_request", `"pointer":`+pointer)
	}
	for body, what := range map[string]string{
		`{"rules":` + strings.Repeat("[", 1001) + strings.Repeat("]", 1001) + `}`:     "nested too deeply, more than 1000",
		`{"rules":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`: "nested too deeply, more than 1000",
		`{"rules":[{"name":"\ud800"}]}`:                                               "half a surrogate pair",
		`{"rules":[{"name":"a" "b"}]}`:                                                "not valid JSON at byte",
	} {
		for _, call := range [][2]string{{"POST", rulesPath}, {"PUT", rulesPath + "/1"}, {"PUT", "/api/graph-model"}, {"POST", rulesPath + ":commit"}} {
			g.refused(g.as("loader", call[0], call[1], body), http.StatusBadRequest, "invalid_request", what)
		}
	}
}

// A client that no token can be is stored, and told.
func TestWarnings(t *testing.T) {
	g := newGateway(t)
	g.ok("loader", "PUT", "/api/graph-model", model)
	post := func(query, rules string) (warned []struct{ Code, Pointer, Detail string }) {
		t.Helper()
		var got struct {
			Warnings []struct{ Code, Pointer, Detail string }
		}
		if err := json.Unmarshal([]byte(g.as("loader", "POST", rulesPath+query, `{"ruleCreationStrategy":"DeleteOnConflict","rules":[`+rules+`]}`).body), &got); err != nil {
			t.Fatal(err)
		}
		return got.Warnings
	}
	never := `{"name":"never","clients":["reports","Reports"],"entities":[{"id":414,"properties":[]}]}`
	for _, query := range []string{"", "?verbose=true"} {
		got := post(query, see("a", "alice")+","+never)
		if len(got) != 1 || got[0].Code != "never_matches" || got[0].Pointer != "/rules/1/clients/1" || !strings.Contains(got[0].Detail, "lower case") {
			t.Errorf("%s: %+v", query, got)
		}
	}
	if got := post("", see("a", "Alice")); got != nil {
		t.Errorf("%+v", got)
	}
	list := g.as("loader", "GET", rulesPath+"?client=Reports", "").body
	if !strings.Contains(list, `"warnings":[{"code":"never_matches","pointer":"/clients/1"`) || !strings.Contains(list, `"state":"active"`) {
		t.Errorf("%s", list)
	}
	// What was read can be sent back.
	got := g.as("loader", "GET", rulesPath+"/2", "")
	if put := g.as("loader", "PUT", rulesPath+"/2", got.body); put.status != http.StatusOK || put.body != got.body {
		t.Errorf("%+v", put)
	}
}

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const (
	accessRules = "/api/graph-access-rule/accessRules"
	filterPath  = "/api/graph-security/filter"
	benchmark   = `{"elementId":"1","labels":["Benchmark"],"properties":{"Benchmark_ID":"2500"}}`
)

// TestARunWithKeycloak has nothing in it that is not real: the shipped realm in a
// Keycloak of its own, the gateway's binary, a worker on the SDK that verifies the
// step's token, and people who log in and ask what they may see.
func TestARunWithKeycloak(t *testing.T) {
	h := newHouse(t)
	admin := h.keycloak.Login(t, "admin").AccessToken
	h.must(t, http.StatusOK, http.MethodPut, "/api/graph-model", admin,
		`{"entities":[{"id":414,"title":"Benchmark","properties":[{"id":5303,"title":"Benchmark_ID"}]}],"relationships":[]}`)
	h.must(t, http.StatusCreated, http.MethodPost, "/api/workers", admin,
		fmt.Sprintf(`{"url":%q,"uuid":%q,"name":"loader"}`, h.url, transformerUUID))
	h.must(t, http.StatusCreated, http.MethodPut, transformations+"/nightly", admin, stepBody(transformerUUID))
	h.group(t, admin, "rule-writers", "graph_rules", "write")
	h.schedulers = h.group(t, admin, "schedulers", "rule_step", "nightly")
	h.scheduler = h.user(t, h.keycloak.ServiceToken(t, "airflow"))
	h.must(t, http.StatusCreated, http.MethodPost, "/api/admin/groups/"+h.schedulers+"/members", admin, fmt.Sprintf(`{"email":%q}`, h.scheduler))
	for _, c := range []struct {
		name string
		test func(*testing.T, *house)
	}{
		{"who is there", testWhoIsThere},
		{"the next request obeys, and a revocation follows", testRevocation},
		{"somebody new", testSomebodyNew},
		{"the token of a run that has ended", testEndedRun},
		{"a worker of another audience", testOtherAudience},
		{"a wrong secret", testWrongSecret},
		{"whoever may not", testWhoMayNot},
	} {
		if !t.Run(c.name, func(t *testing.T) { c.test(t, h) }) {
			return
		}
	}
	for _, secret := range []string{admin, h.source.bearer} {
		if secret == "" || strings.Contains(h.log.String(), secret) {
			t.Error("a token is in the gateway's log")
		}
	}
}

func stepBody(uuid string) string {
	return fmt.Sprintf(`{"worker":%q,"client":{"id":"rule-loader","secretFile":"rule-loader"},
		"users":"all","groups":"all","clients":"all","entities":"all","relationships":"all","timeout":"2m"}`, uuid)
}

// ran is a run as the API shows it.
type ran struct {
	ID, State, Message, StartedBy string
	Rules                         struct{ Created, Ignored, Deleted int }
	Attempts                      []struct{ Code, Message string }
}

// start starts a run as a scheduler does, by the realm's client for it, and waits.
func (h *house) start(t *testing.T, step, key string) (int, ran) {
	t.Helper()
	status, body := h.call(t, http.MethodPost, transformations+"/"+step+"/runs?wait=2m", h.keycloak.ServiceToken(t, "airflow"), "", "Idempotency-Key", key)
	var got ran
	into := any(&got)
	if status != http.StatusOK {
		into = &struct{ Run *ran }{&got}
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	return status, got
}

func (h *house) succeeds(t *testing.T, key string) ran {
	t.Helper()
	status, got := h.start(t, "nightly", key)
	if status != http.StatusOK || got.State != "succeeded" {
		t.Fatalf("%d %+v", status, got)
	}
	return got
}

// sees tells whether somebody sees the benchmark.
func (h *house) sees(t *testing.T, token string) bool {
	t.Helper()
	body := h.must(t, http.StatusOK, http.MethodPost, filterPath, token, `{"parameters":{"type":"nodes"},"data":[`+benchmark+`]}`)
	switch strings.TrimSpace(body) {
	case `{"result":{"nodes":[` + benchmark + `]}}`:
		return true
	case `{"result":{"nodes":[]}}`:
		return false
	}
	t.Fatalf("the filter answered %s", body)
	return false
}

func testWhoIsThere(t *testing.T, h *house) {
	got := h.succeeds(t, "first")
	if got.StartedBy != "service-account-airflow" || got.Rules.Created != 0 {
		t.Errorf("%+v", got)
	}
	given, who, _ := h.source.saw()
	if !slices.Equal(given.Users, []string{"admin", "alice", "bob"}) ||
		!slices.Equal(given.Groups, []string{"/engineering", "/engineering/graph", "/platform", "/support"}) {
		t.Errorf("users %v, groups %v", given.Users, given.Groups)
	}
	for _, c := range []string{"airflow", "graph-service", "muster-gateway", "rule-loader"} {
		if !slices.Contains(given.Clients, "service-account-"+c) {
			t.Errorf("clients %v lack %s", given.Clients, c)
		}
	}
	if len(given.Entities) != 1 || given.Entities[0].Title != "Benchmark" || given.Relationships == nil || len(given.Relationships) != 0 {
		t.Errorf("entities %+v, relationships %+v", given.Entities, given.Relationships)
	}
	if who == nil || who.Username != "service-account-rule-loader" || !who.HasAudience("muster") || who.HasAudience("muster-admin") {
		t.Errorf("the worker was called by %+v", who)
	}
}

func testRevocation(t *testing.T, h *house) {
	alice, bob := h.keycloak.Login(t, "alice").AccessToken, h.keycloak.Login(t, "bob").AccessToken
	graph := h.keycloak.ServiceToken(t, "graph-service")
	admin := h.keycloak.Login(t, "admin").AccessToken
	for n, c := range []struct {
		users, groups, clients   []string
		alice, bob, graph        bool
		created, deleted, listed int
	}{
		{users: []string{"alice"}, alice: true, created: 1, listed: 1},
		{users: []string{"alice", "nobody"}, groups: []string{"/support"}, alice: true, bob: true, created: 2, deleted: 1, listed: 2},
		{groups: []string{"/support", "/engineering"}, clients: []string{"service-account-graph-service"}, bob: true, graph: true, created: 3, deleted: 2, listed: 3},
		{deleted: 3},
	} {
		h.source.may(c.users, c.groups, c.clients)
		got := h.succeeds(t, fmt.Sprint("revocation ", n))
		if got.Rules.Created != c.created || got.Rules.Deleted != c.deleted {
			t.Errorf("%d: %+v", n, got)
		}
		// The same tokens as before: nobody has to log in again.
		if a, b, g := h.sees(t, alice), h.sees(t, bob), h.sees(t, graph); a != c.alice || b != c.bob || g != c.graph {
			t.Errorf("%d: alice %v, bob %v, graph-service %v", n, a, b, g)
		}
		list := h.must(t, http.StatusOK, http.MethodGet, accessRules+"?createdBy=service-account-rule-loader", admin, "")
		if strings.Count(list, `"step":"nightly"`) != c.listed || strings.Count(list, `"run":"`) != c.listed {
			t.Errorf("%d: the step's rules are %s", n, list)
		}
	}
}

// testSomebodyNew adds a person in Keycloak: the next run gives the worker the name.
func testSomebodyNew(t *testing.T, h *house) {
	root, base := h.keycloak.Admin(t), h.keycloak.Base+"/admin/realms/muster"
	status, body := h.keycloak.Call(t, http.MethodPost, base+"/users", root, map[string]any{
		"username": "carol", "enabled": true, "email": "carol@example.org", "firstName": "Carol", "lastName": "Example",
		"credentials": []any{map[string]any{"type": "password", "value": "carol", "temporary": false}},
	})
	if status != http.StatusCreated {
		t.Fatalf("%d %s", status, body)
	}
	h.source.may([]string{"carol"}, nil, nil)
	if got := h.succeeds(t, "somebody new"); got.Rules.Created != 1 {
		t.Errorf("%+v", got)
	}
	if !h.sees(t, h.keycloak.Login(t, "carol").AccessToken) {
		t.Error("carol does not see what a rule shows her")
	}
}

func testEndedRun(t *testing.T, h *house) {
	_, _, bearer := h.source.saw()
	rule := `{"name":"late","users":["bob"],"entities":[{"id":414,"properties":[5303]}]}`
	var page struct{ Items []struct{ ID int64 } }
	list := h.must(t, http.StatusOK, http.MethodGet, accessRules, h.keycloak.Login(t, "admin").AccessToken, "")
	if err := json.Unmarshal([]byte(list), &page); err != nil || len(page.Items) != 1 {
		t.Fatalf("%s %v", list, err)
	}
	one := fmt.Sprint(accessRules, "/", page.Items[0].ID)
	for _, c := range [][3]string{
		{http.MethodPost, accessRules, `{"rules":[` + rule + `]}`},
		{http.MethodPut, one, strings.Replace(rule, "late", "loader: carol", 1)},
		{http.MethodDelete, one, ""},
		{http.MethodDelete, accessRules + "?createdBy=me", ""},
		{http.MethodPut, "/api/graph-model", `{"entities":[]}`},
	} {
		if status, body := h.call(t, c[0], c[1], bearer, c[2]); status != http.StatusConflict || !strings.Contains(body, "run_ended") {
			t.Errorf("%s %s: %d %s", c[0], c[1], status, body)
		}
	}
	// The step's client itself may go on, outside of runs, where it has no rules.
	own := h.keycloak.ServiceToken(t, "rule-loader")
	if got := h.must(t, http.StatusOK, http.MethodDelete, accessRules+"?createdBy=me", own, ""); strings.TrimSpace(got) != `{"deleted":0}` {
		t.Errorf("%s", got)
	}
}

// testOtherAudience has a worker refuse the step's token: the run tells what the
// worker said.
func testOtherAudience(t *testing.T, h *house) {
	const uuid = "0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c78"
	dir := t.TempDir()
	_, cert, key := certificates(t, dir)
	url := h.work(t, cert, key, "somebody-else", uuid)
	admin := h.keycloak.Login(t, "admin").AccessToken
	// Its certificate is of an authority that the gateway does not know.
	status, body := h.call(t, http.MethodPost, "/api/workers", admin, fmt.Sprintf(`{"url":%q,"uuid":%q,"name":"other"}`, url, uuid))
	if status < http.StatusBadRequest || !strings.Contains(body, "certificate") {
		t.Errorf("%d %s", status, body)
	}
	h.must(t, http.StatusCreated, http.MethodPost, "/api/workers", admin,
		fmt.Sprintf(`{"url":%q,"uuid":%q,"name":"other"}`, h.work(t, h.cert, h.key, "somebody-else", uuid), uuid))
	h.must(t, http.StatusCreated, http.MethodPut, transformations+"/other", admin, stepBody(uuid))
	h.must(t, http.StatusCreated, http.MethodPost, "/api/admin/grants", admin,
		fmt.Sprintf(`{"group_id":%q,"resource_type":"rule_step","resource_id":"other"}`, h.schedulers))
	status, got := h.start(t, "other", "other audience")
	if status != http.StatusBadGateway || got.State != "failed" || !strings.Contains(got.Message, `its aud does not hold "somebody-else"`) {
		t.Errorf("%d %+v", status, got)
	}
}

func testWrongSecret(t *testing.T, h *house) {
	h.secret(t, "rule-loader", "no more")
	defer h.secret(t, "rule-loader", "rule-loader")
	status, got := h.start(t, "nightly", "wrong secret")
	if status != http.StatusBadGateway || len(got.Attempts) != 1 || got.Attempts[0].Code != "identity_unavailable" ||
		!strings.Contains(got.Message, "rule-loader") || strings.Contains(got.Message, "no more") {
		t.Errorf("%d %+v", status, got)
	}
}

func testWhoMayNot(t *testing.T, h *house) {
	for who, token := range map[string]string{
		"alice": h.keycloak.Login(t, "alice").AccessToken, "rule-loader": h.keycloak.ServiceToken(t, "rule-loader"),
		"graph-service": h.keycloak.ServiceToken(t, "graph-service"),
	} {
		status, body := h.call(t, http.MethodPost, transformations+"/nightly/runs", token, "")
		if status != http.StatusNotFound && status != http.StatusUnauthorized {
			t.Errorf("%s starts a run: %d %s", who, status, body)
		}
	}
	// The scheduler's membership is what an administrator may take away.
	h.must(t, http.StatusNoContent, http.MethodDelete, "/api/admin/groups/"+h.schedulers+"/members/"+h.scheduler, h.keycloak.Login(t, "admin").AccessToken, "")
	status, body := h.call(t, http.MethodPost, transformations+"/nightly/runs", h.keycloak.ServiceToken(t, "airflow"), "")
	if status != http.StatusNotFound {
		t.Errorf("without the membership: %d %s", status, body)
	}
}

package app_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/config"
)

func withRules(cfg *config.Config) { cfg.Rules.Enabled = true }

const (
	rulesPath = "/api/graph-access-rule/accessRules"
	modelPath = "/api/graph-model"
)

// contractBody is one of the documented bodies.
func contractBody(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "examples", "contract", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The sample shows the contract's own examples, and goes when its model goes.
func TestSample(t *testing.T) {
	d := startDev(t, withRules)
	admin, alice := d.token(t, "admin"), d.token(t, "alice")
	for request, response := range map[string]string{
		"filter-nodes-request.json": "filter-nodes-response.json", "filter-relationships-request.json": "filter-relationships-response.json",
	} {
		_, body := d.mustCall(t, http.StatusOK, "POST", "/api/graph-security/filter", alice, contractBody(t, request))
		for want := range strings.SplitSeq(contractBody(t, response), "\n") {
			want = strings.Trim(strings.TrimSpace(want), ",{}[]")
			if !strings.Contains(strings.ReplaceAll(body, " ", ""), strings.ReplaceAll(want, " ", "")) {
				t.Errorf("%s: %q is not in %s", request, want, body)
			}
		}
	}
	report := `{"parameters":{"type":"nodes"},"data":[{"elementId":"1","labels":["Report"],"properties":{"title":"t","budget":1}},{"elementId":"2","labels":["Person"],"properties":{"name":"n","salary":2}}]}`
	for who, want := range map[string]string{
		"alice": `{"result":{"nodes":[{"elementId":"1","labels":["Report"],"properties":{"title":"t"}},{"elementId":"2","labels":["Person"],"properties":{"name":"n"}}]}}`,
		"bob":   `{"result":{"nodes":[{"elementId":"1","labels":["Report"],"properties":{"title":"t"}}]}}`,
		"admin": `{"result":{"nodes":[{"elementId":"1","labels":["Report"],"properties":{"title":"t","budget":1}},{"elementId":"2","labels":["Person"],"properties":{"name":"n","salary":2}}]}}`,
	} {
		if _, body := d.mustCall(t, http.StatusOK, "POST", "/api/graph-security/filter", d.token(t, who), report); strings.TrimSpace(body) != want {
			t.Errorf("%s sees %s, want %s", who, body, want)
		}
	}
	_, list := d.mustCall(t, http.StatusOK, "GET", rulesPath, admin, "")
	if strings.Count(list, `"name":"sample: `) != 4 {
		t.Fatalf("rules %s", list)
	}
	d.mustCall(t, http.StatusOK, "PUT", modelPath, admin, `{"entities":[{"id":1,"title":"Report","properties":[]}],"relationships":[]}`)
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, list := d.mustCall(t, http.StatusOK, "GET", rulesPath, admin, "")
		if strings.Contains(list, `"items":[]`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the sample's rules outlive its model: %s", list)
		}
		time.Sleep(20 * time.Millisecond) // the gateway's own work is waited for
	}
	if _, body := d.mustCall(t, http.StatusOK, "POST", "/api/graph-security/filter", alice, report); strings.TrimSpace(body) != `{"result":{"nodes":[]}}` {
		t.Errorf("without rules alice sees %s", body)
	}
}

// Who may write rules, with which token.
func TestWhoWritesRules(t *testing.T) {
	d := startDev(t, withRules)
	loader := clientToken(t, d, "rule-loader")
	body := `{"rules":[{"name":"x","users":["alice"],"entities":[{"id":9000,"properties":[]}]}]}`
	d.mustCall(t, http.StatusUnauthorized, "POST", rulesPath, "", body)
	d.mustCall(t, http.StatusForbidden, "POST", rulesPath, d.token(t, "alice"), body)
	// Its token is not for the management endpoints, and need not be for rules.
	d.mustCall(t, http.StatusOK, "POST", rulesPath, loader, body)
	d.mustCall(t, http.StatusUnauthorized, "GET", "/api/workers", loader, "")
	d.mustCall(t, http.StatusUnauthorized, "POST", rulesPath+":check", loader, body)
	d.mustCall(t, http.StatusUnauthorized, "GET", "/api/rule-transformations", loader, "")
	d.mustCall(t, http.StatusOK, "POST", rulesPath, d.token(t, "admin"), body)
	d.mustCall(t, http.StatusForbidden, "POST", rulesPath, clientToken(t, d, "graph-service"), body)
	_, doc := d.mustCall(t, http.StatusOK, "GET", "/api/openapi.json", d.token(t, "admin"), "")
	for _, call := range []string{"postAccessRules", "commitAccessRules", "checkAccessRules", "putGraphModel", "mayRunFunction"} {
		if !strings.Contains(doc, `"operationId":"`+call+`"`) {
			t.Errorf("%s is not described", call)
		}
	}
}

// With rules switched off everything passes, rules can be prepared, and what
// somebody would see is not made up.
func TestRulesOff(t *testing.T) {
	d := startDev(t, nil)
	admin := d.token(t, "admin")
	nodes := `{"parameters":{"type":"nodes"},"data":[{"elementId":"1","labels":["Anything"],"properties":{}}]}`
	if _, body := d.mustCall(t, http.StatusOK, "POST", "/api/graph-security/filter", d.token(t, "alice"), nodes); !strings.Contains(body, "Anything") {
		t.Errorf("%s", body)
	}
	if _, list := d.mustCall(t, http.StatusOK, "GET", rulesPath, admin, ""); !strings.Contains(list, `"items":[]`) {
		t.Errorf("a sample nobody asked for: %s", list)
	}
	d.mustCall(t, http.StatusOK, "POST", rulesPath, admin, `{"rules":[{"name":"x","users":["alice"],"relationships":[1]}]}`)
	_, problem := d.mustCall(t, http.StatusServiceUnavailable, "POST", rulesPath+":check", admin,
		`{"principal":{"username":"alice"},"parameters":{"type":"nodes"},"data":[]}`)
	if !strings.Contains(problem, "rules_disabled") {
		t.Errorf("%s", problem)
	}
	if !strings.Contains(d.log.String(), "Graph Access Rules are off") {
		t.Error("the log does not say that rules are off")
	}
}

// clientToken is a token of a client's own service account; at the development
// issuer its secret is its name.
func clientToken(t *testing.T, d *dev, client string) string {
	t.Helper()
	resp, err := http.PostForm("http://"+d.issuer+"/realms/muster/protocol/openid-connect/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {client},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var body struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || body.AccessToken == "" {
		t.Fatalf("token for %s: status %d, %v", client, resp.StatusCode, err)
	}
	return body.AccessToken
}

package app_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/config"
)

const filterPath = "/api/graph-security/filter"

const twoNodes = `{"parameters":{"type":"nodes"},"data":[
 {"elementId":"4:x:1","labels":["A"],"properties":{"n":12345678901234567890,"u":"\u00e9","z":null}},
 {"elementId":"4:x:2","labels":[],"properties":{}}]}`

func TestWithoutWorkersTheInputComesBackWhole(t *testing.T) {
	d := startDev(t, nil)
	resp, body := d.call(t, http.MethodPost, filterPath, d.token(t, "alice"), twoNodes)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d: %s\n%s", resp.StatusCode, body, d.log)
	}
	want := `{"result":{"nodes":[{"elementId":"4:x:1","labels":["A"],"properties":{"n":12345678901234567890,"u":"\u00e9","z":null}},{"elementId":"4:x:2","labels":[],"properties":{}}]}}`
	if compact(t, body) != want {
		t.Errorf("answer %s\nwant   %s", body, want)
	}
	if id := resp.Header.Get("Muster-Decision"); !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(id) {
		t.Errorf("Muster-Decision %q is not a UUIDv7", id)
	}
	if got := resp.Header.Get("Muster-Complete"); got != "true" {
		t.Errorf("Muster-Complete %q", got)
	}
	if resp.Header.Get("Muster-Revision") == "" {
		t.Error("no Muster-Revision")
	}
	if !strings.Contains(d.log.String(), "no ExternalGraphSecurity worker is active") {
		t.Error("no warning at the start")
	}
}

// compact removes white space between tokens and nothing else.
func compact(t *testing.T, s string) string {
	t.Helper()
	var out strings.Builder
	inString, escaped := false, false
	for _, c := range s {
		switch {
		case inString:
			inString = escaped || c != '"'
			escaped = !escaped && c == '\\'
		case c == '"':
			inString = true
		case strings.ContainsRune(" \t\r\n", c):
			continue
		}
		out.WriteRune(c)
	}
	return out.String()
}

// contractError decodes the error body and demands that it has no other members.
func contractError(t *testing.T, body string) (code, description string) {
	t.Helper()
	var e struct {
		Description string          `json:"description"`
		Error       string          `json:"error"`
		Worker      json.RawMessage `json:"worker"`
	}
	dec := json.NewDecoder(strings.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		t.Fatalf("error body %q: %v", body, err)
	}
	return e.Error, e.Description
}

func TestCallersMistakes(t *testing.T) {
	d := startDev(t, func(c *config.Config) { c.Limits.MaxBody = 4096 })
	alice := d.token(t, "alice")
	node := `{"elementId":"a","labels":["A"],"properties":{}}`
	rel := `{"elementId":"r","type":"T","startNodeElementId":"a","endNodeElementId":"b","properties":{}}`
	nodes := func(data string) string { return `{"parameters":{"type":"nodes"},"data":` + data + `}` }
	rels := func(data string) string { return `{"parameters":{"type":"relationships"},"data":` + data + `}` }
	pad := func(n int) string {
		body := nodes(`[{"elementId":"a","labels":[],"properties":{"p":"%"}}]`)
		return strings.Replace(body, "%", strings.Repeat("x", n-len(body)+1), 1)
	}
	cases := []struct {
		name   string
		body   string
		header []string
		status int
		code   string
		where  string // must be in the description
	}{
		{"not JSON", `{"parameters":`, nil, 400, "invalid_request", "byte"},
		{"not an object", `[]`, nil, 400, "invalid_request", ""},
		{"trailing bytes", nodes(`[]`) + `x`, nil, 400, "invalid_request", "byte"},
		{"duplicate name at the top", `{"parameters":{"type":"nodes"},"data":[],"data":[]}`, nil, 400, "invalid_request", "byte"},
		{"duplicate name in a property", nodes(`[{"elementId":"a","labels":[],"properties":{"p":{"q":1,"q":2}}}]`), nil, 400, "invalid_request", "byte"},
		{"duplicate name by escape", nodes(`[{"elementId":"a","labels":[],"properties":{"p":1,"\u0070":2}}]`), nil, 400, "invalid_request", ""},
		{"invalid UTF-8", nodes("[{\"elementId\":\"a\",\"labels\":[\"\xff\"],\"properties\":{}}]"), nil, 400, "invalid_request", "byte"},
		{"control byte", nodes("[{\"elementId\":\"a\",\"labels\":[\"\x01\"],\"properties\":{}}]"), nil, 400, "invalid_request", ""},
		{"leading zero", nodes(`[{"elementId":"a","labels":[],"properties":{"p":01}}]`), nil, 400, "invalid_request", ""},
		{"unknown type", `{"parameters":{"type":"edges"},"data":[]}`, nil, 400, "invalid_request", "parameters.type"},
		{"type in other case", `{"parameters":{"type":"Nodes"},"data":[]}`, nil, 400, "invalid_request", "parameters.type"},
		{"no parameters", `{"data":[]}`, nil, 400, "invalid_request", "parameters"},
		{"no data", `{"parameters":{"type":"nodes"}}`, nil, 400, "invalid_request", "data"},
		{"data an object", nodes(`{}`), nil, 400, "invalid_request", "data"},
		{"data null", nodes(`null`), nil, 400, "invalid_request", "data"},
		{"graph with a list", `{"parameters":{"type":"graph"},"data":[]}`, nil, 400, "invalid_request", "data"},
		{"graph without relationships", `{"parameters":{"type":"graph"},"data":{"nodes":[]}}`, nil, 400, "invalid_request", "relationships"},
		{"element not an object", nodes(`[` + node + `,7]`), nil, 400, "invalid_request", "data[1]"},
		{"no elementId", nodes(`[{"labels":[],"properties":{}}]`), nil, 400, "invalid_request", "data[0]"},
		{"elementId a number", nodes(`[{"elementId":1,"labels":[],"properties":{}}]`), nil, 400, "invalid_request", "data[0]"},
		{"no labels", nodes(`[{"elementId":"a","properties":{}}]`), nil, 400, "invalid_request", "data[0]"},
		{"labels with a number", nodes(`[{"elementId":"a","labels":[1],"properties":{}}]`), nil, 400, "invalid_request", "data[0]"},
		{"no properties", nodes(`[{"elementId":"a","labels":[]}]`), nil, 400, "invalid_request", "data[0]"},
		{"properties a list", nodes(`[{"elementId":"a","labels":[],"properties":[]}]`), nil, 400, "invalid_request", "data[0]"},
		{"unnamed member", nodes(`[{"elementId":"a","labels":[],"properties":{},"extra":1}]`), nil, 400, "invalid_request", "data[0]"},
		{"relationship without an end", rels(`[{"elementId":"r","type":"T","startNodeElementId":"a","properties":{}}]`), nil, 400, "invalid_request", "data[0]"},
		{"relationship without type", rels(`[{"elementId":"r","startNodeElementId":"a","endNodeElementId":"b","properties":{}}]`), nil, 400, "invalid_request", "data[0]"},
		{"a node among relationships", rels(`[` + rel + `,` + node + `]`), nil, 400, "invalid_request", "data[1]"},
		{"graph position", `{"parameters":{"type":"graph"},"data":{"nodes":[` + node + `,{}],"relationships":[]}}`, nil, 400, "invalid_request", "data.nodes[1]"},
		{"id twice with other content", nodes(`[` + node + `,{"elementId":"a","labels":["B"],"properties":{}}]`), nil, 400, "invalid_request", "data[1]"},
		{"content type", nodes(`[]`), []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type", ""},
		{"content encoding", nodes(`[]`), []string{"Content-Encoding", "gzip"}, 415, "unsupported_media_type", ""},
		{"body one byte too long", pad(4097), nil, 413, "too_large", "4096"},
		{"timeout not a time", nodes(`[]`), []string{"Request-Timeout", "soon"}, 400, "invalid_request", "Request-Timeout"},
		{"too many hops", nodes(`[` + node + `]`), []string{"Muster-Hops", "9"}, 508, "loop_detected", ""},
		{"hops not a number", nodes(`[]`), []string{"Muster-Hops", "many"}, 400, "invalid_request", "Muster-Hops"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			resp, body := d.call(t, http.MethodPost, filterPath, alice, c.body, c.header...)
			code, description := contractError(t, body)
			if resp.StatusCode != c.status || code != c.code || !strings.Contains(description, c.where) {
				t.Errorf("got %d %s, want %d %s naming %q", resp.StatusCode, body, c.status, c.code, c.where)
			}
			if strings.Contains(description, "xxxx") {
				t.Errorf("the description quotes a value: %s", description)
			}
		})
	}
	t.Run("body of exactly the limit", func(t *testing.T) {
		if resp, body := d.call(t, http.MethodPost, filterPath, alice, pad(4096)); resp.StatusCode != http.StatusOK {
			t.Errorf("got %d %s, want 200", resp.StatusCode, body)
		}
	})
	t.Run("an identical element twice", func(t *testing.T) {
		resp, body := d.call(t, http.MethodPost, filterPath, alice, nodes(`[`+node+`,`+node+`]`))
		if want := `{"result":{"nodes":[` + node + `,` + node + `]}}`; resp.StatusCode != http.StatusOK || body != want {
			t.Errorf("got %d %s, want %s", resp.StatusCode, body, want)
		}
	})
	t.Run("other method", func(t *testing.T) {
		resp, body := d.call(t, http.MethodGet, filterPath, alice, "")
		if code, _ := contractError(t, body); resp.StatusCode != http.StatusMethodNotAllowed || code != "method_not_allowed" || resp.Header.Get("Allow") != http.MethodPost {
			t.Errorf("got %d %s", resp.StatusCode, body)
		}
	})
}

func TestTokensAtTheFilter(t *testing.T) {
	d := startDev(t, nil)
	for name, c := range map[string]struct {
		token     string
		challenge string
	}{
		"none":    {"", `Bearer realm="muster"`},
		"garbage": {"x.y.z", `Bearer realm="muster", error="invalid_token"`},
	} {
		resp, body := d.call(t, http.MethodPost, filterPath, c.token, twoNodes)
		code, _ := contractError(t, body)
		if resp.StatusCode != http.StatusUnauthorized || code != "invalid_token" || resp.Header.Get("WWW-Authenticate") != c.challenge {
			t.Errorf("%s: %d %s %q", name, resp.StatusCode, body, resp.Header.Get("WWW-Authenticate"))
		}
	}
	resp, body := d.call(t, http.MethodPost, filterPath+"?explain=true", d.token(t, "alice"), "{")
	if code, _ := contractError(t, body); resp.StatusCode != http.StatusForbidden || code != "explain_denied" {
		t.Errorf("explain without the right: %d %s, want 403 explain_denied before the body is read", resp.StatusCode, body)
	}
	resp, body = d.call(t, http.MethodPost, filterPath+"?explain=true", d.token(t, "admin"), twoNodes)
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, `"explain":[]`) {
		t.Errorf("explain with the right: %d %s", resp.StatusCode, body)
	}
}

func TestTheGatewayAnswersAsAWorker(t *testing.T) {
	d := startDev(t, nil)
	resp, body := d.call(t, http.MethodGet, "/", "", "")
	var info map[string]string
	if err := json.Unmarshal([]byte(body), &info); err != nil || resp.StatusCode != http.StatusOK || len(info) != 4 {
		t.Fatalf("GET /: %d %s", resp.StatusCode, body)
	}
	if info["class"] != "result" || info["type"] != "ExternalGraphSecurity" || info["version"] != "1.2.3-test" || len(info["uuid"]) != 36 {
		t.Errorf("GET / answers %s", body)
	}
	if resp, body := d.call(t, http.MethodGet, "/nowhere", d.token(t, "alice"), ""); resp.StatusCode != http.StatusNotFound || !strings.Contains(body, `"code":"not_found"`) {
		t.Errorf("unknown path: %d %s", resp.StatusCode, body)
	}
}

func TestOperationsListener(t *testing.T) {
	d := startDev(t, nil)
	api := d.http
	d.http = d.ops
	for path, want := range map[string]string{"/livez": `"status":"ok"`, "/readyz": `"keys":"ok"`, "/metrics": "muster_snapshot_revision"} {
		if resp, body := d.call(t, http.MethodGet, path, "", ""); resp.StatusCode != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200s", path, resp.StatusCode, body)
		}
	}
	d.http = api
	if resp, _ := d.call(t, http.MethodGet, "/metrics", d.token(t, "alice"), ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("/metrics on the API listener: %d, want 404", resp.StatusCode)
	}
}

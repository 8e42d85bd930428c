package fleet_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestMistakesOfTheBody: all at once, in the specification's order, whatever else
// is right.
func TestMistakesOfTheBody(t *testing.T) {
	g := newGateway(t, false)
	id, url := `"uuid":"aaaaaaaa-0000-4000-8000-000000000000"`, `"url":"http://127.0.0.1:1/"`
	for _, c := range []struct {
		body string
		errs []string
	}{
		{`{}`, []string{"bad_url /url", "bad_uuid /uuid"}},
		{`{` + id + `}`, []string{"bad_url /url"}},
		{`{"url":"/x",` + id + `}`, []string{"bad_url /url"}},
		{`{"url":"ftp://h/",` + id + `}`, []string{"bad_url /url"}},
		{`{"url":"http://u:p@h/",` + id + `}`, []string{"bad_url /url"}},
		{`{"url":"http://h/#f",` + id + `}`, []string{"bad_url /url"}},
		{`{"url":5,` + id + `}`, []string{"bad_url /url"}},
		{`{"url":null,"uuid":null}`, []string{"bad_url /url", "bad_uuid /uuid"}},
		{`{` + url + `,"uuid":"banana"}`, []string{"bad_uuid /uuid"}},
		{`{` + url + `,"uuid":["x"]}`, []string{"bad_uuid /uuid"}},
		{`{` + url + `,"uuid":"` + gatewayID + `"}`, []string{"self_registration /uuid"}},
		{`{` + url + `,` + id + `,"nmae":"x"}`, []string{"bad_request /nmae"}},
		{`{` + url + `,` + id + `,"a/b~c":1}`, []string{"bad_request /a~1b~0c"}},
		{`{` + url + `,` + id + `,"Name":"x"}`, []string{"bad_request /Name"}},
		{`{` + url + `,` + id + `,"name":5,"active":"yes","enrols":1}`, []string{"bad_request /name", "bad_request /active", "bad_request /enrols"}},
		{`{` + url + `,` + id + `,"name":"` + strings.Repeat("x", 201) + `"}`, []string{"bad_request /name"}},
		{`{` + url + `,` + id + `,"transport":"soap"}`, []string{"bad_transport /transport"}},
		{`{` + url + `,` + id + `,"transport":"grpc"}`, []string{"bad_transport /transport"}},
		{`{` + url + `,` + id + `,"transport":1}`, []string{"bad_transport /transport"}},
		{`{` + url + `,` + id + `,"settings":[]}`, []string{"bad_settings /settings"}},
		{`{` + url + `,` + id + `,"settings":{"timeout":"0s","onFailure":"open","mask":1,"identity":"x","audience":2,"maxElementsPerCall":1.5,"maxConcurrent":0}}`, []string{
			"bad_settings /settings/mask", "bad_settings /settings/audience", "bad_settings /settings/maxElementsPerCall",
			"bad_settings /settings/timeout", "bad_settings /settings/onFailure", "bad_settings /settings/identity", "bad_settings /settings/maxConcurrent"}},
		{`{` + url + `,` + id + `,"settings":{"identity":"exchange"}}`, []string{"bad_settings /settings/audience"}},
		{`{` + url + `,` + id + `,"settings":{"maxElementsPerCall":10}}`, []string{"bad_settings /settings/maxElementsPerCall"}},
		{`{` + url + `,` + id + `,"settings":{"timout":"2s"}}`, []string{"bad_request /settings/timout"}},
		{`{"uuid":"x","x":1,"settings":{"timeout":5},"transport":"y","url":"z"}`, []string{
			"bad_url /url", "bad_uuid /uuid", "bad_settings /settings/timeout", "bad_transport /transport", "bad_request /x"}},
	} {
		t.Run(c.body[:min(len(c.body), 60)], func(t *testing.T) {
			code, _, _ := strings.Cut(c.errs[0], " ")
			g.do("POST", "/api/workers", c.body).problem(t, 422, code, c.errs...)
		})
	}
}

// TestBrokenBodies have no members to report: 400 with the place.
func TestBrokenBodies(t *testing.T) {
	g, w := newGateway(t, false), newWorker(t)
	g.do("POST", "/api/workers", w.body()).must(t, 201)
	for _, body := range []string{
		"{", "[]", `"x"`, "null", "{}{}", "{} x", `{"url":"a","url":"b"}`, `{"settings":{"mask":true,"m\u0061sk":false}}`,
		"{\"url\":\"\xff\"}", `{"url":'a'}`, "\ufeff{}", strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000), " ",
	} {
		for _, call := range [][2]string{{"POST", "/api/workers"}, {"PATCH", "/api/workers/" + w.uuid}, {"PUT", "/api/workers/" + w.uuid + "/conformance"}} {
			p := g.do(call[0], call[1], body).problem(t, 400, "invalid_request")
			if !strings.Contains(p.Detail, "byte") {
				t.Errorf("%q: no position in %q", body[:min(len(body), 20)], p.Detail)
			}
		}
	}
	big := `{"name":"` + strings.Repeat("x", 1<<20) + `"}`
	g.do("POST", "/api/workers", big).problem(t, 413, "too_large")
	g.do("PATCH", "/api/workers/"+w.uuid, big).problem(t, 413, "too_large")
}

func TestHeadersPathsAndMethods(t *testing.T) {
	g, w := newGateway(t, false), newWorker(t)
	g.do("POST", "/api/workers", w.body()).must(t, 201)
	worker := "/api/workers/" + w.uuid
	for _, ct := range []string{"-", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "application/jsonx", ";"} {
		g.do("POST", "/api/workers", w.body(), "Content-Type", ct).problem(t, 415, "unsupported_media_type")
	}
	g.do("POST", "/api/workers", w.body(), "Content-Encoding", "gzip").problem(t, 415, "unsupported_media_type")
	g.do("PATCH", worker, `{}`, "Content-Type", "application/merge-patch+json; charset=UTF-8").must(t, 200)

	for _, c := range []struct{ method, path, allow string }{
		{"PUT", "/api/workers", "GET, HEAD, POST"}, {"DELETE", "/api/workers", "GET, HEAD, POST"},
		{"POST", worker, "DELETE, GET, HEAD, PATCH"}, {"PUT", worker, "DELETE, GET, HEAD, PATCH"},
		{"GET", worker + "/probe", "POST"}, {"POST", worker + "/conformance", "PUT"}, {"TRACE", worker, "DELETE, GET, HEAD, PATCH"},
	} {
		r := g.do(c.method, c.path, "")
		r.problem(t, 405, "method_not_allowed")
		if r.header.Get("Allow") != c.allow {
			t.Errorf("%s %s: Allow is %q", c.method, c.path, r.header.Get("Allow"))
		}
	}
	for _, path := range []string{"/api/workers/", worker + "/", worker + "/x", worker + "/probe/x", "/api/workers/banana", "/api/workers/" + gatewayID} {
		g.do("GET", path, "").problem(t, 404, "not_found")
	}
	g.do("POST", "/api/workers/banana/probe", "").problem(t, 404, "not_found")
	g.do("PATCH", "/api/workers/banana", "{}").problem(t, 404, "not_found")
	g.do("PUT", "/api/workers/"+gatewayID+"/conformance", `{"level":"core"}`).problem(t, 404, "not_found")
	if r := g.do("HEAD", worker, ""); r.status != 200 || len(r.body) != 0 || r.header.Get("ETag") != `"1"` {
		t.Errorf("HEAD: %d %v", r.status, r.header)
	}
	for _, q := range []string{worker + "?x=1", worker + "/probe?x=1"} {
		method := "GET"
		if strings.Contains(q, "probe") {
			method = "POST"
		}
		g.do(method, q, "").problem(t, 400, "invalid_request")
	}
}

// TestDescriptionIsServed beside the calls, behind the same guard.
func TestDescriptionIsServed(t *testing.T) {
	g := newGateway(t, false)
	for range 2 {
		r := g.do("GET", "/api/openapi.json", "")
		if r.status != 200 || r.json(t)["openapi"] != "3.1.0" || r.json(t)["info"].(map[string]any)["version"] != "1.2.3" {
			t.Errorf("got %d %s", r.status, r.body)
		}
	}
	g.do("GET", "/api/openapi.json", "", "Authorization", "-").problem(t, 401, "invalid_token")
	g.do("POST", "/api/openapi.json", "{}").problem(t, 405, "method_not_allowed")
}

// TestGateComesFirst: without the right to, nothing is learned of what is there
// and of what is wrong with a body.
func TestGateComesFirst(t *testing.T) {
	g := newGateway(t, false)
	for _, path := range []string{"/api/workers", "/api/workers/x", "/api/workers/x/probe", "/api/workers/x/conformance", "/api/workers/x/y/z"} {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			r := g.do(method, path, "{", "Authorization", "-")
			r.problem(t, 401, "invalid_token")
			if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("headers are %v", r.header)
			}
		}
	}
	w := newWorker(t)
	g.do("POST", "/api/workers", w.body()).must(t, 201)
	g.do("POST", "/api/workers", "{", "Authorization", "Bearer alice").problem(t, 403, "denied")
	for _, c := range []struct{ method, path string }{
		{"GET", ""}, {"PATCH", ""}, {"DELETE", ""}, {"POST", "/probe"}, {"PUT", "/conformance"},
	} {
		const gone = "aaaaaaaa-0000-4000-8000-ffffffffffff"
		hidden := g.do(c.method, "/api/workers/"+w.uuid+c.path+"?x=1", "{", "Authorization", "Bearer alice")
		hidden.problem(t, 404, "not_found")
		for _, who := range []string{"alice", "admin"} { // to whom it is not there
			body := map[string]string{"PATCH": `{}`, "PUT": `{"level":"none"}`}[c.method]
			r := g.do(c.method, "/api/workers/"+gone+c.path, body, "Authorization", "Bearer "+who)
			r.problem(t, 404, "not_found")
			if got := strings.ReplaceAll(string(r.body), gone, w.uuid); got != string(hidden.body) {
				t.Errorf("%s, by %s: %s and %s", c.method, who, got, hidden.body)
			}
		}
	}
}

func TestConformanceMistakes(t *testing.T) {
	g, w := newGateway(t, false), newWorker(t)
	g.do("POST", "/api/workers", w.body()).must(t, 201)
	path := "/api/workers/" + w.uuid + "/conformance"
	g.do("PUT", path, `{}`).problem(t, 422, "bad_request", "bad_request /level")
	g.do("PUT", path, `{"level":1}`).problem(t, 422, "bad_request", "bad_request /level")
	g.do("PUT", path, `{"level":"best","at":"x","more":1}`).problem(t, 422, "bad_request", "bad_request /at", "bad_request /more", "bad_request /level")
	g.do("PUT", path, `{"level":"core","version":"0.9"}`).problem(t, 409, "version_changed")
	g.do("PUT", path, `{"level":"core"}`).must(t, 200)
}

// TestEveryReason registers a worker that misbehaves in each way of section 2.
func TestEveryReason(t *testing.T) {
	g := newGateway(t, false)
	good := `"class":"result","type":"ExternalGraphSecurity","uuid":"aaaaaaaa-0000-4000-8000-00000000ffff","version":"1"`
	say := func(status int, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		codes  []string
		says   string
	}{
		{"redirected", say(302, "", "Location", "/elsewhere"), []string{"redirected"}, "/elsewhere"},
		{"bad_status", say(404, "{}"), []string{"bad_status"}, "404"},
		{"too_large", say(200, strings.Repeat(" ", 70_000)), []string{"too_large"}, "65536"},
		{"not_json", say(200, "<html>"), []string{"not_json"}, "<html>"},
		{"empty_answer", say(200, ""), []string{"empty_answer"}, ""},
		{"missing_field", say(200, `{"class":"result"}`), []string{"missing_field"}, "version"},
		{"uuid_mismatch", say(200, strings.Replace("{"+good+"}", "ffff", "eeee", 1)), []string{"uuid_mismatch"}, "eeee"},
		{"bad uuid", say(200, strings.Replace("{"+good+"}", "-0000-4000", "", 1)), []string{"uuid_mismatch"}, ""},
		{"unsupported_class", say(200, strings.Replace("{"+good+"}", "result", "extract", 1)), []string{"unsupported_class"}, "extract"},
		{"unsupported_type", say(200, strings.Replace("{"+good+"}", "ExternalGraph", "Internal", 1)), []string{"unsupported_type"}, "ExternalGraphSecurity"},
		{"all at once", say(200, `{"class":"x","type":"y","uuid":"z"}`), []string{"missing_field", "uuid_mismatch", "unsupported_class", "unsupported_type"}, "version"},
		{"timeout", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, []string{"timeout"}, "2s"},
		{"unreachable", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, []string{"unreachable"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(c.answer)
			defer srv.Close()
			r := g.do("POST", "/api/workers", fmt.Sprintf(`{"url":%q,"uuid":"aaaaaaaa-0000-4000-8000-00000000ffff"}`, srv.URL+"/f"))
			p := r.problem(t, 422, c.codes[0])
			var got []string
			for _, v := range p.Errors {
				got = append(got, v.Code)
			}
			if strings.Join(got, " ") != strings.Join(c.codes, " ") || !bytes.Contains(r.body, jsonText(c.says)) {
				t.Errorf("got %s, want %v saying %q", r.body, c.codes, c.says)
			}
		})
	}
	refuse := func(url, code string) {
		t.Helper()
		g.do("POST", "/api/workers", `{"url":"`+url+`","uuid":"aaaaaaaa-0000-4000-8000-00000000ffff"}`).problem(t, 422, code)
	}
	refuse("http://169.254.169.254/", "address_refused")
	refuse("http://127.0.0.2:80/", "address_refused")
	refuse("grpc://127.0.0.2:80", "address_refused")
	refuse("http://nobody.invalid/", "unreachable")
	plain := newWorker(t)
	refuse(strings.Replace(strings.TrimSuffix(plain.url, "/filter"), "http", "grpc", 1), "unreachable")
}

// jsonText is s as it stands inside a JSON string.
func jsonText(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return b[1 : len(b)-1]
}

// TestSlowBody: a body that dribbles in does not hold a connection for good.
func TestSlowBody(t *testing.T) {
	g := newGateway(t, false)
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(conn, "POST /api/workers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 200)
	n, err := conn.Read(buf)
	if err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 400 ") {
		t.Errorf("got %q, %v", buf[:n], err)
	}
}

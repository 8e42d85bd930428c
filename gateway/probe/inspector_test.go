package probe_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/probe"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

const (
	workerID = "3f2b8c1e-0000-4000-8000-000000000001"
	goodInfo = `{"class":"result","type":"ExternalGraphSecurity","uuid":"` + workerID + `","version":"1.0.0"}`
)

func ok(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func TestInspectAsksAsTheContractSays(t *testing.T) {
	w := serveRaw(t, ok(goodInfo), false)
	info, took, err := inspector(probe.InspectorConfig{}).Measure(t.Context(),
		"http://"+w.addr+"/api/filter?x=1", registry.TransportREST)
	if err != nil {
		t.Fatal(err)
	}
	want := registry.Info{Class: "result", Type: "ExternalGraphSecurity", ID: workerID, Version: "1.0.0"}
	if info != want || took <= 0 {
		t.Errorf("got %+v after %s, want %+v", info, took, want)
	}
	reqs := w.seen()
	if len(reqs) != 1 {
		t.Fatalf("%d requests, want 1", len(reqs))
	}
	r := reqs[0]
	if r.Method != http.MethodGet || r.URL.String() != "/" || r.Host != w.addr {
		t.Errorf("asked %s %s of %s", r.Method, r.URL, r.Host)
	}
	if r.Header.Get("Authorization") != "" || r.Header.Get("Accept-Encoding") != "identity" {
		t.Errorf("headers are %v", r.Header)
	}
}

// TestEveryWayToMisbehave has one worker for each code of section 2 that the
// network part gives, answering on the wire as such workers do.
func TestEveryWayToMisbehave(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\n"
	for _, c := range []struct {
		name, answer string
		hold         bool
		code         string
		says         []string
	}{
		{"moved", "HTTP/1.1 301 Moved Permanently\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", false, "redirected", []string{"301", "http://127.0.0.1:1/"}},
		{"see other", "HTTP/1.1 303 See Other\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", false, "redirected", []string{"303"}},
		{"permanent", "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://x\u202e/\r\nContent-Length: 0\r\n\r\n", false, "redirected", []string{`\u202e`}},
		{"not modified", "HTTP/1.1 304 Not Modified\r\n\r\n", false, "bad_status", []string{"304"}},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", false, "bad_status", []string{"204"}},
		{"created", "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}", false, "bad_status", []string{"201"}},
		{"wants a token", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", false, "bad_status", []string{"401"}},
		{"broken", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", false, "bad_status", []string{"500"}},
		{"empty", ok(""), false, "empty_answer", nil},
		{"blank", ok(" \n\t"), false, "empty_answer", nil},
		{"announces too much", head + "Content-Length: 65537\r\n\r\n" + strings.Repeat(" ", 65537), false, "too_large", []string{"65536"}},
		{"chunks too much", head + "Transfer-Encoding: chunked\r\n\r\n20000\r\n" + strings.Repeat(" ", 0x20000) + "\r\n0\r\n\r\n", false, "too_large", nil},
		{"sends too much until closed", head + "Connection: close\r\n\r\n" + strings.Repeat("[", 70000), false, "too_large", nil},
		{"html", ok("<html>\x1b[2J</html>"), false, "not_json", []string{`<html>\\x1b[2J`}},
		{"an array", ok("[]"), false, "not_json", nil},
		{"a string", ok(`"hello"`), false, "not_json", nil},
		{"null", ok("null"), false, "not_json", nil},
		{"trailing bytes", ok(goodInfo + "x"), false, "not_json", nil},
		{"two objects", ok(goodInfo + goodInfo), false, "not_json", nil},
		{"a duplicate name", ok(`{"class":"result",` + goodInfo[1:]), false, "not_json", nil},
		{"a duplicate under an escape", ok(`{"\u0063lass":"auth",` + goodInfo[1:]), false, "not_json", nil},
		{"a duplicate further in", ok(`{"x":{"a":1,"a":2},` + goodInfo[1:]), false, "not_json", nil},
		{"broken UTF-8", ok("{\"x\":\"\xff\"," + goodInfo[1:]), false, "not_json", nil},
		{"a byte order mark", ok("\ufeff" + goodInfo), false, "not_json", nil},
		{"unfinished", ok(goodInfo[:20]), false, "not_json", nil},
		{"compressed", head + "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", false, "not_json", []string{"gzip"}},
		{"nothing in it", ok("{}"), false, "missing_field", []string{"class (absent)", "type (absent)", "uuid (absent)", "version (absent)"}},
		{"other spelling", ok(`{"class":"result","type":"T","uuid":"u","Version":"1"}`), false, "missing_field", []string{"version (absent)"}},
		{"empty, null, number", ok(`{"class":"","type":null,"uuid":5,"version":"1"}`), false, "missing_field", []string{"class (empty)", "type (null)", "uuid (not a string)"}},
		{"objects", ok(`{"class":{},"type":[],"uuid":true,"version":1.5}`), false, "missing_field", []string{"class (not a string)", "type", "uuid", "version"}},
		{"hangs before the head", "", true, "timeout", []string{"300ms"}},
		{"hangs in the body", head + "Content-Length: 100\r\n\r\n{", true, "timeout", nil},
		{"hangs up", "", false, "unreachable", nil},
		{"breaks off", head + "Content-Length: 100\r\n\r\n{", false, "unreachable", []string{"broke off after 1 byte"}},
		{"breaks off a chunk", head + "Transfer-Encoding: chunked\r\n\r\n64\r\n{", false, "unreachable", nil},
		{"is no HTTP server", "220 smtp.test ESMTP\r\n", false, "unreachable", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := probe.InspectorConfig{}
			if c.hold {
				cfg.Timeout = 300 * time.Millisecond
			}
			w := serveRaw(t, c.answer, c.hold)
			_, err := inspector(cfg).Inspect(t.Context(), "http://"+w.addr+"/x", registry.TransportREST)
			mustRefuse(t, err, c.code, c.says...)
			if n := len(w.seen()); n != 1 {
				t.Errorf("%d requests were sent, want 1", n)
			}
		})
	}
}

func mustRefuse(t *testing.T, err error, code string, says ...string) *fault.Error {
	t.Helper()
	e := fault.From(err)
	if e == nil || e.Code != code || e.Kind != fault.Unprocessable {
		t.Fatalf("got %v, want %s", err, code)
	}
	if len(e.Violations) == 0 || e.Violations[0].Code != code || e.Violations[0].Pointer != "/url" || e.Violations[0].Detail != e.Detail {
		t.Errorf("violations are %+v", e.Violations)
	}
	for _, s := range says {
		if !strings.Contains(e.Detail, s) {
			t.Errorf("the detail does not say %q: %s", s, e.Detail)
		}
	}
	if strings.ContainsAny(e.Detail, "\x1b\n\r\x00") {
		t.Errorf("the detail holds control characters: %q", e.Detail)
	}
	return e
}

// TestPartialAnswer: what can be read is returned beside missing_field, so that
// everything that is wrong can be said at once.
func TestPartialAnswer(t *testing.T) {
	w := serveRaw(t, ok(`{"class":"other","uuid":"not a uuid"}`), false)
	info, err := inspector(probe.InspectorConfig{}).Inspect(t.Context(), "http://"+w.addr, registry.TransportREST)
	mustRefuse(t, err, "missing_field", "type", "version")
	if info.Class != "other" || info.ID != "not a uuid" {
		t.Errorf("got %+v", info)
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	_ = l.Close()
	i := inspector(probe.InspectorConfig{})
	_, err = i.Inspect(t.Context(), "http://"+closed, registry.TransportREST)
	mustRefuse(t, err, "unreachable")
	_, err = i.Inspect(t.Context(), "grpc://"+closed, registry.TransportGRPC)
	mustRefuse(t, err, "unreachable")
	_, err = i.Inspect(t.Context(), "http://nobody.invalid:80", registry.TransportREST)
	mustRefuse(t, err, "unreachable", "nobody.invalid")
}

func TestRefusedAddress(t *testing.T) {
	w := serveRaw(t, ok(goodInfo), false)
	i := inspector(probe.InspectorConfig{})
	_, port, err := net.SplitHostPort(w.addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{"http://127.0.0.2:" + port, "http://169.254.169.254/latest/meta-data", "https://[::ffff:169.254.169.254]/", "http://0.0.0.0:" + port} {
		_, err := i.Inspect(t.Context(), u, registry.TransportREST)
		mustRefuse(t, err, "address_refused")
	}
	_, err = i.Inspect(t.Context(), "grpc://127.0.0.2:"+port, registry.TransportGRPC)
	mustRefuse(t, err, "address_refused", "127.0.0.2")
	if n := len(w.seen()); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// TestNoProxy: a proxy of the environment never sees a worker call.
func TestNoProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("the proxy was asked for %s", r.URL)
	}))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	w := serveRaw(t, ok(goodInfo), false)
	if _, err := inspector(probe.InspectorConfig{}).Inspect(t.Context(), "http://"+w.addr, registry.TransportREST); err != nil {
		t.Fatal(err)
	}
}

// TestCallerGone: the end of the caller is not a finding about the worker.
func TestCallerGone(t *testing.T) {
	w := serveRaw(t, "", true)
	for _, c := range []struct{ url, transport string }{{"http://" + w.addr, "rest"}, {"grpc://" + w.addr, "grpc"}} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := inspector(probe.InspectorConfig{}).Inspect(ctx, c.url, registry.Transport(c.transport))
		cancel()
		if e := fault.From(err); e == nil || e.Kind != fault.Timeout {
			t.Errorf("%s: got %v, want the kind timeout", c.url, err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if _, err = inspector(probe.InspectorConfig{}).Inspect(ctx, c.url, registry.Transport(c.transport)); fault.From(err).Kind != fault.Cancelled {
			t.Errorf("%s: got %v, want the kind cancelled", c.url, err)
		}
	}
}

func TestUnfitURLs(t *testing.T) {
	i := inspector(probe.InspectorConfig{})
	for _, c := range []struct{ url, transport, code string }{
		{"::", "rest", "bad_url"}, {"/x", "rest", "bad_url"}, {"ftp://h/", "rest", "bad_transport"},
		{"grpc://h:1", "rest", "bad_transport"}, {"http://h:1", "grpc", "bad_transport"},
	} {
		_, err := i.Inspect(t.Context(), c.url, registry.Transport(c.transport))
		mustRefuse(t, err, c.code)
	}
}

func FuzzReadInfo(f *testing.F) {
	for _, s := range []string{goodInfo, "{}", "null", `{"class":"\u0000"}`, `{"class":1,"class":2}`, "\xff", `{"uuid":"` + strings.Repeat("x", 300) + `"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		info, err := probe.ReadInfo(body)
		if err == nil && (info.Class == "" || info.Type == "" || info.ID == "" || info.Version == "") {
			t.Fatalf("%q was taken although it lacks something", body)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x00\x1b\r\n") {
			t.Fatalf("%q makes an error with control characters: %q", body, err)
		}
	})
}

func TestPrintable(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain äöü", "plain äöü"}, {"a\x00b\x1b[0m\n", `a\x00b\x1b[0m\n`}, {"\u202ejson", `\u202ejson`},
		{"\xff\xfe", `\xff\xfe`}, {strings.Repeat("ä", 20), strings.Repeat("ä", 12) + "…"}, {"", ""},
	} {
		limit := 200
		if len(c.in) > 30 {
			limit = 12
		}
		if got := probe.Printable(c.in, limit); got != c.want {
			t.Errorf("%q became %q, want %q", c.in, got, c.want)
		}
	}
}

package edge_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// Every refusal has its status, its code, and a word on what to do; and what is
// said first is what is looked at first.
func TestFilterRefusals(t *testing.T) {
	r := setUp(t, 1<<30)
	r.cfg.MaxBody = 4 << 10
	addr := r.http(t)
	good := twoNodes()
	for _, c := range []struct {
		name, query, body string
		fields            []string
		status            int
		code, says        string
	}{
		{"no token", "", good, []string{"Authorization", ""}, 401, "invalid_token", "Authorization"},
		{"another scheme", "", good, []string{"Authorization", "Basic YTpi"}, 401, "invalid_token", "Bearer"},
		{"a bad token", "", good, []string{"Authorization", "Bearer mallory"}, 401, "invalid_token", "bad"},
		{"the token before all else", "?explain=7", "{", []string{"Authorization", "", "Content-Type", "text/plain"}, 401, "invalid_token", ""},
		{"explain", "?explain=7", good, nil, 400, "invalid_request", "explain"},
		{"no right to explain", "?explain=true", good, nil, 403, "explain_denied", ""},
		{"the right before the body", "?explain=true", "{", nil, 403, "explain_denied", ""},
		{"media type", "", good, []string{"Content-Type", "text/plain"}, 415, "unsupported_media_type", "application/json"},
		{"charset", "", good, []string{"Content-Type", "application/json; charset=latin1"}, 415, "unsupported_media_type", "UTF-8"},
		{"encoding", "", good, []string{"Content-Encoding", "gzip"}, 415, "unsupported_media_type", "Content-Encoding"},
		{"hops", "", good, []string{"Muster-Hops", "many"}, 400, "invalid_request", "Muster-Hops"},
		{"a loop", "", good, []string{"Muster-Hops", "9"}, 508, "loop_detected", ""},
		{"timeout", "", good, []string{"Request-Timeout", "soon"}, 400, "invalid_request", "Request-Timeout"},
		{"no JSON", "", "hello", nil, 400, "invalid_request", "byte 0"},
		{"empty", "", "", nil, 400, "invalid_request", "ends too early"},
		{"an element", "", strings.Replace(good, `"elementId":"n1"`, `"elementId":7`, 1), nil, 400, "invalid_request", "data[1]"},
		{"too large", "", good + strings.Repeat(" ", 4<<10), nil, 413, "too_large", "limits.maxBody"},
	} {
		a := post(t, addr, c.query, c.body, c.fields...)
		code, description, worker := a.contract(t)
		if a.status != c.status || code != c.code || !strings.Contains(description, c.says) || worker != nil {
			t.Errorf("%s: %d %s %q %v; want %d %s with %q", c.name, a.status, code, description, worker, c.status, c.code, c.says)
		}
		if challenged := a.header.Get("WWW-Authenticate"); (challenged != "") != (c.status == 401) {
			t.Errorf("%s: challenged with %q", c.name, challenged)
		}
		if a.header.Get("Muster-Decision") != "" || strings.Contains(a.body, "elementId\":\"n0") {
			t.Errorf("%s: a refusal holds more than its reason: %v %s", c.name, a.header, a.body)
		}
	}
	if n := r.count(t, "muster_requests_total", "401", "filter"); n != 4 {
		t.Errorf("counted %v refusals of tokens, want 4", n)
	}
	if n := r.count(t, "muster_requests_total", "200", "filter"); n != 0 {
		t.Errorf("counted %v good answers", n)
	}
}

// The bound of a body is the last byte that is taken, with and without a length.
func TestBodyLimitIsExact(t *testing.T) {
	r := setUp(t, 1<<30)
	body := twoNodes()
	r.cfg.MaxBody = int64(len(body))
	addr := r.http(t)
	for _, chunked := range []bool{false, true} {
		for _, c := range []struct {
			body   string
			status int
		}{{body, 200}, {body + " ", 413}, {body + strings.Repeat(" ", 300<<10), 413}} {
			var reader io.Reader = strings.NewReader(c.body)
			if chunked {
				reader = io.MultiReader(reader) // of a length that net/http does not know
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/api/graph-security/filter", reader)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer alice")
			if a := send(t, req); a.status != c.status {
				t.Errorf("chunked %v, %d bytes: %d %s, want %d", chunked, len(c.body), a.status, a.body, c.status)
			}
		}
	}
}

func TestFilterAnswers(t *testing.T) {
	url, _ := faulttest.REST(t, func(_, id string) faulttest.Verdict {
		switch id {
		case "n0":
			return faulttest.Verdict{Hide: true}
		case "n1":
			return faulttest.Verdict{Strip: []string{"secret"}}
		case "n2":
			return faulttest.Verdict{Mask: map[string]json.RawMessage{"name": json.RawMessage(`"*"`)}}
		}
		return faulttest.Verdict{}
	}, false)
	w := faulttest.Worker(1, url)
	w.Settings.Mask = true
	r := setUp(t, 1<<30, w)
	addr := r.http(t)
	body := `{"parameters":{"type":"nodes"},"data":[` + strings.Join([]string{
		faulttest.Node("n0"), faulttest.Node("n1"), faulttest.Node("n2"), faulttest.Node("n3"), faulttest.Node("n3"),
	}, ", ") + `]}`
	a := post(t, addr, "", body)
	if a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	id, err := uuid.Parse(a.header.Get("Muster-Decision"))
	if err != nil || id.Version() != 7 {
		t.Errorf("decision %q: %v", a.header.Get("Muster-Decision"), err)
	}
	for name, want := range map[string]string{
		"Muster-Revision": "7", "Muster-Complete": "true", "Cache-Control": "no-store", "Content-Type": "application/json",
		"Content-Length": fmt.Sprint(len(a.body)),
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	whole := faulttest.Node("n3")
	if !strings.Contains(a.body, whole+","+whole) && !strings.Contains(a.body, whole+", "+whole) || strings.Contains(a.body, "n0") ||
		strings.Contains(a.body, "s-n1") || !strings.Contains(a.body, `"name": "*"`) && !strings.Contains(a.body, `"name":"*"`) {
		t.Errorf("%s", a.body)
	}
	for verdict, want := range map[string]float64{"visible": 3, "hidden": 1, "stripped": 1, "masked": 1} {
		if n := r.count(t, "muster_elements_total", "nodes", verdict); n != want {
			t.Errorf("counted %v nodes %s, want %v", n, verdict, want)
		}
	}
	if n := r.count(t, "muster_request_seconds", "filter"); n != 1 {
		t.Errorf("timed %v requests", n)
	}
	explained := post(t, addr, "?explain=true", body, "Authorization", "Bearer admin")
	var out struct {
		Explain []struct{ ElementID, Verdict string }
	}
	if err := json.Unmarshal([]byte(explained.body), &out); err != nil || len(out.Explain) != 3 || out.Explain[0].Verdict != "hidden" {
		t.Errorf("%v %+v", err, out)
	}
}

// A failing worker's name, code and status reach the caller; what the inside says
// reaches the log alone.
func TestFailuresAreShownAndLogged(t *testing.T) {
	r := setUp(t, 1<<30)
	addr := r.http(t)
	body := twoNodes()
	r.fake.do(func(context.Context, *fanout.Call) error {
		return fault.New(fault.BadWorker, "worker_error", "worker clearance: it answered 500").By("u-1", "clearance").After(2500 * time.Millisecond).Wrap(errSecret)
	})
	a := post(t, addr, "", body)
	code, description, worker := a.contract(t)
	if a.status != 502 || code != "worker_error" || worker["uuid"] != "u-1" || worker["name"] != "clearance" || a.header.Get("Retry-After") != "3" ||
		!strings.Contains(description, "clearance") {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	r.fake.do(func(context.Context, *fanout.Call) error { return errSecret })
	b := post(t, addr, "", body)
	if code, _, _ := b.contract(t); b.status != 500 || code != "internal" {
		t.Errorf("%d %s", b.status, b.body)
	}
	for _, text := range []string{a.body, b.body} {
		if strings.Contains(text, errSecret.Error()) {
			t.Errorf("the inside is shown: %s", text)
		}
	}
	if n := strings.Count(r.log.String(), errSecret.Error()); n != 2 {
		t.Errorf("the causes are logged %d times, want twice: %s", n, r.log)
	}
	// A worker's own code may be anything, and a log holds neither tokens nor values.
	r.fake.do(func(context.Context, *fanout.Call) error {
		return fault.New(fault.Denied, "Bearer eyJhbGciOi", "clearance: no").By("u-1", "clearance")
	})
	if c := post(t, addr, "", body); c.status != 403 {
		t.Errorf("%d %s", c.status, c.body)
	}
	if strings.Contains(r.log.String(), "eyJhbGciOi") {
		t.Error("a worker's words are in the log")
	}
}

// A panic costs the request and nothing else: no place, no bytes, no count of
// requests in flight, which is what settled looks at.
func TestPanicGivesEverythingBack(t *testing.T) {
	r := setUp(t, 1<<30)
	addr := r.http(t)
	r.fake.do(func(context.Context, *fanout.Call) error { panic("in the pipeline") })
	for range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/api/graph-security/filter", strings.NewReader(twoNodes()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer alice")
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode < 500 {
				t.Errorf("answered %d", resp.StatusCode)
			}
		}
	}
	r.fake.do(nil)
	if a := post(t, addr, "", twoNodes()); a.status != 200 {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}

// Whoever retains a request's body has its bytes for himself until he lets go,
// although the request has been answered and others are read meanwhile.
func TestRetainedBodyIsNotReused(t *testing.T) {
	r := setUp(t, 1<<30)
	addr := r.http(t)
	var pin fanout.Pin
	var held []byte
	r.fake.do(func(_ context.Context, call *fanout.Call) error {
		if pin == nil {
			pin, held = call.Body, call.Request.Nodes.Raw(0)
			pin.Retain()
		}
		return nil
	})
	first := twoNodes()
	post(t, addr, "", first)
	want := bytes.Clone(held)
	other := strings.ReplaceAll(first, "Person", "Nobody") // of the same length
	for range 50 {
		if a := post(t, addr, "", other); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if !bytes.Equal(held, want) {
			t.Fatalf("the bytes changed under their holder: %s", held)
		}
	}
	pin.Release()
}

// raw sends bytes as they are and reads the answer's head and body.
func raw(t *testing.T, addr, text string, hold time.Duration) (status int, body string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if hold == 0 {
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		hold = 20 * time.Second
	}
	if err := c.SetReadDeadline(time.Now().Add(hold)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(content)
}

// A body that ends too early, or never, is the caller's to explain, within the
// request's own deadline.
func TestBodiesThatDoNotCome(t *testing.T) {
	r := setUp(t, 1<<30)
	addr := r.http(t)
	head := "POST /api/graph-security/filter HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n"
	if status, body := raw(t, addr, head+"Content-Length: 100\r\n\r\n{\"para", 0); status != 400 || !strings.Contains(body, "before its announced end") {
		t.Errorf("cut short: %d %s", status, body)
	}
	if status, body := raw(t, addr, head+"Transfer-Encoding: chunked\r\n\r\n5\r\n{\"par\r\n", 0); status != 400 || !strings.Contains(body, "before its announced end") {
		t.Errorf("chunks cut short: %d %s", status, body)
	}
	for what, framing := range map[string]string{"a length": "Content-Length: 100\r\n\r\n{\"pa", "chunks": "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"par\r\n"} {
		status, body := raw(t, addr, head+"Request-Timeout: 50ms\r\n"+framing, 20*time.Second)
		if status != 504 || !strings.Contains(body, "within the request's deadline") {
			t.Errorf("stalled with %s: %d %s", what, status, body)
		}
	}
}

// What a request will hold is reserved before it is read, and refused when there
// is no room for it.
func TestBytesInFlight(t *testing.T) {
	url, _ := faulttest.REST(t, func(string, string) faulttest.Verdict { return faulttest.Verdict{} }, false)
	body := twoNodes()
	n := int64(len(body))
	for _, c := range []struct {
		budget  int64
		workers []*registry.Worker
		status  int
	}{
		{n - 1, nil, 503},   // not even the body
		{n, nil, 503},       // the body, and not what is noted of it
		{n + n/2, nil, 200}, // both
		{n + n/2, []*registry.Worker{faulttest.Worker(1, url)}, 503},
		{n + n/2 + n + 4<<10, []*registry.Worker{faulttest.Worker(1, url)}, 200}, // and one reply
	} {
		r := setUp(t, c.budget, c.workers...)
		a := post(t, r.http(t), "", body)
		if a.status != c.status {
			t.Errorf("%d of %d bytes, %d workers: %d %s", c.budget, n, len(c.workers), a.status, a.body)
		}
		if c.status != 503 {
			continue
		}
		if code, _, _ := a.contract(t); code != "overloaded" || a.header.Get("Retry-After") != "1" || r.count(t, "muster_shed_total") != 1 {
			t.Errorf("%s %q, %v shed", code, a.header.Get("Retry-After"), r.count(t, "muster_shed_total"))
		}
	}
}

// Draining refuses what is new, everywhere, and says that another replica helps.
func TestDrainingRefuses(t *testing.T) {
	r := setUp(t, 1<<30)
	addr := r.http(t, routeOf(t, "fleet", http.NotFoundHandler()))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	r.d.Drain.Shut(ended, 0, 0)
	a := post(t, addr, "", twoNodes())
	if code, _, _ := a.contract(t); a.status != 503 || code != "draining" || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	b := send(t, get(t, addr, "/api/fleet", "alice"))
	if b.status != 503 || b.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(b.body, `"draining"`) {
		t.Errorf("%d %v %s", b.status, b.header, b.body)
	}
	if n := r.count(t, "muster_requests_total", "503", "fleet"); n != 1 {
		t.Errorf("counted %v", n)
	}
	// Who the gateway is does not depend on it.
	if c := send(t, get(t, addr, "/", "")); c.status != 200 {
		t.Errorf("%d %s", c.status, c.body)
	}
}

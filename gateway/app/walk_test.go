package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/config"
)

// walk is a gateway with a worker, a step and everybody who calls it.
type walk struct {
	*dev
	published
	walkers []*walker
	root    string // an administrator's token
	workers map[string]string
}

// startWalk starts it, with an issuer that knows everybody and a real store.
func startWalk(t *testing.T) *walk {
	t.Helper()
	issuer := issuerOf(t)
	store := filepath.Join(t.TempDir(), "muster.db")
	w := &walk{published: readPublished(t), walkers: gather(t, issuer, store), workers: map[string]string{}}
	w.dev = startOn(t, issuer, store, func(c *config.Config) { c.Ops.Pprof = true })
	for _, one := range w.walkers {
		if one.name == "admin by membership" {
			w.root = one.token
		}
	}
	a := startWorker(t, w.dev, restUUID, stripProperty("ssn"))
	w.workers[restUUID] = fmt.Sprintf(`{"url":"http://%s/api/filter","uuid":%q,"name":"strips"}`, a.REST, restUUID)
	loader := newTransformer(t)
	w.workers[loaderUUID] = fmt.Sprintf(`{"url":"%s/t","uuid":%q,"name":"loader"}`, loader.URL, loaderUUID)
	for _, body := range w.workers {
		w.mustCall(t, http.StatusCreated, http.MethodPost, "/api/workers", w.root, body)
	}
	w.mustCall(t, http.StatusCreated, http.MethodPut, stepsPath+"/nightly", w.root, fmt.Sprintf(
		`{"worker":%q,"client":{"id":%q,"secretFile":"loader"},"users":"all"}`, loaderUUID, devissuer.ClientLoader))
	return w
}

// theThings are the parameters of paths and messages: of what is there.
func theThings() map[string]string {
	return map[string]string{
		"{uuid}": restUUID, "{name}": "nightly", "{id}": "33333333-3333-4333-8333-333333333333",
		"{user_id}": "44444444-4444-4444-8444-444444444444", "{group_id}": "55555555-5555-4555-8555-555555555555", "{$}": "",
	}
}

// fill puts parameters into a pattern.
func fill(pattern string, params map[string]string) string {
	for name, value := range params {
		pattern = strings.ReplaceAll(pattern, name, url.PathEscape(value))
	}
	return pattern
}

// marked is a query that no call takes: who is let in is told so, and nothing more
// happens.
const marked = "?walk=1"

// request is how an endpoint over HTTP is asked without doing anything.
func (w *walk) request(e *endpoint, params map[string]string) (method, path string) {
	method, pattern, ok := strings.Cut(e.key, " ")
	if !ok {
		method, pattern = http.MethodGet, e.key
	}
	switch e.key {
	case "/":
		return http.MethodPost, "/nothing/here"
	case "GET /api/graph-access-rule/accessRules":
		return method, pattern + marked + "&createdBy=me" // for who was let in as a creator
	}
	return method, fill(pattern, params) + marked
}

var missing = regexp.MustCompile(`^(no worker with the uuid|there is no (rule transformation named|connector|dataset|plugin)) `)

// outcome tells a refusal by the gate from everything else.
func outcome(t *testing.T, resp *http.Response, body string) string {
	t.Helper()
	var problem struct{ Code, Error, Detail string }
	if resp.StatusCode >= 400 && json.Unmarshal([]byte(body), &problem) != nil {
		t.Fatalf("%d is no problem: %s", resp.StatusCode, body)
	}
	refused := resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden ||
		resp.StatusCode == http.StatusNotFound && missing.MatchString(problem.Detail)
	if !refused {
		return letIn
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, problem.Code+problem.Error)
}

func (w *walk) isGRPC(e *endpoint) bool {
	return strings.HasPrefix(e.key, "/") && strings.Contains(e.key, ".")
}

// TestEverybodyAtEveryEndpoint walks all routes and methods as everybody, and holds
// what comes back to the page of what every endpoint needs.
func TestEverybodyAtEveryEndpoint(t *testing.T) {
	w := startWalk(t)
	counts := map[string]int{}
	t.Run("http", func(t *testing.T) {
		for i := range w.endpoints {
			e := &w.endpoints[i]
			if w.isGRPC(e) {
				continue
			}
			if strings.Contains(e.notes, "operations listener") {
				w.walkOps(t, e)
				continue
			}
			method, path := w.request(e, theThings())
			for _, who := range w.walkers {
				resp, body := w.call(t, method, path, who.token, "")
				got, want := outcome(t, resp, body), w.expects(t, e, who, theThings())
				if got != want {
					t.Errorf("%s as %s: %s, want %s: %d %s", e.key, who.name, got, want, resp.StatusCode, body)
				}
				if got == letIn && !slices.Contains([]int{200, 400, 404, 405, 415}, resp.StatusCode) {
					t.Errorf("%s as %s did something: %d %s", e.key, who.name, resp.StatusCode, body)
				}
				counts[want]++
			}
		}
	})
	t.Run("grpc", func(t *testing.T) { w.walkGRPC(t, counts) })
	t.Logf("%d callers: %v", len(w.walkers), counts)
	for _, kind := range []string{letIn, "401 invalid_token", "401 user_deactivated", "403 denied", "403 insufficient_scope", "403 login_token_required", "404 not_found"} {
		if counts[kind] < 5 {
			t.Errorf("%q was expected %d times only: the walk proves little", kind, counts[kind])
		}
	}
	w.hides(t)
	w.remembers(t)
}

// remembers looks for refused changes in the audit log, which has them in the
// background.
func (w *walk) remembers(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for _, query := range []string{"action=worker.deleted&result=not_found", "action=rule_run.started&result=insufficient_scope"} {
		for body := ""; !strings.Contains(body, `"username"`); {
			if _, body = w.mustCall(t, http.StatusOK, http.MethodGet, "/api/admin/audit?limit=1&"+query, w.root, ""); time.Now().After(deadline) {
				t.Fatalf("%s: the audit log has %s", query, body)
			}
			select {
			case <-t.Context().Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// walkOps asks the operations listener, which takes no tokens.
func (w *walk) walkOps(t *testing.T, e *endpoint) {
	t.Helper()
	if e.needs != "nothing" {
		t.Errorf("%s needs %s", e.key, e.needs)
	}
	_, path, ok := strings.Cut(e.key, " ")
	if !ok {
		path = e.key
	}
	for _, token := range []string{"", w.root} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.ops+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", e.key, resp.StatusCode)
		}
	}
}

// others are like theThings, as long and not there.
func others() map[string]string {
	p := theThings()
	p["{uuid}"], p["{name}"] = "99999999-9999-4999-8999-999999999999", "nightlx"
	return p
}

// hides compares answers about what is there with those about what is not, for
// everybody who may see neither: they are the same, header fields included.
func (w *walk) hides(t *testing.T) {
	t.Helper()
	compared := 0
	there, gone := theThings(), others()
	restore := strings.NewReplacer(gone["{uuid}"], there["{uuid}"], gone["{name}"], there["{name}"])
	ask := func(e *endpoint, who *walker, params map[string]string) string {
		method, path := w.request(e, params)
		resp, body := w.call(t, method, path, who.token, "", "X-Request-Id", "same")
		resp.Header.Del("Date")
		return restore.Replace(fmt.Sprintf("%d %v %s", resp.StatusCode, resp.Header, body))
	}
	for i := range w.endpoints {
		e := &w.endpoints[i]
		if !strings.Contains(e.key, "{uuid}") && !strings.Contains(e.key, "{name}") {
			continue
		}
		for _, who := range w.walkers {
			if w.expects(t, e, who, there) == letIn || w.expects(t, e, who, gone) == letIn || w.seesThere(who, e) {
				continue
			}
			if a, b := ask(e, who, there), ask(e, who, gone); a != b {
				t.Errorf("%s as %s:\n%s\n%s", e.key, who.name, a, b)
			}
			compared++
		}
	}
	if compared < 200 {
		t.Errorf("%d pairs were compared", compared)
	}
}

// seesThere reports whether somebody may see the thing that a path is about, though
// not do this to it.
func (w *walk) seesThere(who *walker, e *endpoint) bool {
	return strings.Contains(e.key, "{uuid}") && w.may(who, "worker", restUUID, false) ||
		strings.Contains(e.key, "{name}") && w.may(who, "rule_step", "nightly", false)
}

package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	stepsPath  = "/api/rule-transformations"
	loaderUUID = "0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c77"
)

// transformer is a rule transformation's worker that is told what to do.
type transformer struct {
	*httptest.Server
	mu   sync.Mutex
	do   http.HandlerFunc
	got  []string // bodies
	auth string
}

func newTransformer(t *testing.T) *transformer {
	t.Helper()
	w := &transformer{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprintf(rw, `{"class":"result","type":"RuleTransformation","uuid":%q,"version":"1.0.0"}`, loaderUUID)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.mu.Lock()
		w.got = append(w.got, string(body))
		w.auth = r.Header.Get("Authorization")
		do := w.do
		w.mu.Unlock()
		do(rw, r)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *transformer) will(do http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.do = do
}

func (w *transformer) last() (body, auth string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.got) == 0 {
		return "", w.auth
	}
	return w.got[len(w.got)-1], w.auth
}

func (d *dev) mustCall(t *testing.T, status int, method, path, token, body string, header ...string) (*http.Response, string) {
	t.Helper()
	resp, got := d.call(t, method, path, token, body, header...)
	if resp.StatusCode != status {
		t.Fatalf("%s %s: %d, want %d: %s\n%s", method, path, resp.StatusCode, status, got, d.log)
	}
	return resp, got
}

// TestATransformationFromEndToEnd has a worker registered, a step stored, a run
// started, rules posted with the run's token, and the run's end told.
func TestATransformationFromEndToEnd(t *testing.T) {
	d := startDev(t, nil)
	admin := d.token(t, "admin")
	w := newTransformer(t)
	d.mustCall(t, http.StatusCreated, http.MethodPost, "/api/workers", admin,
		fmt.Sprintf(`{"url":"%s/api/transform","uuid":%q,"name":"loader"}`, w.URL, loaderUUID))
	d.mustCall(t, http.StatusCreated, http.MethodPut, stepsPath+"/nightly", admin, fmt.Sprintf(
		`{"worker":%q,"client":{"id":"rule-loader","secretFile":"rule-loader"},"users":"all","groups":["/engineering","gone"],"clients":"all","entities":"all"}`, loaderUUID))
	w.will(func(rw http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://"+d.http+"/api/graph-access-rule/accessRules",
			strings.NewReader(`{"ruleCreationStrategy":"DeleteAllForUser","rules":[{"name":"loader-1","users":["alice"],"entities":[{"id":414,"properties":[]}]}]}`))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Authorization", r.Header.Get("Authorization"))
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			said, _ := io.ReadAll(resp.Body)
			t.Errorf("the post: %d %s", resp.StatusCode, said)
		}
		fmt.Fprint(rw, `{"message":"1 rule posted"}`)
	})
	resp, body := d.mustCall(t, http.StatusOK, http.MethodPost, stepsPath+"/nightly/runs?wait=30s", admin, "", "Idempotency-Key", "k1")
	var run struct {
		ID, State, Message string
		Rules              struct{ Created int }
		Log                []struct{ Text string }
		Attempts           []struct{ Status int }
	}
	if err := json.Unmarshal([]byte(body), &run); err != nil {
		t.Fatal(err)
	}
	if run.State != "succeeded" || run.Message != "1 rule posted" || run.Rules.Created != 1 || len(run.Attempts) != 1 || run.Attempts[0].Status != 200 {
		t.Errorf("%s\n%s", body, d.log)
	}
	if want := stepsPath + "/nightly/runs/" + run.ID; resp.Header.Get("Location") != want {
		t.Errorf("Location %q, want %q", resp.Header.Get("Location"), want)
	}
	given, auth := w.last()
	var got map[string][]any
	if err := json.Unmarshal([]byte(given), &got); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for k := range got {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	if strings.Join(keys, " ") != "clients entities groups users" || fmt.Sprint(got["groups"]) != "[/engineering]" ||
		fmt.Sprint(got["users"]) != "[admin alice bob]" || !strings.Contains(fmt.Sprint(got["clients"]), "service-account-rule-loader") {
		t.Errorf("the worker was given %s", given)
	}
	// The same key gives the same run, and the token is dead.
	d.mustCall(t, http.StatusAccepted, http.MethodPost, stepsPath+"/nightly/runs", admin, "", "Idempotency-Key", "k1")
	late, said := d.call(t, http.MethodPost, "/api/graph-access-rule/accessRules", strings.TrimPrefix(auth, "Bearer "),
		`{"rules":[{"name":"late","users":["alice"],"entities":[{"id":414,"properties":[]}]}]}`)
	if late.StatusCode != http.StatusConflict || !strings.Contains(said, "run_ended") {
		t.Errorf("a post after the end: %d %s", late.StatusCode, said)
	}
	_, text := d.mustCall(t, http.StatusOK, http.MethodGet, stepsPath+"/nightly/runs/"+run.ID+"/log?follow=true", admin, "")
	if !strings.Contains(text, "attempt 1 succeeded: 1 rule posted") || !strings.Contains(text, "gone") {
		t.Errorf("log: %s", text)
	}
	testFailingTransformation(t, d, w, admin)
}

// testFailingTransformation has the worker refuse.
func testFailingTransformation(t *testing.T, d *dev, w *transformer, admin string) {
	t.Helper()
	w.will(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(rw, `{"description":"the source is down","error":"source_down"}`)
	})
	resp, body := d.mustCall(t, http.StatusBadGateway, http.MethodPost, stepsPath+"/nightly/runs?wait=30s", admin, "")
	var p struct {
		Code, Detail string
		Run          struct{ State string }
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil || p.Code != "run_failed" || p.Detail != "source_down: the source is down" || p.Run.State != "failed" {
		t.Errorf("%v %s", resp.Header, body)
	}
	if resp, body := d.call(t, http.MethodPost, stepsPath+"/nightly/runs", d.token(t, "alice"), ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("alice starts a run: %d %s", resp.StatusCode, body)
	}
	// Her group is given the step, by the path that her token has.
	d.grant(t, "/engineering", "rule_step", "nightly")
	if resp, body := d.call(t, http.MethodPost, stepsPath+"/nightly/runs?wait=30s", d.token(t, "alice"), ""); resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "source_down") {
		t.Errorf("alice, who was granted the step, starts a run: %d %s", resp.StatusCode, body)
	}
}

// grant makes a group and grants it something.
func (d *dev) grant(t *testing.T, group, typ, resource string) {
	t.Helper()
	admin := d.token(t, "admin")
	_, body := d.mustCall(t, http.StatusCreated, http.MethodPost, "/api/admin/groups", admin, fmt.Sprintf(`{"name":%q}`, group))
	var made struct{ ID string }
	if err := json.Unmarshal([]byte(body), &made); err != nil {
		t.Fatal(err)
	}
	d.mustCall(t, http.StatusCreated, http.MethodPost, "/api/admin/grants", admin,
		fmt.Sprintf(`{"group_id":%q,"resource_type":%q,"resource_id":%q}`, made.ID, typ, resource))
}

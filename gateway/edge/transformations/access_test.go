package transformations_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestWhoMayDoWhat(t *testing.T) {
	b := newBench(t)
	b.call(http.MethodPut, "/s", plain).want(t, http.StatusCreated)
	for _, c := range []struct {
		method, path, body, who string
		status                  int
	}{
		{http.MethodPut, "/s", plain, "runner", 403}, {http.MethodGet, "/s", "", "runner", 403}, {http.MethodDelete, "/s", "", "runner", 403},
		{http.MethodPost, "/s/runs", "", "alice", 404}, {http.MethodGet, "/s/runs", "", "alice", 404}, {http.MethodGet, "", "", "alice", 200},
		{http.MethodPost, "/s/runs", "", "", 401}, {http.MethodGet, "/none", "", "", 401}, {http.MethodPut, "/s", "{", "", 401},
		{http.MethodPost, "/s/runs", "", "runner", 202}, {http.MethodGet, "/s", "", "admin", 200},
	} {
		b.call(c.method, c.path, c.body, "Authorization", c.who).want(t, c.status)
	}
}

// Who may run steps sees that they are there, and not how they are set up; a step
// that one may not run is one that is not there.
func TestWhoSeesWhichSteps(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"a", "s", "z"} {
		b.call(http.MethodPut, "/"+name, plain).want(t, http.StatusCreated)
	}
	r := b.call(http.MethodGet, "", "", "Authorization", "runner").want(t, http.StatusOK, `"name":"s"`)
	for _, hidden := range []string{`"a"`, `"z"`, "secretFile", uuid, `"entities"`} {
		if strings.Contains(r.body, hidden) {
			t.Errorf("a runner is shown %s: %s", hidden, r.body)
		}
	}
	if r := b.call(http.MethodGet, "", "", "Authorization", "alice").want(t, http.StatusOK); !strings.HasPrefix(r.body, `{"items":[],"nextCursor":""}`) {
		t.Errorf("alice is shown %s", r.body)
	}
	var seen []string
	for cursor := ""; ; {
		var page struct {
			Items      []struct{ Name, Worker string }
			NextCursor string
		}
		r := b.call(http.MethodGet, "?limit=1&cursor="+cursor, "").want(t, http.StatusOK)
		if err := json.Unmarshal([]byte(r.body), &page); err != nil {
			t.Fatal(err)
		}
		for _, s := range page.Items {
			seen = append(seen, s.Name)
			if s.Worker != uuid {
				t.Errorf("an administrator is not shown how %s is set up", s.Name)
			}
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if strings.Join(seen, "") != "asz" {
		t.Errorf("%v", seen)
	}
	id := string(b.call(http.MethodPost, "/z/runs", "").want(t, http.StatusAccepted).id(t))
	for _, c := range []struct{ method, path string }{
		{http.MethodPost, "/%s/runs"}, {http.MethodGet, "/%s/runs"}, {http.MethodGet, "/%s/runs/" + id},
		{http.MethodPost, "/%s/runs/" + id + ":cancel"}, {http.MethodGet, "/%s/runs/" + id + "/log"},
	} {
		there := b.call(c.method, fmt.Sprintf(c.path, "z"), "", "Authorization", "alice").want(t, http.StatusNotFound)
		gone := b.call(c.method, fmt.Sprintf(c.path, "q"), "", "Authorization", "alice").want(t, http.StatusNotFound)
		if strings.ReplaceAll(gone.body, `\"q\"`, `\"z\"`) != there.body {
			t.Errorf("%s %s: %s and %s", c.method, c.path, there.body, gone.body)
		}
	}
	start := b.call(http.MethodPost, "/none/runs", "", "Authorization", "runner").want(t, http.StatusNotFound)
	if hidden := b.call(http.MethodPost, "/none/runs", "", "Authorization", "alice").want(t, http.StatusNotFound); hidden.body != start.body {
		t.Errorf("%s and %s", hidden.body, start.body)
	}
}

package fault

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestWriteProblem(t *testing.T) {
	e := New(Unprocessable, "bad_url", "the url has a fragment").By("u", "east")
	e.Violations = []Violation{{"bad_url", "/url", "the url has a fragment"}, {"bad_settings", "/settings/timeout", "too long"}}
	rec := httptest.NewRecorder()
	e.Wrap(errors.New(secret)).WriteProblem(rec)

	if rec.Code != http.StatusUnprocessableEntity {
		t.Errorf("status %d", rec.Code)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/problem+json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := rec.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if strings.Contains(rec.Body.String(), secret) {
		t.Errorf("the body tells the cause: %s", rec.Body)
	}
	var got Problem
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, e.Problem()) {
		t.Errorf("got %+v, want %+v", got, e.Problem())
	}
	if got.Type != "about:blank" || got.Title != "Unprocessable Entity" || got.Status != rec.Code || len(got.Errors) != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestWriteContract(t *testing.T) {
	rec := httptest.NewRecorder()
	New(BadWorker, "worker_violation", "it answered something else").By("u", "east").Wrap(errors.New(secret)).WriteContract(rec)
	want := `{"description":"it answered something else","error":"worker_violation","worker":{"uuid":"u","name":"east"}}` + "\n"
	if rec.Code != http.StatusBadGateway || rec.Body.String() != want || rec.Header().Get("Content-Type") != "application/json" {
		t.Errorf("got %d %s %s", rec.Code, rec.Header().Get("Content-Type"), rec.Body)
	}

	rec = httptest.NewRecorder()
	New(Invalid, "invalid_request", "no data").WriteContract(rec)
	if want := `{"description":"no data","error":"invalid_request"}` + "\n"; rec.Body.String() != want {
		t.Errorf("without a worker there is no such member: %s", rec.Body)
	}
}

func TestChallenge(t *testing.T) {
	rec := httptest.NewRecorder()
	New(Unauthenticated, "invalid_token", "expired").WriteContract(rec)
	if got := rec.Header().Get("WWW-Authenticate"); got != `Bearer realm="muster", error="invalid_token"` {
		t.Errorf("challenge %q", got)
	}
	rec = httptest.NewRecorder()
	rec.Header().Set("WWW-Authenticate", "Bearer")
	New(Unauthenticated, "invalid_token", "missing").WriteContract(rec)
	if got := rec.Header().Values("WWW-Authenticate"); len(got) != 1 || got[0] != "Bearer" {
		t.Errorf("a challenge that was set before is replaced: %q", got)
	}
	rec = httptest.NewRecorder()
	New(Denied, "denied", "").WriteContract(rec)
	if got := rec.Header().Get("WWW-Authenticate"); got != "" {
		t.Errorf("a denial challenges: %q", got)
	}
}

// Waiting less than asked would be another refusal, so seconds are rounded up.
func TestRetryAfterIsRoundedUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wait := time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "wait"))
		rec := httptest.NewRecorder()
		New(Unavailable, "overloaded", "").After(wait).WriteProblem(rec)
		seconds, err := time.ParseDuration(rec.Header().Get("Retry-After") + "s")
		if err != nil {
			t.Fatal(err)
		}
		if seconds < wait || seconds-wait >= time.Second || seconds < time.Second {
			t.Fatalf("%s becomes %s", wait, seconds)
		}
	})
	for _, wait := range []time.Duration{0, -time.Second} {
		rec := httptest.NewRecorder()
		New(Unavailable, "overloaded", "").After(wait).WriteProblem(rec)
		if got := rec.Header().Get("Retry-After"); got != "" {
			t.Errorf("a wait of %s is sent as %q", wait, got)
		}
	}
}

func TestClientClosedHasATitle(t *testing.T) {
	if p := New(Cancelled, "cancelled", "").Problem(); p.Status != StatusClientClosed || p.Title == "" {
		t.Errorf("got %+v", p)
	}
}

package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"
)

const secret = "hunter2-of-alice"

func TestFrom(t *testing.T) {
	own := New(Conflict, "url_taken", "taken")
	cases := []struct {
		name string
		err  error
		kind Kind
		code string
	}{
		{"own", own, Conflict, "url_taken"},
		{"wrapped own", fmt.Errorf("register: %w", own), Conflict, "url_taken"},
		{"deadline", context.DeadlineExceeded, Timeout, "timeout"},
		{"wrapped deadline", &url.Error{Op: "Get", URL: "http://" + secret, Err: context.DeadlineExceeded}, Timeout, "timeout"},
		{"cancelled", context.Canceled, Cancelled, "cancelled"},
		{"wrapped cancelled", fmt.Errorf("ask: %w", context.Canceled), Cancelled, "cancelled"},
		{"anything else", errors.New(secret), Internal, "internal"},
		{"joined", errors.Join(io.EOF, own), Conflict, "url_taken"},
		// A fault decides even when its own cause is a context error.
		{"own over context", own.Wrap(context.Canceled), Conflict, "url_taken"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := From(c.err)
			if got.Kind != c.kind || got.Code != c.code {
				t.Fatalf("got %s %s, want %s %s", got.Kind, got.Code, c.kind, c.code)
			}
			if strings.Contains(got.Detail, secret) {
				t.Errorf("the detail tells the cause: %q", got.Detail)
			}
			if !errors.Is(got, c.err) && got != own {
				t.Errorf("the cause is lost: %v", got)
			}
		})
	}
	if From(nil) != nil {
		t.Error("From(nil) is not nil")
	}
}

func TestErrorText(t *testing.T) {
	e := New(Timeout, "worker_timeout", "no answer within %s", "2s")
	if got, want := e.Error(), "worker_timeout: no answer within 2s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	e = e.By("0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11", "east")
	if got, want := e.Error(), "worker_timeout: worker east (0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11): no answer within 2s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := New(Internal, "internal", "").Error(), "internal"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := e.Wrap(errors.New(secret)).Error(); strings.Contains(got, secret) {
		t.Errorf("the text tells the cause: %q", got)
	}
}

// An error may be a shared variable: what is derived from it must not change it.
func TestDerivingCopies(t *testing.T) {
	base := New(Unavailable, "overloaded", "too much at once")
	cause := errors.New("full")
	derived := base.By("u", "n").After(time.Second).Wrap(cause)
	if base.Worker != nil || base.RetryAfter != 0 || base.Unwrap() != nil {
		t.Errorf("the original changed: %+v", base)
	}
	if derived.Worker == nil || derived.RetryAfter != time.Second || !errors.Is(derived, cause) {
		t.Errorf("something was lost on the way: %+v", derived)
	}
	if base.Unwrap() != nil {
		t.Error("an error without cause unwraps to something")
	}
}

func TestIs(t *testing.T) {
	err := fmt.Errorf("change: %w", New(Conflict, "uuid_taken", ""))
	if !Is(err, "uuid_taken") {
		t.Error("the code is not found in the chain")
	}
	if Is(err, "url_taken") || Is(io.EOF, "uuid_taken") || Is(nil, "uuid_taken") {
		t.Error("a code is found that is not there")
	}
}

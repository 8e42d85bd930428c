package fault

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"
)

// anyError draws an error as it may leave a process. gRPC carries text as UTF-8.
func anyError(t *rapid.T) *Error {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("aZ09_ -/~\"\\äß漢🙂\n")), 0, 40, -1)
	e := New(Kind(rapid.IntRange(0, int(kinds)-1).Draw(t, "kind")), rapid.StringMatching(`[a-z][a-z_]{0,30}`).Draw(t, "code"),
		"%s", text.Draw(t, "detail"))
	if rapid.Bool().Draw(t, "worker") {
		e = e.By(rapid.StringMatching(`[0-9a-f]{8}`).Draw(t, "uuid"), text.Draw(t, "name"))
	}
	e = e.After(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "after")))
	for range rapid.IntRange(0, 3).Draw(t, "violations") {
		e.Violations = append(e.Violations, Violation{
			Code: rapid.StringMatching(`[a-z_]{1,20}`).Draw(t, "vcode"), Pointer: "/" + text.Draw(t, "pointer"), Detail: text.Draw(t, "vdetail"),
		})
	}
	return e
}

func TestGRPCRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := anyError(t)
		st := sent.GRPCStatus()
		if st.Code() != sent.Kind.GRPCCode() || st.Message() != sent.Detail {
			t.Fatalf("sent as %s %q", st.Code(), st.Message())
		}
		got, ok := FromGRPC(st.Err())
		if !ok {
			t.Fatal("our own error is not known as such")
		}
		if got.Unwrap() == nil {
			t.Fatal("the cause is lost")
		}
		if got.Kind != sent.Kind || got.RetryAfter != sent.RetryAfter || !reflect.DeepEqual(got.Problem(), sent.Problem()) {
			t.Fatalf("sent %+v, got %+v", sent, got)
		}
	})
}

func TestCauseDoesNotTravel(t *testing.T) {
	st := New(Internal, "internal", "an internal error").Wrap(errors.New(secret)).GRPCStatus()
	if text := fmt.Sprintf("%v %v", st.Proto(), st.Details()); strings.Contains(text, secret) {
		t.Errorf("the cause travels: %s", text)
	}
}

// status.FromError, which interceptors use, sees through wrapping.
func TestWrappedFaultIsAStatus(t *testing.T) {
	err := fmt.Errorf("filter: %w", New(Denied, "explain_denied", "no grant"))
	if got := status.Code(err); got != codes.PermissionDenied {
		t.Errorf("code %s", got)
	}
	if !IsStatus(err) || IsStatus(errors.New("x")) || IsStatus(nil) {
		t.Error("IsStatus is wrong")
	}
	got, ok := FromGRPC(err)
	if !ok || got.Code != "explain_denied" || got.Kind != Denied {
		t.Errorf("got %+v, %v", got, ok)
	}
}

func TestForeignErrors(t *testing.T) {
	foreign, err := status.New(codes.Unavailable, "try later").WithDetails(
		&errdetails.ErrorInfo{Domain: "another", Reason: "quota", Metadata: map[string]string{metaKind: "3"}})
	if err != nil {
		t.Fatal(err)
	}
	lying, err := status.New(codes.NotFound, "gone").WithDetails(
		&errdetails.ErrorInfo{Domain: Domain, Reason: "not_found", Metadata: map[string]string{metaKind: "200"}})
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		err  error
		kind Kind
		code string
		ok   bool
	}{
		{"plain status", status.Error(codes.PermissionDenied, "no"), Denied, "PermissionDenied", false},
		{"unknown code", status.Error(codes.DataLoss, "no"), Internal, "DataLoss", false},
		{"details of another domain", foreign.Err(), Unavailable, "Unavailable", false},
		// A kind that we do not have leaves the one that the code suggests.
		{"kind out of range", lying.Err(), NotFound, "not_found", true},
		{"deadline", context.DeadlineExceeded, Timeout, "timeout", false},
		{"no status", errors.New("x"), Internal, "internal", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, ok := FromGRPC(c.err)
			if got.Kind != c.kind || got.Code != c.code || ok != c.ok {
				t.Errorf("got %s %q %v, want %s %q %v", got.Kind, got.Code, ok, c.kind, c.code, c.ok)
			}
		})
	}
	if e, ok := FromGRPC(nil); e != nil || ok {
		t.Error("nil is no error")
	}
}

// HTTP -> kind -> gRPC -> kind -> HTTP keeps the status of every kind.
func TestAcrossProtocols(t *testing.T) {
	for k := range kinds {
		e := New(HTTPKind(k.HTTPStatus()), "code", "")
		back, ok := FromGRPC(e.GRPCStatus().Err())
		if !ok || back.Problem().Status != k.HTTPStatus() {
			t.Errorf("%s: HTTP %d comes back as %d", k, k.HTTPStatus(), back.Problem().Status)
		}
	}
}

func TestTextThatIsNoUTF8CostsNoDetails(t *testing.T) {
	t.Parallel()
	bad := "a\xffb"
	e := New(BadWorker, "worker_error", "%s", bad).By("uuid", bad)
	e.Violations = []Violation{{Code: "x", Pointer: "/" + bad, Detail: bad}}
	got, ok := FromGRPC(e.GRPCStatus().Err())
	if !ok || got.Code != "worker_error" || got.Worker == nil || got.Worker.Name != "a\uFFFDb" || len(got.Violations) != 1 {
		t.Errorf("got %+v, %v", got, ok)
	}
}

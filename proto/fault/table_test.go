package fault

import (
	"net/http"
	"testing"

	"google.golang.org/grpc/codes"
)

func TestTableIsTotal(t *testing.T) {
	names := map[string]Kind{}
	for k := range kinds {
		if k.String() == "" || k.HTTPStatus() == 0 || k.GRPCCode() == codes.OK {
			t.Errorf("kind %d has a hole in its row: %q, HTTP %d, gRPC %s", k, k, k.HTTPStatus(), k.GRPCCode())
		}
		if other, taken := names[k.String()]; taken {
			t.Errorf("kinds %d and %d are both named %q", k, other, k)
		}
		names[k.String()] = k
		if k.HTTPStatus() < 400 || k.HTTPStatus() > 599 {
			t.Errorf("%s is sent as HTTP %d, which is no error", k, k.HTTPStatus())
		}
	}
}

// The values travel in gRPC details, so they are frozen.
func TestKindsAreFrozen(t *testing.T) {
	want := []string{
		"internal", "invalid", "unauthenticated", "denied", "not_found", "conflict", "precondition", "too_large",
		"unsupported", "unprocessable", "throttled", "bad_worker", "unavailable", "timeout", "loop", "cancelled",
	}
	if len(want) != int(kinds) {
		t.Fatalf("there are %d kinds; this test knows %d: add new ones at the end of both", kinds, len(want))
	}
	for i, name := range want {
		if got := Kind(i).String(); got != name {
			t.Errorf("kind %d is %s; it was %s, and peers still think so", i, got, name)
		}
	}
}

func TestHTTPKindGoesBack(t *testing.T) {
	seen := map[int]Kind{}
	for k := range kinds {
		if other, taken := seen[k.HTTPStatus()]; taken {
			t.Errorf("%s and %s are both sent as HTTP %d", k, other, k.HTTPStatus())
		}
		seen[k.HTTPStatus()] = k
		if back := HTTPKind(k.HTTPStatus()); back != k {
			t.Errorf("%s is sent as HTTP %d, which is read as %s", k, k.HTTPStatus(), back)
		}
	}
	for status, want := range map[int]Kind{
		http.StatusTeapot: Invalid, http.StatusPaymentRequired: Invalid, http.StatusNotImplemented: Internal,
		http.StatusInsufficientStorage: Internal, 599: Internal,
	} {
		if got := HTTPKind(status); got != want {
			t.Errorf("HTTP %d is read as %s, want %s", status, got, want)
		}
	}
}

// A peer that sends no details still gets a kind of the same code.
func TestCodeKindKeepsTheCode(t *testing.T) {
	for k := range kinds {
		if got := codeKind(k.GRPCCode()); got.GRPCCode() != k.GRPCCode() {
			t.Errorf("%s is read as %s, which is sent as %s", k.GRPCCode(), got, got.GRPCCode())
		}
	}
	for _, c := range []codes.Code{codes.Unknown, codes.DataLoss, codes.Code(99)} {
		if got := codeKind(c); got != Internal {
			t.Errorf("code %s is read as %s, want internal", c, got)
		}
	}
}

func TestUnknownKindIsInternal(t *testing.T) {
	for _, k := range []Kind{kinds, kinds + 1, 255} {
		if k.String() != "internal" || k.HTTPStatus() != 500 || k.GRPCCode() != codes.Internal {
			t.Errorf("kind %d is %s, HTTP %d, gRPC %s; want internal", k, k, k.HTTPStatus(), k.GRPCCode())
		}
	}
}

package authn_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/metadata"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func setup(t *testing.T, o authn.Options) (*authn.Authenticator, *devissuer.Issuer) {
	t.Helper()
	i, err := devissuer.New(t.Context(), devissuer.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	v, err := token.NewVerifier(t.Context(), token.Config{
		Issuers: []token.Issuer{{Issuer: i.URL(), Audience: devissuer.Audience, MapRoles: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return authn.New(v, o), i
}

func issue(t *testing.T, i *devissuer.Issuer, name string, changes map[string]any) string {
	t.Helper()
	raw, err := i.Issue(name, changes)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func request(t *testing.T, values ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("the body is not read"))
	for _, v := range values {
		r.Header.Add("Authorization", v)
	}
	return r
}

func TestTheSameTokenByHTTPAndGRPC(t *testing.T) {
	a, i := setup(t, authn.Options{})
	raw := issue(t, i, "alice", nil)
	overHTTP, err := a.FromRequest(request(t, "bEaReR "+raw))
	if err != nil {
		t.Fatal(err)
	}
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+raw))
	overGRPC, err := a.FromGRPC(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if overHTTP.Principal != overGRPC.Principal || overHTTP.Token != raw || overHTTP.Principal.Username != "alice" {
		t.Errorf("%+v and %+v", overHTTP, overGRPC)
	}
	got, ok := authn.CallerFrom(authn.WithCaller(t.Context(), overHTTP))
	if !ok || got != overHTTP {
		t.Error("the context lost the caller")
	}
	if _, ok := authn.CallerFrom(t.Context()); ok {
		t.Error("a caller out of nowhere")
	}
}

func TestRefusalsAndTheirChallenges(t *testing.T) {
	a, i := setup(t, authn.Options{})
	good := issue(t, i, "bob", nil)
	old := issue(t, i, "bob", map[string]any{"exp": time.Now().Add(-time.Second).Unix()})
	const bare, named = `Bearer realm="muster"`, `Bearer realm="muster", error="invalid_token"`
	for name, c := range map[string]struct {
		values    []string
		challenge string
	}{
		"no header":      {nil, bare},
		"two headers":    {[]string{"Bearer " + good, "Bearer " + good}, named},
		"another scheme": {[]string{"Basic YWxpY2U6YWxpY2U="}, named},
		"two tokens":     {[]string{"Bearer " + good + " " + good}, named},
		"no token":       {[]string{"Bearer "}, named},
		"expired":        {[]string{"Bearer " + old}, named},
		"garbage":        {[]string{"Bearer x"}, named},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := a.FromRequest(request(t, c.values...))
			checkRefusal(t, err, c.challenge)
			md := metadata.MD{"authorization": c.values}
			_, err = a.FromGRPC(metadata.NewIncomingContext(t.Context(), md))
			checkRefusal(t, err, c.challenge)
		})
	}
	_, err := a.FromGRPC(t.Context())
	checkRefusal(t, err, bare)
}

func checkRefusal(t *testing.T, err error, challenge string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Unauthenticated || f.Code != "invalid_token" {
		t.Fatalf("error %v, want invalid_token", err)
	}
	w := httptest.NewRecorder()
	authn.Challenge(w.Header(), err)
	f.WriteProblem(w)
	if got := w.Header().Get("WWW-Authenticate"); got != challenge || w.Code != http.StatusUnauthorized {
		t.Errorf("status %d, WWW-Authenticate %s, want %s", w.Code, got, challenge)
	}
}

func TestChallengeIsForRefusalsOnly(t *testing.T) {
	for _, err := range []error{nil, errors.New("x"), fault.New(fault.Denied, "denied", "no"), fault.New(fault.Unavailable, "identity_unavailable", "no")} {
		h := http.Header{}
		authn.Challenge(h, err)
		if len(h) != 0 {
			t.Errorf("%v: %v", err, h)
		}
	}
}

func TestManagementAudience(t *testing.T) {
	a, i := setup(t, authn.Options{ManagementAudience: devissuer.ManagementAudience})
	caller := func(name string) authn.Caller {
		c, err := a.FromToken(t.Context(), issue(t, i, name, nil))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if err := a.ForManagement(caller("admin")); err != nil {
		t.Errorf("muster-cli's token: %v", err)
	}
	checkRefusal(t, a.ForManagement(caller("graph-service")), `Bearer realm="muster", error="invalid_token"`)
	same, i2 := setup(t, authn.Options{})
	c, err := same.FromToken(t.Context(), issue(t, i2, "graph-service", nil))
	if err != nil || same.ForManagement(c) != nil {
		t.Error("without a management audience the service's own suffices")
	}
}

// verifierFunc stands where a verifier fails in a way of its own.
type verifierFunc func(context.Context, string) (*token.Principal, error)

func (f verifierFunc) Verify(ctx context.Context, raw string) (*token.Principal, error) {
	return f(ctx, raw)
}

func TestEveryErrorIsAFault(t *testing.T) {
	for _, c := range []struct {
		err  error
		code string
	}{
		{context.Canceled, "cancelled"},
		{context.DeadlineExceeded, "timeout"},
		{errors.New("a secret detail"), "internal"},
		{fault.New(fault.Unavailable, "identity_unavailable", "later"), "identity_unavailable"},
	} {
		a := authn.New(verifierFunc(func(context.Context, string) (*token.Principal, error) { return nil, c.err }), authn.Options{})
		_, err := a.FromToken(t.Context(), "x")
		if !fault.Is(err, c.code) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v became %v", c.err, err)
		}
	}
}

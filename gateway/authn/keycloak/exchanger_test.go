package keycloak_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/authn/keycloak"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const worker = "sample-worker"

func devIssuer(t *testing.T, c devissuer.Config) *devissuer.Issuer {
	t.Helper()
	c.Addr = "127.0.0.1:0"
	i, err := devissuer.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// counting counts the requests for tokens.
type counting struct {
	next  http.RoundTripper
	asked atomic.Int64
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost {
		c.asked.Add(1)
	}
	return c.next.RoundTrip(r)
}

func (c *counting) CloseIdleConnections() {
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func exchanger(t *testing.T, c keycloak.Config) (*keycloak.Exchanger, *counting) {
	t.Helper()
	count := &counting{next: http.DefaultTransport}
	c.HTTPClient = &http.Client{Transport: count}
	if c.ClientID == "" {
		c.ClientID, c.ClientSecret = devissuer.ClientGateway, devissuer.ClientGateway
	}
	e, err := keycloak.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e, count
}

func issue(t *testing.T, i *devissuer.Issuer, name string, changes map[string]any) string {
	t.Helper()
	raw, err := i.Issue(name, changes)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestAnExchangedTokenIsTheCallersForTheWorkerAlone(t *testing.T) {
	i := devIssuer(t, devissuer.Config{})
	e, _ := exchanger(t, keycloak.Config{Issuer: i.URL()})
	raw, err := e.Exchange(t.Context(), issue(t, i, "alice", nil), worker)
	if err != nil {
		t.Fatal(err)
	}
	v, err := token.NewVerifier(t.Context(), token.Config{Issuers: []token.Issuer{{Issuer: i.URL(), Audience: worker}}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	p, err := v.Verify(t.Context(), raw)
	if err != nil || p.Username != "alice" || p.HasAudience(devissuer.Audience) || p.HasAudience(devissuer.ManagementAudience) {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestExchangesAreCachedUntilShortlyBeforeTheyExpire(t *testing.T) {
	var offset atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	i := devIssuer(t, devissuer.Config{Lifetime: 5 * time.Minute, Clock: clock})
	e, count := exchanger(t, keycloak.Config{Issuer: i.URL(), Clock: clock})
	alice := issue(t, i, "alice", map[string]any{"exp": clock().Add(time.Hour).Unix()})
	bob := issue(t, i, "bob", nil)
	ask := func(raw, audience string) string {
		t.Helper()
		got, err := e.Exchange(t.Context(), raw, audience)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := ask(alice, worker)
	if ask(alice, worker) != first || count.asked.Load() != 1 {
		t.Error("the second was not from the cache")
	}
	if ask(bob, worker) == first || ask(alice, "other-worker") == first || count.asked.Load() != 3 {
		t.Error("another token or another audience was answered with the first")
	}
	offset.Store(int64(4*time.Minute + 20*time.Second))
	if ask(alice, worker) != first {
		t.Error("not cached 40 s before it expires")
	}
	offset.Store(int64(4*time.Minute + 35*time.Second))
	if ask(alice, worker) == first {
		t.Error("still handed out 25 s before it expires")
	}
}

func TestThoseWhoAskTogetherShareOneExchange(t *testing.T) {
	i := devIssuer(t, devissuer.Config{})
	e, count := exchanger(t, keycloak.Config{Issuer: i.URL()})
	raw := issue(t, i, "alice", nil)
	var all sync.WaitGroup
	begin := make(chan struct{})
	tokens := make([]string, 50)
	for n := range tokens {
		all.Go(func() {
			<-begin
			got, err := e.Exchange(t.Context(), raw, worker)
			if err != nil {
				t.Error(err)
			}
			tokens[n] = got
		})
	}
	close(begin)
	all.Wait()
	for _, got := range tokens {
		if got != tokens[0] {
			t.Error("two callers got two tokens")
		}
	}
	if n := count.asked.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// held is a token endpoint that answers when it is let go.
func held(t *testing.T) (issuer string, arrived chan struct{}, release chan struct{}, gone chan struct{}) {
	t.Helper()
	arrived, release, gone = make(chan struct{}, 10), make(chan struct{}), make(chan struct{}, 10)
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%[2]s/k","token_endpoint":"%[2]s/t"}`, s.URL, s.URL)
			return
		}
		if _, err := io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		arrived <- struct{}{}
		select {
		case <-release:
			fmt.Fprint(w, good(worker))
		case <-r.Context().Done():
			gone <- struct{}{}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, arrived, release, gone
}

// good is an answer with a token for an audience.
func good(audience string) string {
	payload := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"aud":%q}`, audience))
	return fmt.Sprintf(`{"access_token":"e30.%s.AAAA","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":300}`, payload)
}

func TestAnExchangeEndsWithItsLastCaller(t *testing.T) {
	issuer, arrived, release, gone := held(t)
	e, count := exchanger(t, keycloak.Config{Issuer: issuer})
	one, leaveOne := context.WithCancel(t.Context())
	two, leaveTwo := context.WithCancel(t.Context())
	defer leaveTwo()
	results := make(chan error, 3)
	ask := func(ctx context.Context) {
		_, err := e.Exchange(ctx, "subject", worker)
		results <- err
	}
	go ask(one)
	<-arrived
	go ask(two)
	for e.Waiting() < 2 {
		runtime.Gosched()
	}
	// The first goes; the second still gets the answer of the one request.
	leaveOne()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("the first: %v", err)
	}
	release <- struct{}{}
	if err := <-results; err != nil {
		t.Errorf("the second: %v", err)
	}
	// With nobody left the request itself is cancelled.
	three, leaveThree := context.WithCancel(t.Context())
	go func() {
		_, err := e.Exchange(three, "another subject", worker)
		results <- err
	}()
	<-arrived
	leaveThree()
	<-gone
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("the third: %v", err)
	}
	if n := count.asked.Load(); n != 2 {
		t.Errorf("%d requests", n)
	}
}

func TestFailedExchanges(t *testing.T) {
	i := devIssuer(t, devissuer.Config{WorkerAudiences: []string{worker}})
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	subject := issue(t, i, "alice", nil)
	for name, c := range map[string]struct {
		config            keycloak.Config
		subject, audience string
		detail            string
	}{
		"unknown audience": {keycloak.Config{}, subject, "stranger", `the issuer refused to exchange the token for audience "stranger" (invalid_client)`},
		"no audience":      {keycloak.Config{}, subject, "", "the worker has no audience to exchange the token for; set settings.audience"},
		"bad subject":      {keycloak.Config{}, "x.y.z", worker, `the issuer refused to exchange the token for audience "sample-worker" (invalid_request)`},
		"wrong secret":     {keycloak.Config{ClientID: devissuer.ClientGateway, ClientSecret: "s3cr3t"}, subject, worker, `the issuer refused to exchange the token for audience "sample-worker" (unauthorized_client)`},
		"not allowed":      {keycloak.Config{ClientID: devissuer.ClientGraph, ClientSecret: devissuer.ClientGraph}, subject, worker, `the issuer refused to exchange the token for audience "sample-worker" (invalid_request)`},
	} {
		c.config.Issuer, c.config.Logger = i.URL(), logger
		e, _ := exchanger(t, c.config)
		got, err := e.Exchange(t.Context(), c.subject, c.audience)
		checkUnavailable(t, name, got, err, c.detail)
	}
	if text := log.String(); strings.Contains(text, subject) || strings.Contains(text, "s3cr3t") || !strings.Contains(text, "Audience not found") {
		t.Errorf("log: %s", text)
	}
}

func checkUnavailable(t *testing.T, name, got string, err error, detail string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != token.CodeUnavailable || f.Kind.HTTPStatus() != http.StatusServiceUnavailable || got != "" {
		t.Fatalf("%s: %q, %v", name, got, err)
	}
	if f.Detail != detail {
		t.Errorf("%s: %s\nwant %s", name, f.Detail, detail)
	}
}

func TestAnswersThatAreNotWhatWasAskedFor(t *testing.T) {
	var body atomic.Value
	var status atomic.Int64
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%[2]s/k","token_endpoint":"%[2]s/t"}`, s.URL, s.URL)
			return
		}
		w.WriteHeader(int(status.Load()))
		fmt.Fprint(w, body.Load())
	}))
	t.Cleanup(s.Close)
	e, _ := exchanger(t, keycloak.Config{Issuer: s.URL})
	const detail = `the token could not be exchanged for audience "sample-worker"; the issuer did not answer as it should`
	twice := good("x\",\"muster")
	for name, c := range map[string]struct {
		status int
		body   string
	}{
		"not JSON": {200, "<html>"}, "empty": {200, ""}, "no token": {200, `{}`}, "an error of its own": {500, `{"error":"server_error"}`},
		"a redirect": {302, ""}, "created": {201, good(worker)},
		"another audience": {200, good("muster")}, "two audiences": {200, strings.ReplaceAll(twice, "x", worker)},
		"another type":     {200, strings.Replace(good(worker), "access_token\",\"token_type", "refresh_token\",\"token_type", 1)},
		"another scheme":   {200, strings.Replace(good(worker), "Bearer", "DPoP", 1)},
		"no lifetime":      {200, strings.Replace(good(worker), ",\"expires_in\":300", "", 1)},
		"a negative one":   {200, strings.Replace(good(worker), "300", "-1", 1)},
		"a token of words": {200, strings.Replace(good(worker), "e30.", "e30 ", 1)},
		"opaque":           {200, strings.Replace(good(worker), "e30.", "", 1)},
		"too long":         {200, strings.Replace(good(worker), "e30.", "e30"+strings.Repeat("A", token.MaxLength)+".", 1)},
		"too large":        {200, `{"x":"` + strings.Repeat("x", 70<<10) + `"}`},
	} {
		status.Store(int64(c.status))
		body.Store(c.body)
		got, err := e.Exchange(t.Context(), "subject", worker)
		checkUnavailable(t, name, got, err, detail)
	}
	status.Store(200)
	body.Store(good(worker))
	if _, err := e.Exchange(t.Context(), "subject", worker); err != nil {
		t.Errorf("a good answer: %v", err)
	}
}

func TestTheIssuerMayBeDown(t *testing.T) {
	i := devIssuer(t, devissuer.Config{})
	e, _ := exchanger(t, keycloak.Config{Issuer: i.URL()})
	alice, bob := issue(t, i, "alice", nil), issue(t, i, "bob", nil)
	if _, err := e.Exchange(t.Context(), alice, worker); err != nil {
		t.Fatal(err)
	}
	if err := i.GoDown(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Exchange(t.Context(), alice, worker); err != nil {
		t.Errorf("a cached token: %v", err)
	}
	if _, err := e.Exchange(t.Context(), bob, worker); !fault.Is(err, token.CodeUnavailable) {
		t.Errorf("while it is down: %v", err)
	}
	if err := i.ComeBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Exchange(t.Context(), bob, worker); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestTheSecretFileIsReadAgain(t *testing.T) {
	i := devIssuer(t, devissuer.Config{})
	file := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old\n")
	e, _ := exchanger(t, keycloak.Config{Issuer: i.URL(), ClientID: devissuer.ClientGateway, ClientSecretFile: file})
	raw := issue(t, i, "alice", nil)
	if _, err := e.Exchange(t.Context(), raw, worker); !fault.Is(err, token.CodeUnavailable) {
		t.Fatalf("the old secret: %v", err)
	}
	write(devissuer.ClientGateway + "\n")
	if _, err := e.Exchange(t.Context(), raw, worker); err != nil {
		t.Errorf("the new secret: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Exchange(t.Context(), raw, "other-worker"); err != nil {
		t.Errorf("while the file is away: %v", err)
	}
}

func TestSecretsWithSpecialCharactersArrive(t *testing.T) {
	const id, secret = "gateway:1/é", "p%:+ &=\\"
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%[2]s/k","token_endpoint":"%[2]s/t"}`, s.URL, s.URL)
			return
		}
		u, p, _ := r.BasicAuth()
		user, err1 := url.QueryUnescape(u)
		pass, err2 := url.QueryUnescape(p)
		if err := errors.Join(err1, err2); err != nil || user != id || pass != secret {
			t.Errorf("%q %q %v", user, pass, err)
		}
		fmt.Fprint(w, good(worker))
	}))
	t.Cleanup(s.Close)
	e, _ := exchanger(t, keycloak.Config{Issuer: s.URL, ClientID: id, ClientSecret: secret})
	if _, err := e.Exchange(t.Context(), "subject", worker); err != nil {
		t.Error(err)
	}
}

func TestConfigurationMistakes(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config keycloak.Config
		want   []string
	}{
		"nothing":    {keycloak.Config{}, []string{"issuer", "auth.clientID", "auth.clientSecretFile"}},
		"no file":    {keycloak.Config{Issuer: "x", ClientID: "x", ClientSecretFile: empty + "x"}, []string{"read the client's secret"}},
		"empty file": {keycloak.Config{Issuer: "x", ClientID: "x", ClientSecretFile: empty}, []string{"is empty"}},
		"no CA":      {keycloak.Config{Issuer: "x", ClientID: "x", ClientSecret: "x", CAFile: empty}, []string{"no PEM certificate"}},
	} {
		_, err := keycloak.New(c.config)
		if err == nil {
			t.Fatalf("%s: accepted", name)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is missing in %v", name, want, err)
			}
		}
	}
}

package workertest_test

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
	"github.com/muster-fleet/muster/workers/worker"
	"github.com/muster-fleet/muster/workers/workertest"
)

// forgetful verifies tokens with the issuer's key, as a careless author does with
// any JWT library: it checks what it is told to and nothing else.
type forgetful struct {
	key               *rsa.PublicKey
	signature, expiry bool
}

func (f forgetful) Verify(_ context.Context, raw string) (*token.Principal, error) {
	options := []jwt.ParserOption{jwt.WithValidMethods([]string{"RS256"})}
	if !f.expiry {
		options = append(options, jwt.WithoutClaimsValidation())
	}
	parser, claims := jwt.NewParser(options...), jwt.MapClaims{}
	var err error
	if f.signature {
		_, err = parser.ParseWithClaims(raw, claims, func(*jwt.Token) (any, error) { return f.key, nil })
	} else {
		_, _, err = parser.ParseUnverified(raw, claims)
	}
	if err != nil {
		return nil, fault.New(fault.Unauthenticated, "invalid_token", "the token is bad")
	}
	return &token.Principal{Username: "alice"}, nil
}

// publicKey reads the issuer's one key from where it publishes it.
func publicKey(t *testing.T, is *workertest.Issuer) *rsa.PublicKey {
	t.Helper()
	resp, err := http.Get(is.URL() + "/protocol/openid-connect/certs")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	var set struct{ Keys []struct{ N, E string } }
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil || len(set.Keys) != 1 {
		t.Fatal(err, set)
	}
	number := func(text string) *big.Int {
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return new(big.Int).SetBytes(b)
	}
	return &rsa.PublicKey{N: number(set.Keys[0].N), E: int(number(set.Keys[0].E).Int64())}
}

// forgetfulWorker serves a worker that checks signatures, expiry, both or neither.
func forgetfulWorker(t *testing.T, is *workertest.Issuer, signature, expiry bool) (url string) {
	t.Helper()
	v := forgetful{publicKey(t, is), signature, expiry}
	a := sdkWorker(t, is, func(c *worker.Config) { c.Verifier = v })
	return "http://" + a.REST + worker.DefaultPath
}

func goodToken(t *testing.T, is *workertest.Issuer) string {
	t.Helper()
	good, err := is.Token("alice")
	if err != nil {
		t.Fatal(err)
	}
	return good
}

// From one token nobody can tell a worker that looks at exp from one that checks
// signatures alone. The suite says so instead of passing it, and catches it as soon
// as it has what it takes.
func TestUncheckedExpiryIsNotPassed(t *testing.T) {
	const name = "core/token-expired"
	is := newIssuer(t)
	good := goodToken(t, is)
	stale, err := is.Forge(t.Context(), workertest.Expired)
	if err != nil {
		t.Fatal(err)
	}
	withStale, err := workertest.StaticTokensWithExpired(good, stale)
	if err != nil {
		t.Fatal(err)
	}
	strict, lax := forgetfulWorker(t, is, true, true), forgetfulWorker(t, is, true, false)
	for what, c := range map[string]struct {
		url    string
		tokens workertest.Tokens
		want   workertest.Status
	}{
		"strict, one token":      {strict, workertest.StaticTokens(good), workertest.NotProved},
		"strict, a stale token":  {strict, withStale, workertest.Pass},
		"strict, an issuer":      {strict, is, workertest.Pass},
		"lax, one token":         {lax, workertest.StaticTokens(good), workertest.NotProved},
		"lax, a stale token too": {lax, withStale, workertest.Fail},
		"lax, an issuer":         {lax, is, workertest.Fail},
	} {
		r := run(t, workertest.Options{URL: c.url, Tokens: c.tokens, Only: []string{name}})
		got := find(t, r, name)
		if got.Status != c.want || (got.Detail == "") != (c.want == workertest.Pass) {
			t.Errorf("%s: %s %q; want %s", what, got.Status, got.Detail, c.want)
		}
		if c.want == workertest.NotProved && (!strings.Contains(got.Detail, "exp ") ||
			!strings.Contains(got.Detail, "--issuer") || !strings.Contains(got.Detail, "--expired-token-file")) {
			t.Errorf("%s: it does not say what is open and what to do: %q", what, got.Detail)
		}
	}
}

// What only the issuer's key proves is not proved for each such claim, and what
// any key proves is passed.
func TestDoubtsOfOneToken(t *testing.T) {
	is := newIssuer(t)
	a := sdkWorker(t, is, nil)
	good := goodToken(t, is)
	o := workertest.Options{URL: "http://" + a.REST + worker.DefaultPath, Tokens: workertest.StaticTokens(good), Elements: 100, Callers: 4}
	r := run(t, o)
	for name, want := range map[string]workertest.Status{
		"core/token-missing": workertest.Pass, "core/token-garbage": workertest.Pass, "core/token-wrong-key": workertest.Pass,
		"core/token-alg-none": workertest.Pass, "robust/token-tampered": workertest.Pass,
		"core/token-expired": workertest.NotProved, "core/token-wrong-issuer": workertest.NotProved,
		"robust/token-not-yet-valid":  workertest.NotProved,
		"robust/token-wrong-audience": workertest.Skip, "robust/token-public-key-as-secret": workertest.Skip,
	} {
		if c := find(t, r, name); c.Status != want {
			t.Errorf("%s is %s %q; want %s", name, c.Status, c.Detail, want)
		}
	}
	// A warning holds no level up.
	if r.Level() != workertest.Laws || r.Count(workertest.NotProved) != 3 || len(r.Failed()) != 0 {
		t.Errorf("level %s\n%s", r.Level(), table(r))
	}
	o.Tokens = is
	if r := run(t, o); r.Count(workertest.NotProved) != 0 || r.Count(workertest.Skip) != 0 {
		t.Errorf("an issuer leaves nothing open\n%s", table(r))
	}
}

// A worker that takes any signature fails on a token that proves nothing of those
// that do check them.
func TestDoubtsDoNotCoverFailures(t *testing.T) {
	is := newIssuer(t)
	url := forgetfulWorker(t, is, false, false)
	for _, name := range []string{"core/token-expired", "core/token-wrong-issuer", "robust/token-not-yet-valid"} {
		r := run(t, workertest.Options{URL: url, Tokens: workertest.StaticTokens(goodToken(t, is)), Only: []string{name}})
		if c := find(t, r, name); c.Status != workertest.Fail {
			t.Errorf("%s is %s %q", name, c.Status, c.Detail)
		}
	}
}

func TestNotProvedIsShownAsItself(t *testing.T) {
	r := &workertest.Report{
		URL: "http://w", Asked: workertest.Core,
		Cases: []workertest.Case{
			{Name: "a", Level: workertest.Core, Status: workertest.Pass},
			{Name: "b", Level: workertest.Core, Status: workertest.NotProved, Detail: "exp is open"},
		},
	}
	if s := table(r); !strings.Contains(s, "core/b  not proved") || !strings.Contains(s, "exp is open") ||
		!strings.Contains(s, "1 passed, 0 failed, 1 not proved, 0 skipped; level core") {
		t.Error(s)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		NotProved int
		Failed    *int
		Level     string
		Cases     []struct{ Status, Detail string }
	}
	if err := json.Unmarshal(text, &back); err != nil || back.NotProved != 1 || back.Failed == nil || back.Level != "core" ||
		back.Cases[1].Status != "not proved" || back.Cases[1].Detail != "exp is open" {
		t.Errorf("%v %s", err, text)
	}
	var b strings.Builder
	if err := r.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Suites []struct {
			Skipped  int `xml:"skipped,attr"`
			Failures int `xml:"failures,attr"`
			Cases    []struct {
				Skipped *struct {
					Message string `xml:"message,attr"`
				} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(b.String()), &suites); err != nil || len(suites.Suites) != 1 || suites.Suites[0].Skipped != 1 ||
		suites.Suites[0].Failures != 0 || suites.Suites[0].Cases[0].Skipped != nil ||
		suites.Suites[0].Cases[1].Skipped == nil || suites.Suites[0].Cases[1].Skipped.Message != "not proved: exp is open" {
		t.Errorf("%v\n%s", err, b.String())
	}
}

// An expired token that would be refused for another reason proves nothing of its
// age, so it is refused at once, with all reasons.
func TestExpiredTokensAreLookedAt(t *testing.T) {
	is, other := newIssuer(t), newIssuer(t)
	good := goodToken(t, is)
	past := time.Now().Add(-time.Minute).Unix()
	sign := func(is *workertest.Issuer, claims map[string]any) string {
		s, err := is.Sign(claims)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if _, err := workertest.StaticTokensWithExpired(good, sign(is, map[string]any{"exp": past})); err != nil {
		t.Errorf("one that serves: %v", err)
	}
	unsigned, err := is.Forge(t.Context(), workertest.AlgNone)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		good, expired string
		want          []string
	}{
		"fresh":        {good, good, []string{"it is good until", "wait"}},
		"no exp":       {good, sign(is, map[string]any{"exp": nil}), []string{"no exp"}},
		"exp is text":  {good, sign(is, map[string]any{"exp": "soon"}), []string{"no exp"}},
		"another's":    {good, sign(other, map[string]any{"exp": past}), []string{"its iss"}},
		"both":         {good, sign(other, nil), []string{"it is good until", "its iss"}},
		"garbage":      {good, "x.y.z", []string{"the expired token is no JWT"}},
		"good garbage": {"nothing", good, []string{"the good token is no JWT"}},
		"no key":       {strings.Replace(good, ".", "", 1), unsigned, []string{"the good token is no JWT"}},
	} {
		_, err := workertest.StaticTokensWithExpired(c.good, c.expired)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v lacks %q", what, err, want)
			}
		}
		if err != nil && (strings.Contains(err.Error(), good) || strings.Contains(err.Error(), c.expired)) {
			t.Errorf("%s: the error quotes a token", what)
		}
	}
}

func TestIssuerAtAnAddress(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1", ":8180", "0.0.0.0:0", "192.0.2.1:0", "example.org:80", "[::]:0", "muster.localhost.example:0"} {
		is, err := workertest.NewIssuerAt(t.Context(), bad)
		if err == nil {
			_ = is.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	is, err := workertest.NewIssuerAt(t.Context(), "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	// The iss that a worker has to be given is the one that was asked for.
	if !strings.HasPrefix(is.URL(), "http://localhost:") || strings.Contains(is.URL(), ":0/") {
		t.Errorf("%s", is.URL())
	}
	host := strings.TrimSuffix(strings.TrimPrefix(is.URL(), "http://"), "/realms/muster")
	if _, err := workertest.NewIssuerAt(t.Context(), host); err == nil || !strings.Contains(err.Error(), "listener") {
		t.Errorf("a taken address: %v", err)
	}
	if err := is.Close(); err != nil {
		t.Error(err)
	}
}

// An issuer that comes back at the same address has another key, and nobody who
// kept the old one may take the new one for it.
func TestIssuersNameTheirKeys(t *testing.T) {
	first, second := newIssuer(t), newIssuer(t)
	kid := func(raw string) any {
		t.Helper()
		parsed, _, err := jwt.NewParser().ParseUnverified(raw, jwt.MapClaims{})
		if err != nil {
			t.Fatal(err)
		}
		return parsed.Header["kid"]
	}
	if a, b := kid(goodToken(t, first)), kid(goodToken(t, second)); a == b || a == nil {
		t.Errorf("%v and %v", a, b)
	}
	// A forgery is under the name of the right key.
	for _, how := range []workertest.Forgery{workertest.WrongKey, workertest.AlgNone, workertest.PublicKeyAsSecret, workertest.Tampered} {
		raw, err := first.Forge(t.Context(), how)
		if err != nil || kid(raw) != kid(goodToken(t, first)) {
			t.Errorf("%s: %v %v", how, err, kid(raw))
		}
	}
}

// late closes the first connections, as what stands before a worker does while that
// is starting.
type late struct {
	net.Listener
	closed, first int
}

func (l *late) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || l.closed == l.first {
			return c, err
		}
		l.closed++
		_ = c.Close() // the caller is to notice
	}
}

// A worker that is started for the suite's issuer may come later than the run.
func TestWaitsForTheWorker(t *testing.T) {
	is := newIssuer(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: newWorker(t, is, nil).Handler(), ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	slow := &late{Listener: ln, first: 3}
	go func() { done <- s.Serve(slow) }()
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-done
	}()
	r := run(t, workertest.Options{
		URL: "http://" + ln.Addr().String() + worker.DefaultPath, Tokens: is, Wait: time.Minute,
		Only: []string{"core/nodes", "core/info"},
	})
	if r.Count(workertest.Pass) != 2 || slow.closed != 3 {
		t.Fatalf("after %d connections that were closed\n%s", slow.closed, table(r))
	}
}

// Waiting ends with its time, without a token at once, and then the cases tell.
func TestWaitingEnds(t *testing.T) {
	is := newIssuer(t)
	refusing := forgetfulWorker(t, is, true, true)
	begun := time.Now()
	r := run(t, workertest.Options{
		URL: refusing, Wait: 300 * time.Millisecond, Only: []string{"core/nodes"},
		Tokens: workertest.StaticTokens("eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.eHg"),
	})
	if c := find(t, r, "core/nodes"); c.Status != workertest.Fail || time.Since(begun) < 300*time.Millisecond {
		t.Errorf("%+v after %s", c, time.Since(begun))
	}
	r = run(t, workertest.Options{URL: refusing, Wait: time.Hour, Only: []string{"core/nodes"}})
	if c := find(t, r, "core/nodes"); c.Status != workertest.Skip {
		t.Errorf("%+v", c)
	}
	if _, err := workertest.Run(t.Context(), workertest.Options{URL: refusing, Wait: -1}); err == nil || !strings.Contains(err.Error(), "Wait") {
		t.Errorf("%v", err)
	}
}

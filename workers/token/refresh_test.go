package token_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

// direct answers requests by the issuer's handler without a socket, so that a
// bubble with its own time can hold both ends.
type direct struct {
	handler http.Handler
	down    atomic.Bool
	calls   atomic.Int64
}

func (d *direct) RoundTrip(r *http.Request) (*http.Response, error) {
	d.calls.Add(1)
	if d.down.Load() {
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// bubbled starts a verifier over an issuer that lives in the bubble.
func bubbled(t *testing.T, change func(*token.Config), signers ...signer) (*token.Verifier, *issuer, *direct) {
	t.Helper()
	i := &issuer{url: "http://issuer/realms/muster", server: &httptest.Server{URL: "http://issuer"}}
	i.show(signers...)
	d := &direct{handler: i.routes()}
	c := i.config()
	c.HTTPClient = &http.Client{Transport: d}
	if change != nil {
		change(&c)
	}
	return start(t, c), i, d
}

func TestBackgroundRefreshEveryFiveMinutes(t *testing.T) {
	s := rs256("k")
	synctest.Test(t, func(t *testing.T) {
		v, i, _ := bubbled(t, nil, s)
		synctest.Wait()
		for n := range int64(4) {
			if got := i.fetches.Load(); got != n+1 {
				t.Fatalf("after %d intervals %d fetches", n, got)
			}
			time.Sleep(token.DefaultRefreshInterval - time.Second)
			if age := v.KeysAge(); age != token.DefaultRefreshInterval-time.Second {
				t.Fatalf("age %s", age)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
	})
}

func TestIssuerDownAtStartIsRetriedEverySecond(t *testing.T) {
	s := rs256("k")
	synctest.Test(t, func(t *testing.T) {
		v, i, d := bubbled(t, nil, s)
		d.down.Store(true)
		for n := range 10 {
			_, err := v.Verify(t.Context(), i.token(s, nil))
			if !fault.Is(err, token.CodeUnavailable) || v.KeysReady() {
				t.Fatalf("second %d: %v", n, err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		// The first at once, and then one each second.
		if calls := d.calls.Load(); calls < 10 || calls > 12 {
			t.Errorf("%d calls in ten seconds", calls)
		}
		d.down.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if _, err := v.Verify(t.Context(), i.token(s, nil)); err != nil || !v.KeysReady() {
			t.Errorf("a second after it came up: %v", err)
		}
	})
}

func TestUnknownKidsCauseOneFetchASecondWithABurstOfThree(t *testing.T) {
	known, foreign := rs256("k"), signer{kid: "", alg: "RS256", private: rsaKeys[1]()}
	synctest.Test(t, func(t *testing.T) {
		v, i, _ := bubbled(t, nil, known)
		synctest.Wait()
		// The burst is whole again.
		time.Sleep(10 * time.Second)
		first := i.fetches.Load()
		begun := time.Now()
		var all sync.WaitGroup
		for n := range 40 {
			all.Go(func() {
				time.Sleep(time.Duration(n) * 100 * time.Millisecond)
				f := foreign
				f.kid = fmt.Sprint("made-up-", n)
				if _, err := v.Verify(t.Context(), i.token(f, nil)); !fault.Is(err, token.CodeInvalid) {
					t.Errorf("%d: %v", n, err)
				}
			})
		}
		all.Wait()
		seconds := int64(time.Since(begun)/time.Second) + 1
		if n := i.fetches.Load() - first; n > 3+seconds || n < 3 {
			t.Errorf("%d fetches in %d seconds", n, seconds)
		}
	})
}

func TestKeysOlderThanTheirAgeDoNotServe(t *testing.T) {
	s := rs256("k")
	synctest.Test(t, func(t *testing.T) {
		v, i, d := bubbled(t, nil, s)
		synctest.Wait()
		raw := i.token(s, map[string]any{"exp": time.Now().Add(100 * time.Hour).Unix()})
		cached := i.token(s, map[string]any{"exp": time.Now().Add(101 * time.Hour).Unix()})
		if _, err := v.Verify(t.Context(), cached); err != nil {
			t.Fatal(err)
		}
		d.down.Store(true)
		time.Sleep(24*time.Hour - time.Minute)
		if _, err := v.Verify(t.Context(), raw); err != nil || !v.KeysReady() {
			t.Errorf("just before: %v", err)
		}
		time.Sleep(2 * time.Minute)
		for _, r := range []string{raw, cached, i.token(s, nil)} {
			if _, err := v.Verify(t.Context(), r); !fault.Is(err, token.CodeUnavailable) {
				t.Errorf("just after: %v", err)
			}
		}
		if v.KeysReady() {
			t.Error("ready with keys that are too old")
		}
		// Once fetched again, all is well, within the longest pause of the retries.
		d.down.Store(false)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if _, err := v.Verify(t.Context(), cached); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestAnOutageOfAMinuteCostsNoTokenOfAKnownKey(t *testing.T) {
	known, fresh := rs256("k"), signer{"new", "RS256", rsaKeys[1]()}
	synctest.Test(t, func(t *testing.T) {
		v, i, d := bubbled(t, func(c *token.Config) { c.RefreshInterval = 10 * time.Second }, known)
		synctest.Wait()
		d.down.Store(true)
		for n := range 60 {
			if _, err := v.Verify(t.Context(), i.token(known, map[string]any{"jti": fmt.Sprint(n)})); err != nil {
				t.Fatalf("second %d: %v", n, err)
			}
			time.Sleep(time.Second)
		}
		// Whether an unknown key is the issuer's cannot be told now.
		if _, err := v.Verify(t.Context(), i.token(fresh, nil)); !fault.Is(err, token.CodeUnavailable) {
			t.Errorf("unknown key: %v", err)
		}
		d.down.Store(false)
		i.show(known, fresh)
		if _, err := v.Verify(t.Context(), i.token(fresh, nil)); err != nil {
			t.Errorf("new key after the outage: %v", err)
		}
	})
}

func TestACachedTokenIsDeadTheMomentItExpires(t *testing.T) {
	s := rs256("k")
	synctest.Test(t, func(t *testing.T) {
		v, i, _ := bubbled(t, nil, s)
		synctest.Wait()
		exp := time.Now().Add(10 * time.Second).Truncate(time.Second)
		raw := i.token(s, map[string]any{"exp": exp.Unix()})
		for range 3 {
			if _, err := v.Verify(t.Context(), raw); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Until(exp) - time.Nanosecond)
		if _, err := v.Verify(t.Context(), raw); err != nil {
			t.Errorf("a nanosecond before: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if _, err := v.Verify(t.Context(), raw); !fault.Is(err, token.CodeInvalid) {
			t.Errorf("at the second: %v", err)
		}
		if hits, misses := v.Stats(); hits != 3 || misses != 2 {
			t.Errorf("%d hits, %d misses", hits, misses)
		}
	})
}

func TestACallerWhoGoesAwayStopsWaiting(t *testing.T) {
	known, foreign := rs256("k"), signer{"other", "RS256", rsaKeys[1]()}
	i := newIssuer(t, known)
	v := start(t, i.config())
	if _, err := v.Verify(t.Context(), i.token(known, nil)); err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	i.set(func(i *issuer) { i.hold = hold })
	defer close(hold)
	ctx, cancel := context.WithCancel(t.Context())
	before := i.fetches.Load()
	left := make(chan error)
	go func() {
		_, err := v.Verify(ctx, i.token(foreign, nil))
		left <- err
	}()
	eventually(t, "the fetch is under way", func() bool { return i.fetches.Load() > before })
	// While the issuer does not answer, tokens of known keys are not held up.
	for n := range 20 {
		if _, err := v.Verify(t.Context(), i.token(known, map[string]any{"jti": fmt.Sprint(n)})); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-left:
		t.Fatalf("the unknown key was decided without the issuer: %v", err)
	default:
	}
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v", err)
	}
}

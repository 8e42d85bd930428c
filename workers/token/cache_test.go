package token_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

func TestThoseWhoComeTogetherShareOneVerification(t *testing.T) {
	s := rs256("k")
	i := newIssuer(t, s)
	v := start(t, i.config())
	if _, err := v.Verify(t.Context(), i.token(s, map[string]any{"jti": "warm"})); err != nil {
		t.Fatal(err)
	}
	raw := i.token(s, nil)
	principals := make([]*token.Principal, 32)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for n := range principals {
		all.Go(func() {
			<-begin
			p, err := v.Verify(t.Context(), raw)
			if err != nil {
				t.Error(err)
			}
			principals[n] = p
		})
	}
	close(begin)
	all.Wait()
	for n, p := range principals {
		if p != principals[0] {
			t.Errorf("caller %d got a principal of its own", n)
		}
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	s := signer{"k", "ES256", ecKeys["ES256"]()}
	i := newIssuer(t, s)
	c := i.config()
	c.CacheSize = 8
	v := start(t, c)
	raws := make([]string, 200)
	for n := range raws {
		raws[n] = i.token(s, map[string]any{"jti": fmt.Sprint(n), "note": strings.Repeat("x", n*20)})
		if _, err := v.Verify(t.Context(), raws[n]); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := v.Stats()
	for _, raw := range raws {
		if _, err := v.Verify(t.Context(), raw); err != nil {
			t.Fatal(err)
		}
	}
	// The bound may be exceeded for a moment while entries are being evicted.
	if hits, _ := v.Stats(); hits-before > 40 {
		t.Errorf("%d of 200 tokens were found in a cache for 8", hits-before)
	}
}

func TestTheClockIsAskedOnEachUse(t *testing.T) {
	s := rs256("k")
	i := newIssuer(t, s)
	var c clock
	config := i.config()
	config.Clock = c.now
	v := start(t, config)
	raw := i.token(s, map[string]any{"exp": time.Now().Add(time.Hour).Unix()})
	if _, err := v.Verify(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	c.advance(59 * time.Minute)
	if _, err := v.Verify(t.Context(), raw); err != nil {
		t.Error(err)
	}
	c.advance(time.Minute)
	p, err := v.Verify(t.Context(), raw)
	checkInvalid(t, p, err, "the token has expired")
	// A clock set back makes nothing undone: the token is verified anew.
	c.advance(-time.Minute)
	if _, err := v.Verify(t.Context(), raw); err != nil {
		t.Error(err)
	}
}

func TestAHitAllocatesNothing(t *testing.T) {
	s := rs256("k")
	i := newIssuer(t, s)
	v := start(t, i.config())
	raw := i.token(s, nil)
	if _, err := v.Verify(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := v.Verify(ctx, raw); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("%v allocations a hit", n)
	}
}

func TestClosedVerifiersStillKnowTheirKeys(t *testing.T) {
	s, other := rs256("k"), signer{"other", "RS256", rsaKeys[1]()}
	i := newIssuer(t, s)
	v := start(t, i.config())
	if _, err := v.Verify(t.Context(), i.token(s, nil)); err != nil {
		t.Fatal(err)
	}
	v.Close()
	v.Close()
	if _, err := v.Verify(t.Context(), i.token(s, map[string]any{"jti": "2"})); err != nil {
		t.Error(err)
	}
	if _, err := v.Verify(t.Context(), i.token(other, nil)); !fault.Is(err, token.CodeUnavailable) {
		t.Errorf("an unknown key: %v", err)
	}
}

func benchmarkVerifier(b *testing.B, s signer) (*token.Verifier, *issuer) {
	b.Helper()
	i := &issuer{}
	i.show(s)
	i.serve()
	b.Cleanup(i.server.Close)
	v, err := token.NewVerifier(b.Context(), i.config())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(v.Close)
	if _, err := v.Verify(b.Context(), i.token(s, nil)); err != nil {
		b.Fatal(err)
	}
	return v, i
}

// BenchmarkCached and BenchmarkRS256 are meant to be read side by side.
func BenchmarkCached(b *testing.B) {
	s := rs256("k")
	v, i := benchmarkVerifier(b, s)
	raw := i.token(s, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRS256(b *testing.B) { benchmarkMisses(b, rs256("k")) }

func BenchmarkES256(b *testing.B) { benchmarkMisses(b, signer{"k", "ES256", ecKeys["ES256"]()}) }

func BenchmarkEdDSA(b *testing.B) { benchmarkMisses(b, signer{"k", "EdDSA", edKey()}) }

func benchmarkMisses(b *testing.B, s signer) {
	v, i := benchmarkVerifier(b, s)
	raws := make([]string, 4096)
	for n := range raws {
		raws[n] = i.token(s, map[string]any{"jti": fmt.Sprint(n), "exp": time.Now().Add(time.Hour).Unix()})
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if n == len(raws) {
			// Every token is cached by now; a new verifier has seen none.
			b.StopTimer()
			v, n = freshVerifier(b, i), 0
			b.StartTimer()
		}
		if _, err := v.Verify(b.Context(), raws[n]); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

func freshVerifier(b *testing.B, i *issuer) *token.Verifier {
	b.Helper()
	v, err := token.NewVerifier(b.Context(), i.config())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(v.Close)
	for !v.KeysReady() {
		time.Sleep(time.Millisecond)
	}
	return v
}

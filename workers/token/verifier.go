package token

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/maypok86/otter/v2"
)

// Verifier verifies access tokens of one or several issuers offline, by the
// rules of ARCHITECTURE section 7. It keeps the issuers' keys fresh in the
// background and verified tokens in a bounded cache. It is safe for concurrent
// use; Close ends its goroutines.
type Verifier struct {
	config  Config
	issuers map[string]*keyring
	order   []*keyring
	cache   *otter.Cache[digest, *verified]
	cancel  context.CancelFunc
	running sync.WaitGroup

	hits, misses atomic.Uint64
}

type digest [sha256.Size]byte

// verified is a cached token. Everything in it is immutable; what may change is
// asked anew on each use.
type verified struct {
	principal *Principal
	ring      *keyring
	key       *key
	weight    uint32
}

// cacheUnit is the size of claims that counts as one entry.
const cacheUnit = 2 << 10

// NewVerifier starts a verifier. Its goroutines end with ctx or with Close. It
// does not wait for the issuers: until the keys of one were fetched, its tokens
// are answered with identity_unavailable. The error lists every mistake of the
// configuration.
func NewVerifier(ctx context.Context, c Config) (*Verifier, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("token verifier: %w", err)
	}
	c = c.withDefaults()
	if c.HTTPClient == nil {
		client, err := NewHTTPClient(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("token verifier: %w", err)
		}
		c.HTTPClient = client
	}
	v := &Verifier{config: c, issuers: make(map[string]*keyring, len(c.Issuers))}
	cache, err := otter.New(&otter.Options[digest, *verified]{
		MaximumWeight: uint64(c.CacheSize),
		Weigher:       func(_ digest, e *verified) uint32 { return e.weight },
		ExpiryCalculator: otter.ExpiryCreatingFunc(func(e otter.Entry[digest, *verified]) time.Duration {
			// The clock decides on each use; this only gives the memory back.
			return max(e.Value.principal.Expires.Sub(c.Clock()), time.Millisecond)
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("token verifier: make the cache: %w", err)
	}
	v.cache = cache
	ctx, v.cancel = context.WithCancel(ctx)
	for _, is := range c.Issuers {
		ring := newKeyring(is, &v.config)
		v.issuers[is.Issuer] = ring
		v.order = append(v.order, ring)
		v.running.Go(func() { ring.run(ctx) })
	}
	return v, nil
}

// Close ends the background work and waits for it. Tokens of known keys can
// still be verified afterwards.
func (v *Verifier) Close() {
	v.cancel()
	v.running.Wait()
	v.cache.StopAllGoroutines()
	v.config.HTTPClient.CloseIdleConnections()
}

// Verify returns who a token speaks for. The error is a *fault.Error: 401
// invalid_token for a token that is not good, 503 identity_unavailable while
// that cannot be told; or ctx's error. Tokens of known keys never wait for the
// network.
func (v *Verifier) Verify(ctx context.Context, raw string) (*Principal, error) {
	if len(raw) > MaxLength {
		return nil, invalid("the token is longer than %d bytes", MaxLength)
	}
	d := digestOf(raw)
	if e, ok := v.cache.GetIfPresent(d); ok {
		if v.usable(e) == nil {
			v.hits.Add(1)
			return e.principal, nil
		}
		v.cache.Invalidate(d)
	}
	v.misses.Add(1)
	e, err := v.load(ctx, d, raw)
	if errors.Is(err, errUnknownKey) {
		if err = v.fetchKey(ctx, raw); err == nil {
			e, err = v.load(ctx, d, raw)
		}
	}
	if errors.Is(err, errUnknownKey) {
		return nil, invalid("the token's key is not one of the issuer's").Wrap(err)
	}
	if err != nil {
		return nil, err
	}
	// The entry may be another caller's, made a moment ago.
	if err := v.usable(e); err != nil {
		return nil, err
	}
	return e.principal, nil
}

// digestOf hashes the token without copying it.
func digestOf(raw string) digest {
	//nolint:gosec // read only, for the length of the call; a copy would cost the hit path its one allocation
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(raw), len(raw)))
}

// usable asks anew what may have changed since e was verified.
func (v *Verifier) usable(e *verified) error {
	now := v.config.Clock()
	if err := v.fresh(e.ring, now); err != nil {
		return err
	}
	switch {
	case !now.Before(e.principal.Expires):
		return expired()
	case e.key.withdrawn.Load():
		return invalid("the token's key has been withdrawn by the issuer")
	}
	return nil
}

// fresh refuses to judge by keys that were confirmed too long ago.
func (v *Verifier) fresh(r *keyring, now time.Time) error {
	if age := now.Sub(time.Unix(0, r.fetched.Load())); age > v.config.MaxKeyAge {
		return unavailable("the keys of issuer %s are older than %s and cannot be fetched", r.issuer.Issuer, v.config.MaxKeyAge)
	}
	return nil
}

// load verifies a token once for all who ask at the same time, and keeps it when
// it is good. It never waits for the network: a key that is not there is
// errUnknownKey.
func (v *Verifier) load(ctx context.Context, d digest, raw string) (*verified, error) {
	t, ring, err := v.read(ctx, raw)
	if err != nil {
		return nil, err
	}
	return v.cache.Get(ctx, d, otter.LoaderFunc[digest, *verified](func(context.Context, digest) (*verified, error) {
		k, err := v.checkSignature(t, ring)
		if err != nil {
			return nil, err
		}
		return &verified{
			principal: t.principal(&ring.issuer), ring: ring, key: k,
			weight: uint32(1 + len(t.payload)/cacheUnit),
		}, nil
	}))
}

// read does everything but the signature: cheap refusals come first, and a token
// that would be refused anyway never causes a fetch.
func (v *Verifier) read(ctx context.Context, raw string) (*unverified, *keyring, error) {
	t, bad := parse(raw)
	if bad != nil {
		return nil, nil, bad
	}
	if bad := t.checkHeader(); bad != nil {
		return nil, nil, bad
	}
	if t.claims.iss == "" {
		return nil, nil, invalid("the token has no iss")
	}
	ring, ok := v.issuers[t.claims.iss]
	if !ok {
		return nil, nil, invalid("the token is not of a known issuer")
	}
	if bad := t.checkClaims(&ring.issuer, v.config.Clock(), v.config.Leeway); bad != nil {
		return nil, nil, bad
	}
	if err := ring.first(ctx); err != nil {
		return nil, nil, err
	}
	return t, ring, v.fresh(ring, v.config.Clock())
}

func (v *Verifier) checkSignature(t *unverified, ring *keyring) (*key, error) {
	set, _, _ := ring.keys()
	if len(set[t.header.kid]) == 0 {
		return nil, errUnknownKey
	}
	fit := set.find(t.header.kid, t.header.alg)
	if len(fit) == 0 {
		return nil, invalid("the token's algorithm does not go with its key")
	}
	method := algorithms[t.header.alg].method
	for _, k := range fit {
		if method.Verify(t.signingInput, t.signature, k.public) == nil {
			return k, nil
		}
	}
	return nil, invalid("the token's signature is wrong")
}

// fetchKey waits for keys that are newer than the call.
func (v *Verifier) fetchKey(ctx context.Context, raw string) error {
	t, ring, err := v.read(ctx, raw)
	if err != nil {
		return err
	}
	return ring.newer(ctx, func(s keySet) bool { return len(s[t.header.kid]) > 0 })
}

// KeysReady reports whether tokens can be verified: the keys of at least one
// issuer are there and not too old.
func (v *Verifier) KeysReady() bool {
	for _, s := range v.KeyStatus() {
		if s.Known && s.Age <= v.config.MaxKeyAge {
			return true
		}
	}
	return false
}

// KeysAge returns how long ago keys were last confirmed, for the issuer where
// that is longest; 0 while none were ever fetched.
func (v *Verifier) KeysAge() time.Duration {
	var oldest time.Duration
	for _, s := range v.KeyStatus() {
		oldest = max(oldest, s.Age)
	}
	return oldest
}

// KeyStatus is the state of one issuer's keys.
type KeyStatus struct {
	// Issuer is as configured.
	Issuer string
	// Known is set once the keys were fetched.
	Known bool
	// Age is the time since the last good fetch; 0 unless Known.
	Age time.Duration
}

// KeyStatus returns the state of every issuer's keys, in the order of the
// configuration.
func (v *Verifier) KeyStatus() []KeyStatus {
	now := v.config.Clock()
	out := make([]KeyStatus, 0, len(v.order))
	for _, r := range v.order {
		s := KeyStatus{Issuer: r.issuer.Issuer}
		if _, fetched, ok := r.keys(); ok {
			s.Known, s.Age = true, max(now.Sub(fetched), 0)
		}
		out = append(out, s)
	}
	return out
}

// Stats returns how many tokens were found in the cache and how many were not.
func (v *Verifier) Stats() (hits, misses uint64) { return v.hits.Load(), v.misses.Load() }

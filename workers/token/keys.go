package token

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// fetchTimeout bounds one fetch: discovery, if needed, and keys.
	fetchTimeout = 5 * time.Second
	// fetchBurst fetches may follow at once, then one each fetchEvery.
	fetchBurst = 3
	fetchEvery = time.Second
	// maxRetry is the longest wait after failures of a keyring that has keys.
	maxRetry = 30 * time.Second
	// maxWaiters bounds the callers that wait for newer keys: a flood of tokens
	// with made-up kids must not hold every request of the process.
	maxWaiters = 1024
)

// keyring holds the keys of one issuer and keeps them fresh. One goroutine, run,
// does every fetch; callers only wait for a round of it.
type keyring struct {
	issuer  Issuer
	client  *http.Client
	every   time.Duration
	clock   func() time.Time
	log     *slog.Logger
	limiter *rate.Limiter
	wake    chan struct{}
	done    chan struct{}

	set     atomic.Pointer[keySet]
	fetched atomic.Int64 // clock, in Unix nanoseconds, of the last good fetch

	mu      sync.Mutex
	next    *round // asked for, not begun
	running *round // begun
	waiters int

	// Of run alone.
	jwksURI  string
	failures int
}

// round is one fetch; err may be read once done is closed.
type round struct {
	done chan struct{}
	err  error
}

func newKeyring(is Issuer, c *Config) *keyring {
	r := &keyring{
		issuer: is, client: c.HTTPClient, every: c.RefreshInterval, clock: c.Clock,
		log:     c.Logger.With("issuer", is.Issuer),
		limiter: rate.NewLimiter(rate.Every(fetchEvery), fetchBurst),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	// The first fetch is asked for at once, so that a caller who comes before it
	// has begun waits for it instead of being told that there are no keys.
	r.next = newRound()
	r.wake <- struct{}{}
	return r
}

func newRound() *round { return &round{done: make(chan struct{})} }

// keys returns the present set and when it was fetched; ok is false until one was.
func (r *keyring) keys() (set keySet, fetched time.Time, ok bool) {
	p := r.set.Load()
	if p == nil {
		return nil, time.Time{}, false
	}
	return *p, time.Unix(0, r.fetched.Load()), true
}

// run fetches until ctx ends: at once, then every interval, sooner after a
// failure or when asked.
func (r *keyring) run(ctx context.Context) {
	defer close(r.done)
	timer := time.NewTimer(r.every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-r.wake:
		}
		if r.limiter.Wait(ctx) != nil {
			return
		}
		now := r.begin()
		now.err = r.fetch(ctx)
		r.end(now)
		timer.Reset(r.pause())
	}
}

// pause is how long to wait after a fetch that nobody asked to repeat.
func (r *keyring) pause() time.Duration {
	if r.failures == 0 {
		return r.every
	}
	if r.set.Load() == nil {
		return fetchEvery
	}
	wait := fetchEvery << min(r.failures-1, 5)
	return min(wait, maxRetry, r.every)
}

func (r *keyring) begin() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.next
	if now == nil {
		now = newRound()
	}
	r.next, r.running = nil, now
	return now
}

func (r *keyring) end(now *round) {
	r.mu.Lock()
	r.running = nil
	r.mu.Unlock()
	close(now.done)
}

// join returns the round to wait for: the one that runs, or one to come, which
// is asked for. It is nil when too many wait already.
func (r *keyring) join(ask bool) (wait *round, begun bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiters >= maxWaiters {
		return nil, false
	}
	wait, begun = r.running, true
	if wait == nil {
		wait, begun = r.next, false
	}
	if wait == nil && ask {
		wait = newRound()
		r.next = wait
		select {
		case r.wake <- struct{}{}:
		default: // run has been woken and has not looked yet
		}
	}
	if wait != nil {
		r.waiters++
	}
	return wait, begun
}

func (r *keyring) leave() {
	r.mu.Lock()
	r.waiters--
	r.mu.Unlock()
}

// await waits for one round; the error is the caller's, the closed keyring's or
// the fetch's.
func (r *keyring) await(ctx context.Context, wait *round) error {
	defer r.leave()
	select {
	case <-wait.done:
		return wait.err
	case <-ctx.Done():
		return ctx.Err()
	case <-r.done:
		return context.Canceled
	}
}

// first waits for the fetch that is under way while there are no keys at all.
func (r *keyring) first(ctx context.Context) error {
	if r.set.Load() != nil {
		return nil
	}
	wait, _ := r.join(false)
	if wait != nil {
		if err := r.await(ctx, wait); err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if r.set.Load() == nil {
		return unavailable("the keys of issuer %s were never fetched; tokens cannot be verified", r.issuer.Issuer)
	}
	return nil
}

// newer waits until known is true, or a fetch that began after the call has
// ended. A fetch already under way may have read the set before the key was
// added to it, so it settles the matter only if it brings the key.
func (r *keyring) newer(ctx context.Context, known func(keySet) bool) error {
	for {
		wait, begun := r.join(true)
		if wait == nil {
			return unavailable("too many tokens of unknown keys are waiting for the keys of issuer %s", r.issuer.Issuer)
		}
		err := r.await(ctx, wait)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if set, _, ok := r.keys(); ok && known(set) {
			return nil
		}
		if begun {
			continue
		}
		if err != nil {
			return unavailable("the token's key is not known, and the keys of issuer %s cannot be fetched now", r.issuer.Issuer).Wrap(err)
		}
		return nil
	}
}

func (r *keyring) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	next, err := r.load(ctx)
	if err != nil {
		// The address may have changed; it is looked up again next time.
		r.jwksURI = ""
		r.failed(ctx, err)
		return err
	}
	var old keySet
	if p := r.set.Load(); p != nil {
		old = *p
	}
	next = renew(old, next)
	r.fetched.Store(r.clock().UnixNano())
	r.set.Store(&next)
	r.succeeded(ctx, old, next)
	return nil
}

func (r *keyring) load(ctx context.Context) (keySet, error) {
	if r.jwksURI == "" {
		meta, err := Discover(ctx, r.client, r.issuer.Issuer, r.issuer.DiscoveryURL)
		if err != nil {
			return nil, err
		}
		r.jwksURI = meta.JWKSURI
	}
	body, err := get(ctx, r.client, r.jwksURI)
	if err != nil {
		return nil, err
	}
	return parseKeys(body)
}

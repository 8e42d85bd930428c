// Package keycloak speaks with Keycloak on the gateway's own behalf: it
// exchanges callers' tokens for workers' audiences (RFC 8693, Keycloak's
// standard token exchange, 26.2 or newer).
package keycloak

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

const (
	// DefaultCacheSize is how many exchanged tokens are kept.
	DefaultCacheSize = 10_000
	// exchangeTimeout bounds one exchange, discovery included.
	exchangeTimeout = 5 * time.Second
	// maxAtOnce bounds the exchanges under way; more wait their turn.
	maxAtOnce = 32
	// maxMargin is how long before its expiry a token is no longer handed out: it
	// has to survive the worker's call.
	maxMargin = 30 * time.Second
)

// Config of an Exchanger. Issuer, ClientID and one of the secrets are required.
type Config struct {
	// Issuer is the exact issuer; its discovery document, below it or at
	// DiscoveryURL, names the token endpoint.
	Issuer       string
	DiscoveryURL string
	// ClientID is the gateway's own client.
	ClientID string
	// ClientSecret is its secret; ClientSecretFile, when set, is read instead,
	// anew for each exchange, so that the secret can be changed under way.
	ClientSecret     string
	ClientSecretFile string
	// CacheSize bounds the cache of exchanged tokens; 0 means DefaultCacheSize.
	CacheSize int
	// CAFile holds authorities trusted for the issuer beside the system's;
	// HTTPClient, when set, makes it meaningless.
	CAFile     string
	HTTPClient *http.Client
	// Logger takes refusals of the issuer; nil discards them. Tokens and secrets
	// are never logged.
	Logger *slog.Logger
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
}

// Exchanger exchanges tokens. It is safe for concurrent use; Close ends it.
type Exchanger struct {
	config Config
	secret *secret

	endpoint *tokenEndpoint

	cache *otter.Cache[cacheKey, issued]
	slots chan struct{}

	mu      sync.Mutex
	flights map[cacheKey]*flight
	running sync.WaitGroup
}

// cacheKey is the digest of a token and the digest of an audience: no token is
// kept as a key.
type cacheKey [2 * sha256.Size]byte

// issued is an exchanged token and the moment until which it is handed out.
type issued struct {
	token string
	until time.Time
}

// New returns an Exchanger. It does not call the issuer. The error lists every
// mistake of the configuration.
func New(c Config) (*Exchanger, error) {
	var errs []error
	if c.Issuer == "" {
		errs = append(errs, errors.New("the issuer is missing"))
	}
	if c.ClientID == "" {
		errs = append(errs, errors.New("the client id (auth.clientID) is missing"))
	}
	secret, err := newSecret(c.ClientSecret, c.ClientSecretFile)
	errs = append(errs, err)
	if c.HTTPClient == nil {
		c.HTTPClient, err = token.NewHTTPClient(c.CAFile)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("token exchange: %w", err)
	}
	if c.CacheSize <= 0 {
		c.CacheSize = DefaultCacheSize
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	cache, err := otter.New(&otter.Options[cacheKey, issued]{
		MaximumSize: c.CacheSize,
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[cacheKey, issued]) time.Duration {
			// The clock decides on each use; this only gives the memory back.
			return max(e.Value.until.Sub(c.Clock()), time.Millisecond)
		}),
	})
	if err != nil {
		return nil, fmt.Errorf("token exchange: make the cache: %w", err)
	}
	return &Exchanger{
		config: c, secret: secret, cache: cache,
		slots:    make(chan struct{}, maxAtOnce),
		flights:  make(map[cacheKey]*flight),
		endpoint: &tokenEndpoint{issuer: c.Issuer, discoveryURL: c.DiscoveryURL, client: c.HTTPClient},
	}, nil
}

// Close cancels the exchanges under way and waits for them. Nothing may be
// exchanged afterwards.
func (e *Exchanger) Close() {
	e.mu.Lock()
	for _, f := range e.flights {
		f.cancel()
	}
	e.mu.Unlock()
	e.running.Wait()
	e.cache.StopAllGoroutines()
	e.config.HTTPClient.CloseIdleConnections()
}

// Exchange returns a token that speaks for the same subject and is for audience
// alone. It comes from the cache until shortly before it expires; of those who
// ask for the same at the same time one asks the issuer. The subject token must
// have been verified. A failure is a *fault.Error, 503 identity_unavailable,
// unless ctx ended first: then it is ctx's error.
func (e *Exchanger) Exchange(ctx context.Context, subjectToken, audience string) (string, error) {
	if audience == "" {
		return "", unavailable("the worker has no audience to exchange the token for; set settings.audience")
	}
	key := keyOf(subjectToken, audience)
	if t, ok := e.cached(key); ok {
		return t, nil
	}
	f, t := e.join(ctx, key, subjectToken, audience)
	if f == nil {
		return t, nil
	}
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		e.leave(key, f)
		return "", ctx.Err()
	}
}

func keyOf(subjectToken, audience string) (k cacheKey) {
	a, b := sha256.Sum256([]byte(subjectToken)), sha256.Sum256([]byte(audience))
	copy(k[:], a[:])
	copy(k[sha256.Size:], b[:])
	return k
}

func (e *Exchanger) cached(key cacheKey) (string, bool) {
	i, ok := e.cache.GetIfPresent(key)
	if !ok || !e.config.Clock().Before(i.until) {
		return "", false
	}
	return i.token, true
}

func unavailable(format string, args ...any) *fault.Error {
	return fault.New(fault.Unavailable, token.CodeUnavailable, format, args...).After(time.Second)
}

package worker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/workers/token"
)

// AudienceForward is the audience of the tokens that a gateway in its shipped
// realm forwards: its own.
const AudienceForward = "muster"

// Off turns a listener off when it is given as its address.
const Off = "off"

// The defaults of Config.
const (
	DefaultAddr          = ":8080"
	DefaultGRPCAddr      = ":8081"
	DefaultPath          = "/api/filter"
	DefaultMaxBody       = 256 << 20
	DefaultMaxConcurrent = 256
	DefaultMaxTimeout    = 60 * time.Second
	DefaultDrainGrace    = 3 * time.Second
	DefaultDrainTimeout  = 25 * time.Second
)

// Principal is who is calling, from a verified token.
type Principal = token.Principal

// Func judges one element for one principal. It is called from many goroutines
// at once, for elements of different requests, and one after the other for the
// elements of one. ctx ends with the caller's deadline or when the caller goes
// away.
type Func func(ctx context.Context, p *Principal, e Element) Verdict

// BatchFunc judges several elements of one request at once, for workers that ask
// an outside source and want to ask once. It returns one verdict per element, in
// the batch's order; any other number, or an error, makes the request fail. A
// batch is a whole request or a part of one, so a verdict must depend on the
// principal and the element alone. Errors are answered as Fail does.
type BatchFunc func(ctx context.Context, p *Principal, b Batch) ([]Verdict, error)

// Verifier checks bearer tokens. *token.Verifier is the one that Auth makes.
// Implementations must be safe for concurrent use and return a *fault.Error.
type Verifier interface {
	Verify(ctx context.Context, raw string) (*token.Principal, error)
}

// Auth says which tokens are good. See the package documentation for the audience.
type Auth struct {
	// Issuer is the exact iss of good tokens, such as
	// https://sso.example.org/realms/muster. Required.
	Issuer string
	// Audience must be among the token's aud. Required.
	Audience string
	// DiscoveryURL is where the issuer's metadata is read from when the worker
	// cannot reach Issuer under its public name; empty means below Issuer.
	DiscoveryURL string
	// CAFile holds PEM certificates trusted for the issuer, besides the system's.
	CAFile string
}

// Config is a worker. UUID, Version, Auth (or Verifier) and one of Judge,
// JudgeBatch and Transform are required; every other field's zero value stands for
// its default.
type Config struct {
	// UUID is the worker's identity, the same on all replicas and over restarts;
	// case and braces do not matter.
	UUID string
	// Version is shown in the gateway; a changed version voids recorded conformance.
	Version string

	Judge      Func
	JudgeBatch BatchFunc
	// Transform makes the worker one of type RuleTransformation. Such a worker
	// speaks REST only, so GRPCAddr counts as Off.
	Transform TransformFunc
	// Gateway is the base URL that a Transform's rules are posted to, required with
	// it; GatewayHTTP makes the calls (nil: see client.RulesConfig).
	Gateway     string
	GatewayHTTP *http.Client

	Auth Auth
	// Verifier replaces Auth.
	Verifier Verifier

	// Addr is the REST listener (DefaultAddr), GRPCAddr the gRPC listener
	// (DefaultGRPCAddr); port 0 picks a free one, Off turns it off. One of them
	// must be on.
	Addr, GRPCAddr string
	// OpsAddr is a listener of its own for /livez, /readyz and /metrics; empty
	// serves them on Addr (which must then be on), Off nowhere.
	OpsAddr string
	// Path is where elements are posted (DefaultPath), or transformations started
	// (DefaultTransformPath).
	Path string
	// TLS secures the REST and gRPC listeners; see LoadTLS.
	TLS *tls.Config

	// MaxBody bounds a request's body in bytes, over gRPC the elements of a stream.
	MaxBody int64
	// MaxConcurrent bounds the requests in work; more are answered 503 busy. Of
	// transformations one runs at a time unless it says otherwise.
	MaxConcurrent int
	// MaxTimeout bounds a request's time, from its header to its last byte
	// (DefaultMaxTimeout, for a transformation DefaultTransformTimeout).
	MaxTimeout time.Duration
	// DrainGrace is how long requests are still accepted after readiness went off,
	// DrainTimeout how long those in flight may then take. Negative means none.
	DrainGrace, DrainTimeout time.Duration

	// Masks tells gateways over gRPC that the function may return Mask.
	Masks bool

	// Enrol registers the worker at a gateway on start; nil does not.
	Enrol *Enrol

	// Logger takes the worker's log; nil writes JSON to standard error.
	Logger *slog.Logger
	// Listening, when set, is called once, after the listeners accept.
	Listening func(Addresses)
}

// Addresses are the chosen host:port of the listeners; empty for those that are
// off. Ops is empty when its endpoints are on REST.
type Addresses struct {
	REST string `json:"http,omitempty"`
	GRPC string `json:"grpc,omitempty"`
	Ops  string `json:"ops,omitempty"`
}

// withDefaults returns a complete configuration, or all its mistakes at once.
func (c Config) withDefaults() (Config, error) {
	bad := c.mistakes()
	id, err := canonicalUUID(c.UUID)
	if err != nil {
		bad = append(bad, fmt.Errorf("UUID %q: %w", c.UUID, err))
	}
	c.UUID = id
	if c.Transform != nil {
		c = c.withTransformDefaults()
	}
	c.Addr = or(c.Addr, DefaultAddr)
	c.GRPCAddr = or(c.GRPCAddr, DefaultGRPCAddr)
	c.Path = or(c.Path, DefaultPath)
	c.MaxBody = or(c.MaxBody, DefaultMaxBody)
	c.MaxConcurrent = or(c.MaxConcurrent, DefaultMaxConcurrent)
	c.MaxTimeout = or(c.MaxTimeout, DefaultMaxTimeout)
	c.DrainGrace = or(c.DrainGrace, DefaultDrainGrace)
	c.DrainTimeout = or(c.DrainTimeout, DefaultDrainTimeout)
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	}
	if c.Addr == Off && c.GRPCAddr == Off {
		bad = append(bad, errors.New("Addr and GRPCAddr are both off; one of them must be on"))
	}
	if c.Addr == Off && c.OpsAddr == "" {
		c.OpsAddr = Off
	}
	if !strings.HasPrefix(c.Path, "/") {
		bad = append(bad, fmt.Errorf("Path %q must begin with a slash", c.Path))
	}
	if len(bad) > 0 {
		return c, fmt.Errorf("worker: bad configuration: %w", errors.Join(bad...))
	}
	return c, nil
}

func (c *Config) mistakes() []error {
	var bad []error
	check := func(ok bool, text string) {
		if !ok {
			bad = append(bad, errors.New(text))
		}
	}
	check(c.Version != "", "Version is empty; give the worker's own version, such as 1.0.0")
	functions := 0
	for _, set := range []bool{c.Judge != nil, c.JudgeBatch != nil, c.Transform != nil} {
		if set {
			functions++
		}
	}
	check(functions == 1, "set exactly one of Judge, JudgeBatch and Transform")
	if c.Transform != nil {
		bad = append(bad, c.transformMistakes()...)
	}
	if c.Verifier == nil {
		check(c.Auth.Issuer != "", "Auth.Issuer is empty; give the exact iss of good tokens")
		check(c.Auth.Audience != "", "Auth.Audience is empty; with identity forward it is the gateway's (\""+
			AudienceForward+"\"), with exchange the worker's own")
	}
	check(c.MaxBody >= 0, "MaxBody must not be negative")
	check(c.MaxConcurrent >= 0, "MaxConcurrent must not be negative")
	check(c.MaxTimeout >= 0, "MaxTimeout must not be negative")
	if c.Enrol != nil {
		bad = append(bad, c.Enrol.mistakes()...)
	}
	return bad
}

func canonicalUUID(text string) (string, error) {
	text = strings.TrimSpace(text)
	if len(text) == 38 && text[0] == '{' && text[37] == '}' {
		text = text[1:37]
	}
	if len(text) != 36 {
		return "", errors.New("want 36 characters such as 0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11")
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return "", fmt.Errorf("not a uuid: %w", err)
	}
	return id.String(), nil
}

func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

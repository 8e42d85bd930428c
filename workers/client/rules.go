package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The defaults of RulesConfig.
const (
	DefaultRulesBytes      = 4 << 20
	DefaultRulesCount      = 5000
	DefaultRulesAttempts   = 8
	DefaultRulesWithin     = 2 * time.Minute
	DefaultRulesFirstPause = 200 * time.Millisecond
	DefaultRulesMaxPause   = 15 * time.Second
)

// accessRulesPath is the published path of Graph Access Rules.
const accessRulesPath = "/api/graph-access-rule/accessRules"

// RulesConfig says where rules are posted, and how. Gateway and Token are
// required; every other field's zero value stands for its default.
type RulesConfig struct {
	// Gateway is the base URL, such as https://muster.example.org; a path of its
	// own stays in front of the published one.
	Gateway string
	// Token returns the bearer token to post with; it is asked for every attempt
	// and must be safe for concurrent use. Its subject becomes the rules' creator.
	Token func(ctx context.Context) (string, error)
	// HTTP makes the calls; nil means a client that follows no redirects, uses no
	// proxy and trusts the system's roots. A client that follows redirects would
	// carry the token to wherever it is sent.
	HTTP *http.Client
	// MaxBytes and MaxRules bound the body of one request of a Generation
	// (DefaultRulesBytes, DefaultRulesCount); a single larger rule travels alone.
	MaxBytes, MaxRules int
	// Attempts is how often one request is tried (DefaultRulesAttempts), Within how
	// long one attempt may take (DefaultRulesWithin).
	Attempts int
	Within   time.Duration
	// FirstPause and MaxPause bound the pauses between attempts, which double from
	// one to the next. A longer Retry-After is waited for, up to MaxPause.
	FirstPause, MaxPause time.Duration
}

// Rules posts Graph Access Rules to one gateway. It is safe for concurrent use;
// Close releases its connections.
//
// Requests are repeated on 502, 503, 504, 429 and lost connections: every one of
// them may be, because rules are known by their names. Its errors are *fault.Error
// with the gateway's code; one with code run_ended or generation_superseded is
// final (see Final).
type Rules struct {
	c     RulesConfig
	posts string
	own   *http.Transport // nil when the caller brought a client
}

// NewRules makes a poster, or reports all mistakes of its configuration at once.
// It does not connect.
func NewRules(c RulesConfig) (*Rules, error) {
	var bad []error
	u, err := url.Parse(c.Gateway)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		bad = append(bad, errors.New("Gateway must be an absolute http or https URL"))
	} else if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		bad = append(bad, errors.New("Gateway must have neither user information, a query nor a fragment"))
	}
	if c.Token == nil {
		bad = append(bad, errors.New("Token is missing; rules belong to whoever posts them"))
	}
	if c.MaxBytes < 0 || c.MaxRules < 0 || c.Attempts < 0 || c.Within < 0 || c.FirstPause < 0 || c.MaxPause < 0 {
		bad = append(bad, errors.New("MaxBytes, MaxRules, Attempts, Within, FirstPause and MaxPause must not be negative"))
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("client: bad configuration: %w", errors.Join(bad...))
	}
	c.MaxBytes = or(c.MaxBytes, DefaultRulesBytes)
	c.MaxRules = or(c.MaxRules, DefaultRulesCount)
	c.Attempts = or(c.Attempts, DefaultRulesAttempts)
	c.Within = or(c.Within, DefaultRulesWithin)
	c.FirstPause = or(c.FirstPause, DefaultRulesFirstPause)
	c.MaxPause = or(c.MaxPause, DefaultRulesMaxPause)
	r := &Rules{c: c, posts: strings.TrimSuffix(u.String(), "/") + accessRulesPath}
	if c.HTTP == nil {
		const handshake = 10 * time.Second
		r.own = &http.Transport{Proxy: nil, TLSHandshakeTimeout: handshake, ForceAttemptHTTP2: true}
		r.c.HTTP = &http.Client{Transport: r.own, CheckRedirect: noRedirect}
	}
	return r, nil
}

// noRedirect keeps a token from following a redirect to another address.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Close releases idle connections of the client's own. It never fails.
func (r *Rules) Close() {
	if r.own != nil {
		r.own.CloseIdleConnections()
	}
}

// Strategy says what becomes of rules that are there already.
type Strategy string

// The strategies of the published contract.
const (
	// Ignore skips rules whose name is taken.
	Ignore Strategy = "Ignore"
	// DeleteOnConflict replaces rules of the same name.
	DeleteOnConflict Strategy = "DeleteOnConflict"
	// DeleteAllForUser first removes every rule of the poster: the one strategy by
	// which a withdrawn permission goes.
	DeleteAllForUser Strategy = "DeleteAllForUser"
)

// Posted is what became of the rules of one request, by name.
type Posted struct {
	Created []string `json:"created"`
	Ignored []string `json:"ignored"`
	Deleted []string `json:"deleted"`
}

// Post sends rules in one request, which the gateway takes as a whole or not at
// all. With DeleteAllForUser a second Post removes what the first one created; use
// a Generation for rules that do not fit into one request.
func (r *Rules) Post(ctx context.Context, s Strategy, rules ...AccessRule) (Posted, error) {
	b := newBatch(s, "")
	for i := range rules {
		if err := b.add(&rules[i]); err != nil {
			return Posted{}, err
		}
	}
	var posted Posted
	err := r.send(ctx, r.posts, b.body(), func(in io.Reader) error {
		posted = Posted{}
		return json.NewDecoder(in).Decode(&posted)
	})
	return posted, err
}

func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

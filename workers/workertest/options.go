package workertest

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/muster-fleet/muster/workers/element"
)

// Level is how far a worker conforms; each level includes the ones before.
type Level string

// The levels, as in a worker's record.
const (
	None   Level = "none"
	Core   Level = "core"
	Robust Level = "robust"
	Laws   Level = "laws"
)

var levels = []Level{Core, Robust, Laws}

// TypeGraphSecurity is the type of workers that filter.
const TypeGraphSecurity = "ExternalGraphSecurity"

// The defaults of Options.
const (
	DefaultAnswerWithin = 10 * time.Second
	DefaultElements     = 10_000
	DefaultCallers      = 32
)

// Options say which worker is tested and how. URL is required; Tokens is, for
// anything that needs a good token: without it those cases are skipped and no
// level is reached.
type Options struct {
	// URL is the worker's URL as it would be registered: http(s):// with the path
	// that elements are posted to, or grpc(s)://host:port.
	URL string
	// Type is the expected worker type, by which the suite is chosen; empty means
	// the worker's word, and TypeGraphSecurity when that is not known.
	Type string
	// UUID is the expected identity in any spelling; empty takes the worker's word.
	UUID string
	// Replicas are URLs of further replicas, which must tell the same identity.
	Replicas []string
	// Level is the last level to run; empty means Laws.
	Level Level
	// Only names the cases to run, as level/case; empty runs all of them. A run of
	// some cases reaches no level.
	Only []string
	// Tokens gives the good token and the bad ones.
	Tokens Tokens
	// Mask says that the worker's registration allows changed values.
	Mask bool
	// Nodes and Relationships are elements of the contract's shape that the good
	// token's user may see. They join the suite's own.
	Nodes, Relationships []json.RawMessage
	// Wait is how long to wait at the beginning for a worker that does not run yet
	// or cannot verify tokens yet; 0 does not wait.
	Wait time.Duration
	// Transform is the body of the runs of a transformation; nil means the
	// contract's sample. Sink is what the worker takes for its gateway meanwhile;
	// without it nothing is proven of the rules. Prefix is what their names begin
	// with; empty demands that they begin alike.
	Transform json.RawMessage
	Sink      *RuleSink
	Prefix    string
	// AnswerWithin bounds every call (DefaultAnswerWithin).
	AnswerWithin time.Duration
	// Elements is the size of the large batches (DefaultElements).
	Elements int
	// Callers is how many call at once (DefaultCallers).
	Callers int
	// Seed makes a run repeatable; 0 takes a new one, which the report names.
	Seed uint64
	// TLS is used towards https and grpcs workers; nil trusts the system's roots.
	TLS *tls.Config
}

// withDefaults returns complete options, or all their mistakes at once.
func (o Options) withDefaults() (Options, error) {
	var bad []error
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Host == "":
		bad = append(bad, fmt.Errorf("URL %q is not absolute; give http(s)://host:port/path or grpc(s)://host:port", o.URL))
	case !strings.Contains(" http https grpc grpcs ", " "+u.Scheme+" "):
		bad = append(bad, fmt.Errorf("URL has the scheme %q; http, https, grpc and grpcs are known", u.Scheme))
	case u.User != nil || u.Fragment != "":
		bad = append(bad, errors.New("URL must have neither user information nor a fragment"))
	}
	if o.Type != "" && o.Type != TypeGraphSecurity && o.Type != TypeTransformation {
		bad = append(bad, fmt.Errorf("type %q is not known to this suite; known: %s, %s", o.Type, TypeGraphSecurity, TypeTransformation))
	}
	if o.Type == TypeTransformation && strings.HasPrefix(o.URL, "grpc") {
		bad = append(bad, errors.New("transformations are tested over REST only; give the worker's http(s) URL"))
	}
	if o.Transform != nil && !json.Valid(o.Transform) {
		bad = append(bad, errors.New("Transform is not JSON"))
	}
	o.Level = or(o.Level, Laws)
	if o.Level.rank() == 0 {
		bad = append(bad, fmt.Errorf("level %q is not known; known: core, robust, laws", o.Level))
	}
	o.AnswerWithin = or(o.AnswerWithin, DefaultAnswerWithin)
	o.Elements = or(o.Elements, DefaultElements)
	o.Callers = or(o.Callers, DefaultCallers)
	if o.AnswerWithin < 0 || o.Elements < 0 || o.Callers < 0 || o.Wait < 0 {
		bad = append(bad, errors.New("AnswerWithin, Elements, Callers and Wait must not be negative"))
	}
	bad = append(bad, badSamples(element.Nodes, o.Nodes)...)
	bad = append(bad, badSamples(element.Relationships, o.Relationships)...)
	if len(bad) > 0 {
		return o, fmt.Errorf("workertest: bad options: %w", errors.Join(bad...))
	}
	return o, nil
}

func badSamples(kind element.Kind, samples []json.RawMessage) (bad []error) {
	for i, s := range samples {
		if _, err := newTemplate(kind, s); err != nil {
			bad = append(bad, fmt.Errorf("sample %s[%d]: %w", kind.Key(), i, err))
		}
	}
	return bad
}

// rank orders the levels; None and unknown ones are 0.
func (l Level) rank() int {
	for i, known := range levels {
		if l == known {
			return i + 1
		}
	}
	return 0
}

func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

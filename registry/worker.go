package registry

import (
	"crypto/sha256"
	"time"
)

// WorkerID is a worker's uuid in canonical form: 36 characters, lower case.
type WorkerID string

// Revision is the store's change counter. It grows by at least one with every
// committed change and never moves otherwise.
type Revision int64

// Transport is the protocol that the gateway speaks with a worker.
type Transport string

// The transports.
const (
	TransportREST Transport = "rest"
	TransportGRPC Transport = "grpc"
)

// OnFailure says what a failing worker does to a filter request.
type OnFailure string

// The reactions to a failing worker. There is no way to fail open.
const (
	// FailRequest makes the request fail with an error that names the worker.
	FailRequest OnFailure = "fail"
	// HideUnjudged hides every element that the worker did not judge.
	HideUnjudged OnFailure = "hide"
)

// Identity says whose token a worker gets.
type Identity string

// The ways of passing identity on.
const (
	// IdentityForward sends the caller's own token.
	IdentityForward Identity = "forward"
	// IdentityExchange sends a token for the worker's audience, obtained by
	// token exchange (RFC 8693).
	IdentityExchange Identity = "exchange"
)

// The classes and types of the worker contract.
const (
	ClassResult = "result"

	TypeGraphSecurity      = "ExternalGraphSecurity"
	TypeRuleTransformation = "RuleTransformation"
)

// Settings are an operator's wishes about calls to one worker.
type Settings struct {
	// Timeout bounds one call; above 0, at most MaxTimeout.
	Timeout time.Duration
	// OnFailure is FailRequest or HideUnjudged.
	OnFailure OnFailure
	// Mask allows the worker to change property values.
	Mask bool
	// Identity is IdentityForward or IdentityExchange.
	Identity Identity
	// Audience is asked for by token exchange; required with IdentityExchange.
	Audience string
	// MaxElementsPerCall splits larger batches; 0 never splits. Above 0 it needs
	// conformance level "laws".
	MaxElementsPerCall int
	// MaxConcurrent bounds the calls in flight per replica; at least 1.
	MaxConcurrent int
}

// Level is how much of the conformance suite a worker has passed.
type Level string

// The conformance levels, each including the ones before.
const (
	LevelNone   Level = "none"
	LevelCore   Level = "core"
	LevelRobust Level = "robust"
	LevelLaws   Level = "laws"
)

// Conformance is the recorded outcome of "muster conform". It is void, and
// shown as LevelNone, when Version is not the worker's present version.
type Conformance struct {
	Level   Level
	At      time.Time // zero with LevelNone
	Version string
}

// Quarantine is the one part of a standing that is stored.
type Quarantine struct {
	Reason string
	Since  time.Time
}

// Worker is one registered worker: the operator's wish, what the worker said of
// itself, and its quarantine. Values are copied, never shared; a Worker reached
// through a Snapshot must not be changed.
type Worker struct {
	ID        WorkerID
	Name      string
	URL       string
	Class     string
	Type      string
	Version   string
	Transport Transport
	Active    bool
	// PausedUntil ends a pause by itself; zero when there is no end.
	PausedUntil time.Time
	Settings    Settings
	Conformance Conformance
	// Quarantined is nil unless the worker is in quarantine.
	Quarantined *Quarantine

	RegisteredBy string
	RegisteredAt time.Time
	UpdatedAt    time.Time
	// Revision changes with every change of wish or recorded version, and with
	// nothing else.
	Revision int64
}

// ActiveAt reports whether the operator wants the worker called at time t.
func (w *Worker) ActiveAt(t time.Time) bool {
	return w.Active || (!w.PausedUntil.IsZero() && !t.Before(w.PausedUntil))
}

// IsGraphSecurity reports whether the worker filters graphs.
func (w *Worker) IsGraphSecurity() bool {
	return w.Class == ClassResult && w.Type == TypeGraphSecurity
}

// State is a worker's standing in one word.
type State string

// The states. StateUnknown is the one before the first probe.
const (
	StateUnknown     State = "unknown"
	StateHealthy     State = "healthy"
	StateSuspect     State = "suspect"
	StateUnreachable State = "unreachable"
	StateQuarantined State = "quarantined"
)

// Standing is what probing and traffic found, from one replica's vantage.
type Standing struct {
	State     State
	Since     time.Time
	LastProbe time.Time // zero before the first probe
	LastError string    // empty when the last probe was good
	LatencyMS float64   // of the last good probe
	StableFor time.Duration
}

// Info is what a worker answers of itself, on GET / or Describe.
type Info struct {
	Class   string
	Type    string
	ID      WorkerID
	Version string
}

// Actor is who makes a change, for the audit log.
type Actor struct {
	// Subject and Issuer identify the principal; both empty for Muster itself.
	Subject string
	Issuer  string
	// Username is what people read; "muster" for Muster itself.
	Username string
	// RequestID and Address tell where the change came from; may be empty.
	RequestID string
	Address   string
	// Bearer is the SHA-256 of the token that the change is asked for with; zero
	// where there is none. It says in which run of a rule transformation the change
	// is made, if in any, and is never stored.
	Bearer [sha256.Size]byte
}

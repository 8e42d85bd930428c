package run

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// ID is the uuid of a run, canonical, version 7: later runs have larger ids.
type ID string

// State is where a run, or one attempt of it, is.
type State string

// The states. An attempt is never Queued.
const (
	// Queued waits for its turn: to begin, or to be tried again.
	Queued State = "queued"
	// Running is under way.
	Running State = "running"
	// Succeeded means that the worker answered 200, or its stream ended with OK.
	Succeeded State = "succeeded"
	// Failed means that it answered anything else, or nothing in time.
	Failed State = "failed"
	// Cancelled means that somebody ended it.
	Cancelled State = "cancelled"
	// Interrupted means that the gateway which carried it out ended or died.
	Interrupted State = "interrupted"
)

// States are all states, in the order in which a run may go through them.
func States() []State { return []State{Queued, Running, Succeeded, Failed, Cancelled, Interrupted} }

// Ended reports whether nothing follows any more.
func (s State) Ended() bool { return s != Queued && s != Running }

// The bounds of what a run keeps.
const (
	// MaxMessage is the most characters kept of a worker's message or of a line
	// of the log.
	MaxMessage = 2_000
	// MaxLines is the most lines that the log of one run has; the last one says
	// so when there would have been more.
	MaxLines = 1_000
	// MaxKey is the most bytes that an idempotency key may have.
	MaxKey = 255
	// KeyLife is for how long an idempotency key is honoured.
	KeyLife = 24 * time.Hour
	// Kept is how many ended runs are kept of each step, beside those younger
	// than KeyLife.
	Kept = 200
)

// The waits before a retry: FirstWait, doubled each time, at most LongestWait.
const (
	FirstWait   = 5 * time.Second
	LongestWait = 5 * time.Minute
)

// Backoff is how long a run waits after its nth attempt, counted from 1, before
// the next.
func Backoff(n int) time.Duration {
	wait := FirstWait
	for ; n > 1 && wait < LongestWait; n-- {
		wait *= 2
	}
	return min(wait, LongestWait)
}

// Run is one carrying out of a step. Values are copied, never shared.
type Run struct {
	ID   ID
	Step string
	// State is Queued before the first attempt, between attempts, and Running
	// during one.
	State State
	// StartedBy is the user name of who started it.
	StartedBy string
	QueuedAt  time.Time
	// NotBefore is when it may be tried again; zero before the first attempt.
	NotBefore time.Time
	// EndedAt is zero until it has ended.
	EndedAt time.Time
	// Retries is the step's, at the start of the run.
	Retries int
	// Cancelling says that it was cancelled while an attempt was under way, which
	// ends soon; what the attempt's token posts is refused already.
	Cancelling bool
	// Attempts are in the order of their numbers; the last one may be Running.
	Attempts []Attempt
	// Counts are of all attempts together.
	Counts Counts
	// Lines is how many lines its log has.
	Lines int64
}

// Attempt is one call of the step's worker.
type Attempt struct {
	// Number counts from 1.
	Number    int       `json:"number"`
	State     State     `json:"state"`
	StartedAt time.Time `json:"startedAt"`
	// EndedAt is zero while it is running.
	EndedAt time.Time `json:"endedAt,omitzero"`
	// Status is the HTTP status that the worker answered with; 0 when there was
	// none.
	Status int `json:"status,omitempty"`
	// Code is a stable name of what went wrong; empty when nothing did.
	Code string `json:"code,omitempty"`
	// Message is the worker's, or says why there is none. Control characters are
	// escaped.
	Message string `json:"message,omitempty"`
}

// Counts are what the rules posted by a run came to.
type Counts struct {
	Created, Ignored, Deleted int64
}

// Add returns the sums.
func (c Counts) Add(o Counts) Counts {
	return Counts{c.Created + o.Created, c.Ignored + o.Ignored, c.Deleted + o.Deleted}
}

// Line is one line of a run's log.
type Line struct {
	// Number counts from 1 without gaps.
	Number int64
	At     time.Time
	Text   string
}

// Current is the attempt under way, or nil.
func (r *Run) Current() *Attempt {
	if n := len(r.Attempts); n > 0 && r.Attempts[n-1].State == Running {
		return &r.Attempts[n-1]
	}
	return nil
}

// Last is the newest attempt, or nil before the first.
func (r *Run) Last() *Attempt {
	if len(r.Attempts) == 0 {
		return nil
	}
	return &r.Attempts[len(r.Attempts)-1]
}

// Message is what people should read of the run as it is.
func (r *Run) Message() string {
	if a := r.Last(); a != nil {
		return a.Message
	}
	return ""
}

// Clone returns a copy that shares nothing.
func (r *Run) Clone() *Run {
	c := *r
	c.Attempts = append([]Attempt(nil), r.Attempts...)
	return &c
}

// Digest is the SHA-256 of a bearer token, by which a run knows its own.
type Digest [sha256.Size]byte

// DigestOf makes the digest of a token.
func DigestOf(token string) Digest { return sha256.Sum256([]byte(token)) }

// String is the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

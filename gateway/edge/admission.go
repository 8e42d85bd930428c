package edge

import (
	"sync"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
)

// AdmissionConfig bounds what is in flight at once on one replica.
type AdmissionConfig struct {
	// Requests is how many filter requests may be in flight; at least MinRequests.
	Requests int
	// Bytes is how many bytes of bodies and replies may be held for them.
	Bytes int64
	// PrincipalShare is the part of Requests and Bytes that one principal may use,
	// above 0 and at most 1; 1 bounds no principal by itself.
	PrincipalShare float64
}

// MinRequests is the least that AdmissionConfig.Requests may be.
const MinRequests = 64

// retryAfter is what a shed caller is asked to wait. Filter requests last
// milliseconds, so the shortest wait that the header can express is right.
const retryAfter = time.Second

// Admission decides who gets in. It is safe for concurrent use.
type Admission struct {
	cfg AdmissionConfig

	mu       sync.Mutex
	requests int
	bytes    int64
	shares   map[string]*share
	shed     uint64
}

type share struct {
	requests int
	bytes    int64
}

// NewAdmission returns an Admission; numbers out of range are put right.
func NewAdmission(cfg AdmissionConfig) *Admission {
	cfg.Requests = max(cfg.Requests, MinRequests)
	if cfg.PrincipalShare <= 0 || cfg.PrincipalShare > 1 {
		cfg.PrincipalShare = 1
	}
	return &Admission{cfg: cfg, shares: make(map[string]*share)}
}

// Ticket is the place of one request. Its methods are for one goroutine.
type Ticket struct {
	a     *Admission
	who   string
	share *share
	bytes int64
}

// Enter admits one request of a principal (its issuer and subject), or returns
// a *fault.Error: Throttled when the principal is over its own share, else
// Unavailable "overloaded". Every Ticket must be left.
func (a *Admission) Enter(who string) (*Ticket, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.shares[who]
	if s != nil && a.shared() && s.requests >= a.shareOf(int64(a.cfg.Requests)) {
		a.shed++
		return nil, overShare("requests")
	}
	if a.requests >= a.cfg.Requests {
		a.shed++
		return nil, overloaded("too many requests are in flight")
	}
	if s == nil {
		s = &share{}
		a.shares[who] = s
	}
	a.requests++
	s.requests++
	return &Ticket{a: a, who: who, share: s}, nil
}

// Reserve counts n more bytes before they are read, or refuses them.
func (t *Ticket) Reserve(n int64) error {
	a := t.a
	a.mu.Lock()
	defer a.mu.Unlock()
	if n > a.cfg.Bytes-a.bytes {
		a.shed++
		return overloaded("the bytes in flight are at their limit (limits.inflightBytes)")
	}
	// One request alone may always use the whole budget: the share is for a
	// principal with several at once.
	if a.shared() && t.share.requests > 1 && t.share.bytes+n > int64(a.cfg.PrincipalShare*float64(a.cfg.Bytes)) {
		a.shed++
		return overShare("bytes")
	}
	a.bytes += n
	t.share.bytes += n
	t.bytes += n
	return nil
}

// Leave gives everything back. It may be called once.
func (t *Ticket) Leave() {
	a := t.a
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests--
	a.bytes -= t.bytes
	t.share.requests--
	t.share.bytes -= t.bytes
	if t.share.requests == 0 {
		delete(a.shares, t.who)
	}
}

// InFlight returns how many requests and bytes are admitted now.
func (a *Admission) InFlight() (requests int, bytes int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests, a.bytes
}

// Shed returns how many requests were refused since the start.
func (a *Admission) Shed() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.shed
}

func (a *Admission) shared() bool { return a.cfg.PrincipalShare < 1 }

func (a *Admission) shareOf(whole int64) int {
	return max(1, int(a.cfg.PrincipalShare*float64(whole)))
}

func overloaded(why string) error {
	return fault.New(fault.Unavailable, "overloaded", "%s; try again shortly", why).After(retryAfter)
}

func overShare(what string) error {
	return fault.New(fault.Throttled, "over_share",
		"this principal's own share of %s in flight is used up; wait for its other requests to end", what).After(retryAfter)
}

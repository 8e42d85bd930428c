package probe

import (
	"time"

	"github.com/muster-fleet/muster/registry"
)

// The rules of the fleet specification, section 3.
const (
	// suspectAfter and unreachableAfter count failed probes in a row.
	suspectAfter     = 1
	unreachableAfter = 3
	// healthyAfter counts good probes in a row, after a failure.
	healthyAfter = 2
	// quarantineAfter violations within violationWindow quarantine.
	quarantineAfter = 5
	violationWindow = time.Minute
	// trafficWindow is how long failures of traffic are remembered, at most
	// twice. They make a worker suspect from trafficFailures of them on, when at
	// least one call in trafficShare failed.
	trafficWindow   = 10 * time.Second
	trafficFailures = 3
	trafficShare    = 5
)

// Outcome is what became of a call that traffic made to a worker.
type Outcome uint8

// The outcomes.
const (
	// Answered is an answer that could be used, an error meant for the caller
	// (401, 403) included.
	Answered Outcome = iota
	// Failed is no answer, a late one or an error of the worker.
	Failed
	// Violated is an answer that breaks the contract. It counts towards
	// quarantine and not as a failure.
	Violated
)

// finding is what one probe came to.
type finding struct {
	// info holds what the worker said; members that it did not say are empty.
	info registry.Info
	took time.Duration
	// err is nil for a good probe.
	err string
}

// standing is the state machine of one worker. It is pure: it is told the time
// and what was seen, and does nothing but move. It is not safe for concurrent
// use. The zero value is a worker that was never probed.
type standing struct {
	// wish is the registration that the standing is of.
	wish *registry.Worker

	state     registry.State // as observed; quarantine lies over it
	since     time.Time
	lastProbe time.Time
	lastError string
	latency   time.Duration
	version   string // that the last good probe answered

	failures int // failed probes in a row
	goods    int // good probes in a row

	violations []time.Time // the latest, at most quarantineAfter
	window     traffic     // since windowFrom
	previous   traffic     // the trafficWindow before
	windowFrom time.Time

	// pending is a quarantine that the registry does not have yet.
	pending *registry.Quarantine
}

type traffic struct{ calls, failed int }

// newStanding starts with a registration that was not probed from here.
func newStanding(w *registry.Worker, now time.Time) *standing {
	return &standing{wish: w, state: registry.StateUnknown, since: now}
}

// newRegistered starts with a registration that has just passed its inspection.
func newRegistered(w *registry.Worker, at time.Time) *standing {
	return &standing{wish: w, state: registry.StateHealthy, since: at, lastProbe: at}
}

// sync takes over the newest registration. Another registration under the same
// uuid, another url (both were inspected before they were stored, and both end a
// quarantine) and a pardon make the worker healthy at once.
func (s *standing) sync(w *registry.Worker, now time.Time) {
	old := s.wish
	switch {
	case !old.RegisteredAt.Equal(w.RegisteredAt):
		*s = *newRegistered(w, w.RegisteredAt)
		return
	case old.URL != w.URL:
		*s = *newRegistered(w, w.UpdatedAt)
		return
	case old.Quarantined != nil && w.Quarantined == nil:
		s.pardoned(now)
	case w.Quarantined != nil:
		s.pending = nil
	}
	s.wish = w
}

func (s *standing) pardoned(now time.Time) {
	s.pending, s.violations, s.failures, s.lastError = nil, nil, 0, ""
	s.window, s.previous = traffic{}, traffic{}
	s.state, s.since = registry.StateHealthy, now
}

// probed takes in what a probe found.
func (s *standing) probed(f finding, now time.Time) {
	s.lastProbe = now
	if reason := s.impostor(f.info); reason != "" {
		s.quarantine(reason, now)
		s.lastError = reason
		return
	}
	if f.err != "" {
		s.lastError = f.err
		s.goods = 0
		s.failures++
		if s.failures >= unreachableAfter {
			s.move(registry.StateUnreachable, now)
		} else if s.failures >= suspectAfter && s.state != registry.StateUnreachable {
			s.move(registry.StateSuspect, now)
		}
		return
	}
	s.lastError, s.latency, s.failures = "", f.took, 0
	s.version = f.info.Version
	s.goods++
	s.roll(now)
	if s.state == registry.StateUnknown || (s.goods >= healthyAfter && !s.failing()) {
		s.move(registry.StateHealthy, now)
	}
}

// impostor says how the worker's answer differs from its registration, or
// nothing. Members that were not answered are a failed probe, not a difference.
func (s *standing) impostor(info registry.Info) string {
	got, err := registry.ParseWorkerID(string(info.ID))
	switch {
	case info.ID != "" && (err != nil || got != s.wish.ID):
		return "the worker answers another uuid, " + Printable(string(info.ID), maxObserved)
	case info.Class != "" && info.Class != s.wish.Class:
		return "the worker answers another class, " + Printable(info.Class, maxObserved)
	case info.Type != "" && info.Type != s.wish.Type:
		return "the worker answers another type, " + Printable(info.Type, maxObserved)
	}
	return ""
}

// observed takes in what became of a call.
func (s *standing) observed(o Outcome, now time.Time) {
	s.roll(now)
	s.window.calls++
	switch o {
	case Violated:
		s.violated(now)
	case Failed:
		s.window.failed++
		if s.failing() {
			s.goods = 0
			if s.state == registry.StateHealthy || s.state == registry.StateUnknown {
				s.move(registry.StateSuspect, now)
			}
		}
	case Answered:
	}
}

func (s *standing) violated(now time.Time) {
	keep := s.violations[:0]
	for _, at := range s.violations {
		if now.Sub(at) < violationWindow {
			keep = append(keep, at)
		}
	}
	keep = append(keep, now)
	s.violations = keep
	if len(s.violations) >= quarantineAfter {
		s.violations = nil
		s.quarantine("5 violations of the contract within a minute", now)
	}
}

// roll moves the traffic window on.
func (s *standing) roll(now time.Time) {
	switch age := now.Sub(s.windowFrom); {
	case age < trafficWindow:
	case age < 2*trafficWindow:
		s.previous, s.window, s.windowFrom = s.window, traffic{}, now
	default:
		s.previous, s.window, s.windowFrom = traffic{}, traffic{}, now
	}
}

// failing reports whether traffic fails often enough to make a worker suspect.
func (s *standing) failing() bool {
	failed, calls := s.window.failed+s.previous.failed, s.window.calls+s.previous.calls
	return failed >= trafficFailures && failed*trafficShare >= calls
}

// quarantine wishes for a quarantine unless there is one.
func (s *standing) quarantine(reason string, now time.Time) {
	if s.wish.Quarantined == nil && s.pending == nil {
		s.pending = &registry.Quarantine{Reason: reason, Since: now}
	}
}

func (s *standing) move(to registry.State, now time.Time) {
	if s.state != to {
		s.state, s.since = to, now
	}
}

// quarantined returns the quarantine that holds, stored or not yet, or nil.
func (s *standing) quarantined() *registry.Quarantine {
	if s.wish.Quarantined != nil {
		return s.wish.Quarantined
	}
	return s.pending
}

// current returns the state in one word.
func (s *standing) current() registry.State {
	if s.quarantined() != nil {
		return registry.StateQuarantined
	}
	return s.state
}

// at renders the standing as of now.
func (s *standing) at(now time.Time) registry.Standing {
	out := registry.Standing{
		State: s.state, Since: s.since, LastProbe: s.lastProbe, LastError: s.lastError,
		LatencyMS: float64(s.latency) / float64(time.Millisecond),
	}
	if q := s.quarantined(); q != nil {
		out.State, out.Since = registry.StateQuarantined, q.Since
		if out.LastError == "" {
			out.LastError = q.Reason
		}
	}
	out.StableFor = max(now.Sub(out.Since), 0)
	return out
}

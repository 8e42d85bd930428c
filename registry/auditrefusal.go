package registry

import (
	"net/netip"
	"sync"
	"time"
)

// ActionLoginFailed is the row for requests that nobody was let in with, in one
// minute, from one address, for one reason.
const ActionLoginFailed = "login_failed"

const (
	// maxRefusals is how many pairs of address and reason are told apart in a minute.
	maxRefusals = 1000
	// maxReasons is how many reasons are told apart among the others.
	maxReasons = 32
	// addressOthers stands for all further addresses, reasonOthers for all further
	// reasons.
	addressOthers = "others"
	reasonOthers  = "others"
)

// refusalKey is what refusals are counted by.
type refusalKey struct{ address, reason string }

// refusalCount is how often, and when.
type refusalCount struct {
	n           int64
	first, last time.Time
}

// refusals counts requests that were refused before anybody knew who makes them. It
// is bounded whatever is sent, and safe for concurrent use.
type refusals struct {
	mu   sync.Mutex
	open map[refusalKey]*refusalCount
}

// count adds n refusals. It costs about as much as hashing the address.
func (r *refusals) count(address, reason string, of refusalCount) {
	key := refusalKey{neighbourhood(address), storable(reason)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = make(map[refusalKey]*refusalCount)
	}
	r.add(key, of)
}

func (r *refusals) add(key refusalKey, of refusalCount) {
	c := r.open[key]
	if c == nil && len(r.open) >= maxRefusals && key.address != addressOthers {
		key.address = addressOthers
		c = r.open[key]
	}
	if c == nil && len(r.open) >= maxRefusals+maxReasons {
		key.reason = reasonOthers
		c = r.open[key]
	}
	if c == nil {
		r.open[key] = &of
		return
	}
	c.n += of.n
	if of.first.Before(c.first) {
		c.first = of.first
	}
	if of.last.After(c.last) {
		c.last = of.last
	}
}

// take returns what was counted and begins anew.
func (r *refusals) take() map[refusalKey]*refusalCount {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.open
	r.open = nil
	return all
}

// giveBack adds what could not be written to what has been counted since.
func (r *refusals) giveBack(all map[refusalKey]*refusalCount) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = make(map[refusalKey]*refusalCount)
	}
	for key, c := range all {
		r.add(key, *c)
	}
}

// neighbourhood is an address as refusals are counted by: an IPv4 address itself, of
// an IPv6 address the network of 64 bits, of which one host has all.
func neighbourhood(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		port, err := netip.ParseAddrPort(address)
		if err != nil {
			return "unknown"
		}
		addr = port.Addr()
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return "unknown"
	}
	return prefix.String()
}

// CountRefusal counts a request that was refused before anybody knew who makes it,
// by the address that it came from (with or without a port) and the code of the
// refusal. It never blocks and never fails; the rows are written in the background.
func (s *Service) CountRefusal(address, code string) {
	now := s.now()
	s.refused.count(address, code, refusalCount{1, now, now})
}

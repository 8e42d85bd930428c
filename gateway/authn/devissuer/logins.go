package devissuer

import (
	"crypto/rand"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	refreshLifetime = 30 * time.Minute
	deviceLifetime  = 10 * time.Minute
	// maxLogins bounds what is remembered of each kind; the oldest go first.
	maxLogins = 10_000
)

// logins remembers refresh tokens and device logins. It is safe for concurrent
// use.
type logins struct {
	clock func() time.Time

	mu      sync.Mutex
	refresh map[string]refreshLogin
	devices map[string]*deviceLogin // by device code
}

type refreshLogin struct {
	session session
	expires time.Time
}

type deviceLogin struct {
	client   string
	userCode string
	expires  time.Time
	session  *session
	denied   bool
}

func newLogins(clock func() time.Time) *logins {
	return &logins{clock: clock, refresh: map[string]refreshLogin{}, devices: map[string]*deviceLogin{}}
}

// prune drops what has expired, and anything when too much is left: losing a
// development login only costs another one.
func prune[V any](m map[string]V, expired func(V) bool) {
	for k, v := range m {
		if expired(v) || len(m) >= maxLogins {
			delete(m, k)
		}
	}
}

func (l *logins) keepRefresh(s session) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	prune(l.refresh, func(r refreshLogin) bool { return now.After(r.expires) })
	handle := rand.Text()
	l.refresh[handle] = refreshLogin{session: s, expires: now.Add(refreshLifetime)}
	return handle
}

// takeRefresh gives a refresh token's session once.
func (l *logins) takeRefresh(handle, clientID string) (session, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.refresh[handle]
	if !ok || r.session.client != clientID || l.clock().After(r.expires) {
		return session{}, false
	}
	delete(l.refresh, handle)
	return r.session, true
}

func (l *logins) startDevice(clientID string) (deviceCode, userCode string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	prune(l.devices, func(d *deviceLogin) bool { return now.After(d.expires) })
	text := rand.Text()
	userCode = text[:4] + "-" + text[4:8]
	deviceCode = uuid.NewString()
	l.devices[deviceCode] = &deviceLogin{client: clientID, userCode: userCode, expires: now.Add(deviceLifetime)}
	return deviceCode, userCode
}

// settle approves or denies the login of a user code; it reports whether there
// was one to settle.
func (l *logins) settle(userCode string, a account, approved bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.devices {
		if d.userCode != userCode || d.session != nil || d.denied || l.clock().After(d.expires) {
			continue
		}
		if !approved {
			d.denied = true
			return true
		}
		s := newSession(a, d.client)
		d.session = &s
		return true
	}
	return false
}

// poll answers a device's question whether it has been approved (RFC 8628
// section 3.5).
func (l *logins) poll(deviceCode, clientID string) (session, *refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d, ok := l.devices[deviceCode]
	switch {
	case !ok || d.client != clientID:
		return session{}, refuse(http.StatusBadRequest, "invalid_grant", "Device code not valid")
	case l.clock().After(d.expires):
		return session{}, refuse(http.StatusBadRequest, "expired_token", "Device code is expired")
	case d.denied:
		return session{}, refuse(http.StatusBadRequest, "access_denied", "The end user denied the authorization request")
	case d.session == nil:
		return session{}, refuse(http.StatusBadRequest, "authorization_pending", "The authorization request is still pending")
	}
	delete(l.devices, deviceCode)
	return *d.session, nil
}

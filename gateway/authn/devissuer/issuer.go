// Package devissuer is an issuer of access tokens for development and tests. It
// speaks the paths and the token shapes of a Keycloak realm named muster, knows
// three people and four clients whose secrets are public, and therefore listens
// on loopback addresses only.
package devissuer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Realm is the name of the one realm.
	Realm = "muster"
	// DefaultAddr is where `muster dev` puts the issuer.
	DefaultAddr = "127.0.0.1:8180"
	// DefaultLifetime is how long access tokens live.
	DefaultLifetime = time.Hour

	realmPath    = "/realms/" + Realm
	protocolPath = realmPath + "/protocol/openid-connect"

	maxForm       = 64 << 10
	headerTimeout = 5 * time.Second
	bodyTimeout   = 10 * time.Second
	idleTimeout   = time.Minute
)

// Config of an Issuer; the zero value is a usable one.
type Config struct {
	// Addr is host:port, with a loopback host; empty means DefaultAddr. Port 0
	// picks a free one.
	Addr string
	// Lifetime of access tokens; 0 means DefaultLifetime.
	Lifetime time.Duration
	// ApproveDevicesAs, when set, approves every device login at once as that
	// person, without the page.
	ApproveDevicesAs string
	// WorkerAudiences are those that a token may be exchanged for; nil means any.
	WorkerAudiences []string
	// DevicePoll is the interval that a device login is told to poll with; 0
	// means 1 s.
	DevicePoll time.Duration
	// Users and Groups are listed by the admin endpoints beside the people and
	// their groups, as whole paths; nobody logs in as one of these.
	Users, Groups []string
	// Logger takes the loud warning and what is issued; nil discards it.
	Logger *slog.Logger
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
}

// Issuer is a running development issuer. It is safe for concurrent use; Close
// ends it.
type Issuer struct {
	config  Config
	keys    *keyring
	logins  *logins
	base    string
	addr    string
	handler http.Handler
	fetches atomic.Int64
	pages   atomic.Int64

	mu     sync.Mutex
	server *http.Server
	served chan struct{}
}

// New starts an issuer. It refuses an address that is not loopback.
func New(ctx context.Context, c Config) (*Issuer, error) {
	if c.Addr == "" {
		c.Addr = DefaultAddr
	}
	if c.Lifetime == 0 {
		c.Lifetime = DefaultLifetime
	}
	if c.DevicePoll == 0 {
		c.DevicePoll = time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	host, err := loopbackHost(ctx, c.Addr)
	if err != nil {
		return nil, err
	}
	keys, err := newKeyring()
	if err != nil {
		return nil, err
	}
	i := &Issuer{config: c, keys: keys, logins: newLogins(c.Clock)}
	i.handler = i.routes()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return nil, fmt.Errorf("development issuer: listen on %s: %w", c.Addr, err)
	}
	i.addr = listener.Addr().String()
	_, port, err := net.SplitHostPort(i.addr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("development issuer: read the address %s: %w", i.addr, err), listener.Close())
	}
	i.base = "http://" + net.JoinHostPort(host, port)
	i.serve(listener)
	c.Logger.Warn("DEVELOPMENT ISSUER: it gives anyone on this machine any identity; never let a real service trust it",
		"issuer", i.URL(), "people", names(), "password", "the name")
	return i, nil
}

// loopbackHost returns the host of addr if all its addresses are loopback.
func loopbackHost(ctx context.Context, addr string) (string, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("development issuer: address %q is not host:port: %w", addr, err)
	}
	refused := fmt.Errorf("development issuer: address %q is not a loopback one; it must not be reachable by others: use %s", addr, DefaultAddr)
	if host == "" {
		return "", refused
	}
	addrs, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return "", fmt.Errorf("development issuer: resolve %q: %w", host, err)
	}
	for _, a := range addrs {
		if !a.IP.IsLoopback() {
			return "", refused
		}
	}
	return host, nil
}

// serve answers on a listener until the server it makes is closed.
func (i *Issuer) serve(l net.Listener) {
	i.mu.Lock()
	defer i.mu.Unlock()
	server := &http.Server{
		Handler:           http.MaxBytesHandler(i.handler, maxForm),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(i.config.Logger.Handler(), slog.LevelDebug),
	}
	served := make(chan struct{})
	i.server, i.served = server, served
	go func() {
		defer close(served)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			i.config.Logger.Error("the development issuer stopped serving", "error", err)
		}
	}()
}

// Close stops the issuer and waits for it; requests under way are cut off.
func (i *Issuer) Close() error {
	i.mu.Lock()
	server, served := i.server, i.served
	i.server = nil
	i.mu.Unlock()
	if server == nil {
		return nil
	}
	err := server.Close()
	<-served
	if err != nil {
		return fmt.Errorf("development issuer: close: %w", err)
	}
	return nil
}

// URL is the issuer: the iss of its tokens, above its discovery document.
func (i *Issuer) URL() string { return i.base + realmPath }

// TokenURL is the token endpoint.
func (i *Issuer) TokenURL() string { return i.base + protocolPath + "/token" }

// Addr is the address it listens on, as host:port.
func (i *Issuer) Addr() string { return i.addr }

func (i *Issuer) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+realmPath+"/.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET "+protocolPath+"/certs", i.certs)
	mux.HandleFunc("POST "+protocolPath+"/token", i.token)
	mux.HandleFunc("POST "+protocolPath+"/auth/device", i.startDevice)
	mux.HandleFunc("GET "+realmPath+"/device", i.devicePage)
	mux.HandleFunc("POST "+realmPath+"/device", i.approveDevice)
	i.adminRoutes(mux)
	return mux
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	i.writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                i.URL(),
		"token_endpoint":                        i.TokenURL(),
		"jwks_uri":                              i.base + protocolPath + "/certs",
		"device_authorization_endpoint":         i.base + protocolPath + "/auth/device",
		"grant_types_supported":                 []string{grantPassword, grantClient, grantRefresh, grantDevice, grantExchange},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post", "none"},
		"id_token_signing_alg_values_supported": []string{signingAlg},
		"subject_types_supported":               []string{"public"},
		"response_types_supported":              []string{"none"},
		"scopes_supported":                      []string{"openid", "profile", "email"},
	})
}

func (i *Issuer) certs(w http.ResponseWriter, _ *http.Request) {
	i.fetches.Add(1)
	i.writeJSON(w, http.StatusOK, i.keys.public())
}

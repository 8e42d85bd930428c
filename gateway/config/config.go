// Package config is the gateway's configuration: a YAML file, overridden by
// MUSTER_* environment variables, overridden by flags. It is read once at the
// start; every mistake in any of the three is reported at the same time, with
// the place where it stands and what is allowed there. Secrets are types of
// their own that print as "(secret)".
//
// The names are an interface that scripts rely on; schema.json beside this file
// and docs/reference/configuration.md are held equal to the structs below by
// tests.
package config

import (
	"net/netip"
	"time"
)

// Version is the newest config_version that this build reads.
const Version = 1

// Config is the whole configuration. A Config that Load returned is valid;
// values are copied, never shared. Each field's tags give its name in the file
// (key), its flag where it has one, what it is (doc) and what it may be (allowed).
type Config struct {
	// ConfigVersion is the version that the file claims; 0 without one.
	ConfigVersion int `key:"config_version" env:"-" doc:"version of the file's layout" allowed:"1"`

	HTTP HTTP `key:"http"`
	GRPC GRPC `key:"grpc"`
	Ops  Ops  `key:"ops"`
	// Store is where the register is kept; it may hold a password.
	Store StoreURL `key:"store" flag:"store" doc:"where the register is kept; as a flag, a URL with a password is refused" allowed:"duckdb:PATH or postgres://USER@HOST/DATABASE"`
	// UUID is the gateway's own uuid, canonical; empty means that the store's is used.
	UUID string `key:"uuid" doc:"the gateway's own uuid; without it one is made at the first start and kept in the store" allowed:"a uuid"`

	Auth    Auth    `key:"auth"`
	TLS     TLS     `key:"tls"`
	Workers Workers `key:"workers"`
	Limits  Limits  `key:"limits"`
	Filter  Filter  `key:"filter"`
	Rules   Rules   `key:"rules"`
	Drain   Drain   `key:"drain"`
	Log     Log     `key:"log"`

	Access          Access          `key:"access"`
	Transformations Transformations `key:"transformations"`
	Audit           Audit           `key:"audit"`
}

// HTTP is the listener of the API.
type HTTP struct {
	Addr string `key:"addr" flag:"http-addr" doc:"address of the HTTP listener; port 0 picks a free one" allowed:"HOST:PORT or :PORT"`
}

// GRPC is the listener of the gRPC API.
type GRPC struct {
	Addr string `key:"addr" flag:"grpc-addr" doc:"address of the gRPC listener; port 0 picks a free one" allowed:"HOST:PORT or :PORT"`
}

// Ops is the operations listener: /metrics, /livez, /readyz.
type Ops struct {
	Addr  string `key:"addr" flag:"ops-addr" doc:"address of the operations listener; port 0 picks a free one" allowed:"HOST:PORT or :PORT"`
	Pprof bool   `key:"pprof" flag:"ops-pprof" doc:"serve /debug/pprof on the operations listener" allowed:"true or false"`
}

// Auth says whose tokens are believed. Use Trusted to read the issuers.
type Auth struct {
	Issuer   string `key:"issuer" doc:"exact issuer of the tokens, with the discovery document below it" allowed:"an http or https URL"`
	Audience string `key:"audience" doc:"audience that a token must contain" allowed:"a name"`
	// Issuers replaces Issuer and Audience when there are several.
	Issuers      []Issuer `key:"issuers" doc:"several issuers, in place of auth.issuer and auth.audience" allowed:"a list of {issuer, audience, usernamePrefix, groupsPrefix, mapRoles, discoveryURL}; as a variable, in JSON; both prefixes are mandatory for all but the first"`
	DiscoveryURL string   `key:"discoveryURL" doc:"internal address of the issuer, when it differs from the public one; goes with auth.issuer" allowed:"an http or https URL"`
	CAFile       string   `key:"caFile" doc:"certificates that sign the issuer's, beside the system's" allowed:"a PEM file"`
	ClientID     string   `key:"clientID" doc:"the gateway's own client, for token exchange and for reading users, groups and clients" allowed:"a name; goes with a client secret"`
	// ClientSecret is the secret itself, read from ClientSecretFile when that is set.
	ClientSecret       Secret        `key:"clientSecret" doc:"secret of auth.clientID; better given as a file" allowed:"text"`
	ClientSecretFile   string        `key:"clientSecretFile" doc:"file with the secret of auth.clientID" allowed:"a file of at most 64 KiB"`
	ManagementAudience string        `key:"managementAudience" doc:"audience that the management endpoints demand; without it, that of the issuer" allowed:"a name"`
	MaxKeyAge          time.Duration `key:"maxKeyAge" doc:"how long the last good keys serve while the issuer is down" allowed:"a duration of at least 1m"`
	Leeway             time.Duration `key:"leeway" doc:"how far nbf and iat may lie ahead; exp has none" allowed:"a duration from 0s to 1m"`
}

// Issuer is one entry of Auth.Issuers.
type Issuer struct {
	Issuer         string `json:"issuer"`
	Audience       string `json:"audience"`
	UsernamePrefix string `json:"usernamePrefix,omitempty"`
	GroupsPrefix   string `json:"groupsPrefix,omitempty"`
	MapRoles       bool   `json:"mapRoles,omitempty"`
	DiscoveryURL   string `json:"discoveryURL,omitempty"`
}

// Trusted returns the issuers whose tokens are believed, in either way of
// writing them: the single one maps its roles and has no prefixes.
func (a Auth) Trusted() []Issuer {
	if len(a.Issuers) > 0 {
		return append([]Issuer(nil), a.Issuers...)
	}
	if a.Issuer == "" {
		return nil
	}
	return []Issuer{{Issuer: a.Issuer, Audience: a.Audience, MapRoles: true, DiscoveryURL: a.DiscoveryURL}}
}

// TLS is the gateway's own certificate, for the HTTP and the gRPC listener.
type TLS struct {
	CertFile string `key:"certFile" doc:"certificate chain of the listeners, reloaded on change" allowed:"a PEM file; goes with tls.keyFile"`
	KeyFile  string `key:"keyFile" doc:"key of the listeners, reloaded on change" allowed:"a PEM file; goes with tls.certFile"`
}

// Enabled reports whether the listeners speak TLS.
func (t TLS) Enabled() bool { return t.CertFile != "" }

// Workers is how the gateway meets its workers.
type Workers struct {
	CAFile         string         `key:"caFile" doc:"certificates that sign the workers', in place of the system's; reloaded on change" allowed:"a PEM file"`
	ClientCertFile string         `key:"clientCertFile" doc:"certificate that the gateway shows to workers, reloaded on change" allowed:"a PEM file; goes with workers.clientKeyFile"`
	ClientKeyFile  string         `key:"clientKeyFile" doc:"key of workers.clientCertFile, reloaded on change" allowed:"a PEM file; goes with workers.clientCertFile"`
	RequireTLS     bool           `key:"requireTLS" doc:"refuse workers without TLS" allowed:"true or false"`
	AllowedCIDRs   []netip.Prefix `key:"allowedCIDRs" doc:"where workers may live" allowed:"address ranges such as 10.0.0.0/8, separated by commas"`
	ProbeInterval  time.Duration  `key:"probeInterval" doc:"time between two probes of a worker" allowed:"a duration of at least 100ms"`
}

// Limits bound what one request, and all together, may take.
type Limits struct {
	MaxBody        Size          `key:"maxBody" doc:"largest body of a filter request" allowed:"a size such as 4194304 or 4MiB, at least 1KiB"`
	MaxTimeout     time.Duration `key:"maxTimeout" doc:"longest deadline that a caller may ask for" allowed:"a duration above 0s"`
	DefaultTimeout time.Duration `key:"defaultTimeout" doc:"deadline of a request that names none" allowed:"a duration above 0s, at most limits.maxTimeout"`
	// InflightBytes is 0 for half of the memory limit.
	InflightBytes Size `key:"inflightBytes" doc:"bytes of bodies and replies held at once; 0 takes half of the memory limit" allowed:"a size such as 512MiB, or 0"`
	Requests      int  `key:"requests" doc:"requests served at once" allowed:"a whole number of at least 64"`
	// PrincipalShare bounds one principal; 100 bounds nobody beside all together.
	PrincipalShare int `key:"principalShare" doc:"how much of limits.requests and limits.inflightBytes one principal may use, in percent; beyond it 429 over_share" allowed:"a whole number from 1 to 100"`
}

// What Filter.UnknownMembers may be.
const (
	// RefuseUnknown answers 400 to an element with a member that the contract does not name.
	RefuseUnknown = "refuse"
	// DropUnknown leaves such members out.
	DropUnknown = "drop"
)

// Filter is about the filter endpoint.
type Filter struct {
	MinWorkers     int    `key:"minWorkers" doc:"fewer active ExternalGraphSecurity workers than this make every filter request fail with no_security_worker" allowed:"a whole number from 0 to 1000"`
	UnknownMembers string `key:"unknownMembers" doc:"what happens to members of an element that the contract does not name" allowed:"refuse or drop"`
}

// Rules is about Graph Access Rules.
type Rules struct {
	Enabled bool `key:"enabled" doc:"apply Graph Access Rules before any worker is asked: what no rule shows is not visible" allowed:"true or false"`
}

// Access is about who may do what.
type Access struct {
	// RoleMapping puts bearers of tokens into groups.
	RoleMapping map[string]string `key:"roleMapping" doc:"groups of Muster that realm roles and groups of the identity provider stand for, compared exactly" allowed:"role:NAME or group:PATH, each with the name of a group; as a variable, in JSON"`
	// GroupPattern is compiled where it is used; it matches whole names.
	GroupPattern string        `key:"groupPattern" doc:"names of groups that the identity provider may create here, as a regular expression for the whole name; without it, none" allowed:"a regular expression (RE2)"`
	IDPFreshness time.Duration `key:"idpFreshness" doc:"how long stored groups of the identity provider count for personal access tokens after they were last confirmed" allowed:"a duration from 1m to 8760h"`
	Tokens       Tokens        `key:"tokens"`
	// MarketplacePlugins are listed for grants.
	MarketplacePlugins []string `key:"marketplacePlugins" doc:"plugins of marketplaces that can be granted" allowed:"slug/plugin, separated by commas"`
	SeedAdminEmail     string   `key:"seedAdminEmail" env:"MUSTER_SEED_ADMIN_EMAIL" doc:"e-mail address of the first administrator, who is made a member of Admin at each start" allowed:"an e-mail address"`
}

// Tokens is about personal access tokens.
type Tokens struct {
	MaxAge         time.Duration `key:"maxAge" doc:"longest life of a personal access token" allowed:"a duration from 24h to 87600h"`
	AllowUnlimited bool          `key:"allowUnlimited" doc:"allow personal access tokens without an end" allowed:"true or false"`
}

// Transformations is about rule transformations.
type Transformations struct {
	SecretsDir string `key:"secretsDir" doc:"directory of the files with the secrets of the steps' clients" allowed:"a directory"`
}

// Audit is about the audit log.
type Audit struct {
	KeyFile   string        `key:"keyFile" doc:"keys that the audit log is chained with, the newest first; without it, an embedded store gets a file beside it and PostgreSQL a chain without a key" allowed:"a file with one key a line, in hex or base64, of at least 32 bytes, readable by its owner alone"`
	Retention time.Duration `key:"retention" doc:"how long rows of the audit log are kept; 0s keeps them for ever" allowed:"0s, or a duration from 24h to 876000h"`
}

// Drain is how the gateway ends.
type Drain struct {
	Grace   time.Duration `key:"grace" doc:"how long requests are still served after readiness went off" allowed:"a duration from 0s to 10m"`
	Timeout time.Duration `key:"timeout" doc:"how long requests in flight may take to finish after that" allowed:"a duration above 0s, at most 1h"`
}

// What Log.Format may be.
const (
	FormatJSON = "json"
	FormatText = "text"
)

// Log is about the log on standard error.
type Log struct {
	Level  string `key:"level" flag:"log-level" doc:"least level that is logged" allowed:"debug, info, warn or error"`
	Format string `key:"format" flag:"log-format" doc:"form of the log; with json every line on both output streams is a JSON object" allowed:"json or text"`
}

// Default returns the configuration of an empty environment. It is not valid:
// auth has no default.
func Default() Config {
	return Config{
		HTTP:  HTTP{Addr: ":8080"},
		GRPC:  GRPC{Addr: ":8081"},
		Ops:   Ops{Addr: ":9090"},
		Store: "duckdb:./muster.db",
		Auth:  Auth{MaxKeyAge: 24 * time.Hour, Leeway: 5 * time.Second},
		Workers: Workers{
			AllowedCIDRs: []netip.Prefix{
				netip.MustParsePrefix("10.0.0.0/8"),
				netip.MustParsePrefix("172.16.0.0/12"),
				netip.MustParsePrefix("192.168.0.0/16"),
				netip.MustParsePrefix("fc00::/7"),
			},
			ProbeInterval: 10 * time.Second,
		},
		Limits: Limits{
			MaxBody:        256 << 20,
			MaxTimeout:     time.Minute,
			DefaultTimeout: 10 * time.Second,
			Requests:       1024,
			PrincipalShare: 100,
		},
		Filter: Filter{UnknownMembers: RefuseUnknown},
		Rules:  Rules{Enabled: true},
		Access: Access{
			RoleMapping:  map[string]string{"role:muster-admin": "Admin"},
			IDPFreshness: 24 * time.Hour,
			Tokens:       Tokens{MaxAge: 3650 * 24 * time.Hour},
		},
		Drain: Drain{Grace: 3 * time.Second, Timeout: 25 * time.Second},
		Log:   Log{Level: "info", Format: FormatJSON},
	}
}

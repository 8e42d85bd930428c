package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/registry/audit"
)

// checker collects what is wrong with values that could be read. Keys that
// could not be are skipped: their mistake is known already.
type checker struct {
	r       *reader
	skip    map[string]bool
	allowed map[string]string
}

func (c *checker) wrong(key, format string, args ...any) {
	if c.skip[key] {
		return
	}
	where, ok := c.r.found.source[key]
	if !ok {
		where = "(not set)"
	}
	c.r.found.mistake(where, key, fmt.Sprintf(format, args...), c.allowed[key])
}

// validate checks every section and adds to the reader's mistakes.
func (r *reader) validate(cfg *Config, bad map[string]bool) {
	c := &checker{r: r, skip: bad, allowed: map[string]string{}}
	for _, f := range r.fields {
		c.allowed[f.Key] = f.Allowed
	}
	c.version(cfg.ConfigVersion)
	c.address("http.addr", cfg.HTTP.Addr)
	c.address("grpc.addr", cfg.GRPC.Addr)
	c.address("ops.addr", cfg.Ops.Addr)
	c.store(cfg.Store)
	c.uuid(&cfg.UUID)
	c.auth(&cfg.Auth)
	c.pair("tls.certFile", cfg.TLS.CertFile, "tls.keyFile", cfg.TLS.KeyFile)
	c.workers(&cfg.Workers)
	c.limits(&cfg.Limits)
	c.filter(&cfg.Filter)
	c.access(&cfg.Access)
	c.directory("transformations.secretsDir", cfg.Transformations.SecretsDir)
	c.audit(&cfg.Audit)
	c.between("drain.grace", cfg.Drain.Grace, 0, 10*time.Minute)
	c.between("drain.timeout", cfg.Drain.Timeout, 1, time.Hour)
	c.log(&cfg.Log)
}

func (c *checker) version(v int) {
	if _, set := c.r.found.source["config_version"]; !set {
		return
	}
	switch {
	case v > Version:
		c.wrong("config_version", "is %d, and this build reads up to %d: it was written for a newer Muster", v, Version)
	case v < Version:
		c.wrong("config_version", "is %d, which never was a version", v)
	}
}

func (c *checker) address(key, addr string) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		c.wrong(key, "%q is not an address to listen on", addr)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		c.wrong(key, "%q has no port from 0 to 65535", addr)
	}
	if strings.ContainsAny(host, " /@") {
		c.wrong(key, "%q has no host name in front of its port", addr)
	}
}

func (c *checker) store(s StoreURL) {
	// The value is never quoted: it may hold a password in a form not foreseen.
	if path, ok := s.Path(); ok {
		if path == "" {
			c.wrong("store", "names no file after duckdb:")
		}
		return
	}
	if !s.Postgres() {
		c.wrong("store", "is neither duckdb: nor postgres://")
		return
	}
	u, err := url.Parse(string(s))
	switch {
	case err != nil:
		c.wrong("store", "is not a URL")
	case u.Host == "" && !u.Query().Has("host"):
		c.wrong("store", "names no host")
	}
}

func (c *checker) uuid(id *string) {
	if *id == "" {
		return
	}
	u, err := uuid.Parse(*id)
	if err != nil || u == uuid.Nil || strings.HasPrefix(*id, "urn:") {
		c.wrong("uuid", "%q is not a uuid", *id)
		return
	}
	*id = u.String()
}

func (c *checker) workers(w *Workers) {
	c.certificates("workers.caFile", w.CAFile)
	c.pair("workers.clientCertFile", w.ClientCertFile, "workers.clientKeyFile", w.ClientKeyFile)
	c.between("workers.probeInterval", w.ProbeInterval, 100*time.Millisecond, 24*time.Hour)
}

func (c *checker) limits(l *Limits) {
	if l.MaxBody < 1<<10 {
		c.wrong("limits.maxBody", "is %s", l.MaxBody)
	}
	c.between("limits.maxTimeout", l.MaxTimeout, 1, 24*time.Hour)
	c.between("limits.defaultTimeout", l.DefaultTimeout, 1, 24*time.Hour)
	if l.DefaultTimeout > l.MaxTimeout && l.MaxTimeout > 0 && !c.skip["limits.maxTimeout"] {
		c.wrong("limits.defaultTimeout", "is %s, longer than limits.maxTimeout with %s",
			shortDuration(l.DefaultTimeout), shortDuration(l.MaxTimeout))
	}
	if l.Requests < 64 {
		c.wrong("limits.requests", "is %d", l.Requests)
	}
	if l.PrincipalShare < 1 || l.PrincipalShare > 100 {
		c.wrong("limits.principalShare", "is %d", l.PrincipalShare)
	}
}

func (c *checker) filter(f *Filter) {
	if f.MinWorkers < 0 || f.MinWorkers > 1000 {
		c.wrong("filter.minWorkers", "is %d", f.MinWorkers)
	}
	if f.UnknownMembers != RefuseUnknown && f.UnknownMembers != DropUnknown {
		c.wrong("filter.unknownMembers", "%q is not known", f.UnknownMembers)
	}
}

func (c *checker) audit(a *Audit) {
	if a.KeyFile != "" {
		if _, err := audit.ReadKeyFile(a.KeyFile); err != nil {
			c.wrong("audit.keyFile", "%v", err)
		}
	}
	if a.Retention != 0 {
		c.between("audit.retention", a.Retention, 24*time.Hour, 876_000*time.Hour)
	}
}

// directory checks a directory, when one is named.
func (c *checker) directory(key, name string) {
	if name == "" {
		return
	}
	if info, err := os.Stat(name); err != nil {
		c.wrong(key, "cannot be read: %v", err)
	} else if !info.IsDir() {
		c.wrong(key, "%s is not a directory", name)
	}
}

func (c *checker) log(l *Log) {
	var level slog.Level
	switch l.Level {
	case "debug", "info", "warn", "error":
	default:
		if err := level.UnmarshalText([]byte(l.Level)); err != nil || strings.ContainsAny(l.Level, "+-") {
			c.wrong("log.level", "%q is not a level", l.Level)
		} else {
			l.Level = strings.ToLower(level.String())
		}
	}
	if l.Format != FormatJSON && l.Format != FormatText {
		c.wrong("log.format", "%q is not a format", l.Format)
		l.Format = FormatJSON
	}
}

// SlogLevel returns the level for slog.
func (l Log) SlogLevel() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return slog.LevelInfo
	}
	return level
}

func (c *checker) between(key string, d, least, most time.Duration) {
	if d < least || d > most {
		c.wrong(key, "is %s", shortDuration(d))
	}
}

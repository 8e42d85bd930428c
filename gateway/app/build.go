package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/trace"

	"github.com/muster-fleet/muster/gateway/address"
	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authn/keycloak"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/certs"
	"github.com/muster-fleet/muster/gateway/config"
	"github.com/muster-fleet/muster/gateway/edge"
	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/idpsync"
	"github.com/muster-fleet/muster/gateway/pipeline"
	"github.com/muster-fleet/muster/gateway/probe"
	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/registry/audit"
	"github.com/muster-fleet/muster/registry/store/duckdb"
	"github.com/muster-fleet/muster/registry/store/postgres"
	"github.com/muster-fleet/muster/workers/token"
)

// gateway is every component of one process.
type gateway struct {
	cfg     config.Config
	version string
	log     *slog.Logger
	metrics *prometheus.Registry
	tracer  trace.Tracer

	dialer   *address.Dialer
	upstream *certs.Source
	listener *tls.Config
	registry *registry.Service
	canary   *canary
	prober   *probe.Prober
	verifier *token.Verifier
	authn    *authn.Authenticator
	access   *authz.Access
	gate     *edge.Gate
	recorder *idpsync.Recorder
	// directory reads users and groups of the identity provider.
	directory *keycloak.Directory
	fleet     *fanout.Fleet
	filter    *pipeline.Filter

	admission *edge.Admission
	drain     *edge.Drain
	edge      *edge.Metrics
	http      *edge.HTTPServer
	grpc      *edge.GRPCServer
	ops       *edge.HTTPServer

	// background is further work that start begins.
	background []func(context.Context)

	wg      sync.WaitGroup
	closers []func(context.Context) error // in the order of building
}

// build makes the components in the order of their dependencies. On an error
// everything built so far is closed.
func build(ctx context.Context, cfg config.Config, version string, log *slog.Logger) (*gateway, error) {
	g := &gateway{cfg: cfg, version: version, log: log, metrics: prometheus.NewRegistry(), drain: edge.NewDrain()}
	g.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, step := range []func(context.Context) error{
		g.buildTelemetry, g.buildTLS, g.buildIdentity, g.buildRegistry, g.buildAccess, g.buildFleet, g.buildTransform, g.buildEdge,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, g.abandon(ctx))
		}
	}
	return g, nil
}

// abandon closes what has been built so far.
func (g *gateway) abandon(ctx context.Context) error {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(g.closeListeners(closing), g.close(closing))
}

// onClose adds what close will do; the last one added is done first.
func (g *gateway) onClose(f func(context.Context) error) { g.closers = append(g.closers, f) }

// close undoes the building, the operations listener last.
func (g *gateway) close(ctx context.Context) error {
	var err error
	for _, undo := range slices.Backward(g.closers) {
		err = errors.Join(err, undo(ctx))
	}
	g.closers = nil
	if g.ops != nil {
		err = errors.Join(err, g.ops.Shutdown(ctx))
	}
	return err
}

func (g *gateway) buildTelemetry(ctx context.Context) error {
	tracer, end, err := newTracer(ctx, g.version, g.log)
	if err != nil {
		return err
	}
	g.tracer = tracer
	g.onClose(func(ctx context.Context) error { end(ctx); return nil })
	return nil
}

func (g *gateway) buildTLS(context.Context) error {
	var err error
	if g.cfg.TLS.Enabled() {
		if g.listener, err = certs.Server(g.cfg.TLS.CertFile, g.cfg.TLS.KeyFile, g.log); err != nil {
			return err
		}
	}
	w := g.cfg.Workers
	g.upstream, err = certs.Client(certs.ClientFiles{CA: w.CAFile, Cert: w.ClientCertFile, Key: w.ClientKeyFile}, g.log)
	g.dialer = &address.Dialer{Policy: &address.Policy{Allowed: w.AllowedCIDRs}}
	return err
}

func (g *gateway) buildIdentity(ctx context.Context) error {
	a := g.cfg.Auth
	issuers := make([]token.Issuer, 0, len(a.Trusted()))
	for _, i := range a.Trusted() {
		issuers = append(issuers, token.Issuer{
			Issuer: i.Issuer, Audience: i.Audience, DiscoveryURL: i.DiscoveryURL,
			UsernamePrefix: i.UsernamePrefix, GroupsPrefix: i.GroupsPrefix, MapRoles: i.MapRoles,
		})
	}
	leeway := a.Leeway
	if leeway == 0 {
		leeway = -1 // the verifier's word for none at all
	}
	v, err := token.NewVerifier(context.WithoutCancel(ctx), token.Config{
		Issuers: issuers, CAFile: a.CAFile, MaxKeyAge: a.MaxKeyAge, Leeway: leeway, Logger: g.log,
	})
	if err != nil {
		return fmt.Errorf("auth: %w", err)
	}
	g.verifier = v
	g.onClose(func(context.Context) error { v.Close(); return nil })
	g.authn = authn.New(v, authn.Options{
		ManagementAudience: a.ManagementAudience,
		// Nothing is authenticated before the registry is open.
		Refused:   func(address, code string) { g.registry.CountRefusal(address, code) },
		Access:    func() *access.Set { return g.registry.Snapshot().Access },
		TokenUsed: func(id access.ID, at time.Time, address string) { g.registry.TokenUsed(id, at, address) },
		Saw:       func(p *token.Principal) { g.recorder.Saw(p) },
	})
	g.registerIdentityMetrics()
	return nil
}

func (g *gateway) registerIdentityMetrics() {
	g.metrics.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "muster_token_cache_hits_total", Help: "Tokens found among the verified ones.",
		}, func() float64 { hits, _ := g.verifier.Stats(); return float64(hits) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "muster_token_cache_misses_total", Help: "Tokens that had to be verified.",
		}, func() float64 { _, misses := g.verifier.Stats(); return float64(misses) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "muster_jwks_age_seconds", Help: "Time since the issuers' keys were last confirmed; the largest of all issuers.",
		}, func() float64 { return g.verifier.KeysAge().Seconds() }),
	)
}

// openStore opens the store that the configuration names; alone, for who must not
// work on it beside a gateway.
func openStore(ctx context.Context, cfg config.Config, keys *audit.Keys, alone bool, log *slog.Logger) (keptStore, error) {
	dsn := cfg.Store.Reveal()
	if path, ok := strings.CutPrefix(dsn, "duckdb:"); ok {
		return duckdb.Open(ctx, path, duckdb.Options{Logger: log, Chain: keys})
	}
	if u, err := url.Parse(dsn); err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return nil, errors.New("store: neither duckdb:PATH nor a postgres:// URL")
	}
	return postgres.Open(ctx, dsn, postgres.Options{Logger: log, Chain: keys, Alone: alone})
}

func (g *gateway) buildRegistry(ctx context.Context) error {
	keys, err := auditKeys(g.cfg, g.log)
	if err != nil {
		return err
	}
	store, err := openStore(ctx, g.cfg, keys, false, g.log)
	if err != nil {
		return err
	}
	inspector := probe.NewInspector(probe.InspectorConfig{Dialer: g.dialer, TLS: g.upstream.Config})
	svc, err := registry.Open(ctx, store, registry.Options{
		Logger: g.log, Inspector: inspector, GatewayID: registry.WorkerID(g.cfg.UUID),
		MinSecurityWorkers: g.cfg.Filter.MinWorkers, RequireTLS: g.cfg.Workers.RequireTLS,
		AuditRetention: g.cfg.Audit.Retention,
	})
	if err != nil {
		return errors.Join(err, store.Close(ctx))
	}
	g.registry = svc
	g.onClose(svc.Close)
	g.watchStore(ctx, store)
	g.metrics.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "muster_snapshot_revision", Help: "The store's change counter that this replica serves from.",
		}, func() float64 { return float64(svc.Snapshot().Revision) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "muster_snapshot_age_seconds", Help: "Time since the snapshot was last known to be the newest.",
		}, func() float64 { return svc.Age().Seconds() }),
	)
	g.prober, err = probe.New(probe.Config{Interval: g.cfg.Workers.ProbeInterval}, probe.Deps{
		Registry: svc, Inspector: inspector, Logger: g.log, Metrics: g.metrics,
	})
	return err
}

// standingObserver passes what calls found on to the prober.
type standingObserver struct{ prober *probe.Prober }

var outcomes = map[fanout.Result]probe.Outcome{
	fanout.Succeeded: probe.Answered, fanout.Failed: probe.Failed, fanout.Violated: probe.Violated,
}

func (o standingObserver) Observe(id registry.WorkerID, r fanout.Result, _ string) {
	o.prober.Observe(id, outcomes[r])
}

func (g *gateway) buildFleet(ctx context.Context) error {
	var exchanger fanout.Exchanger
	if a := g.cfg.Auth; a.ClientID != "" {
		issuer := a.Trusted()[0]
		x, err := keycloak.New(keycloak.Config{
			Issuer: issuer.Issuer, DiscoveryURL: issuer.DiscoveryURL, CAFile: a.CAFile,
			ClientID: a.ClientID, ClientSecret: a.ClientSecret.Reveal(), ClientSecretFile: a.ClientSecretFile, Logger: g.log,
		})
		if err != nil {
			return fmt.Errorf("auth.clientID: %w", err)
		}
		exchanger = x
		g.onClose(func(context.Context) error { x.Close(); return nil })
	}
	fleet, err := fanout.New(context.WithoutCancel(ctx), fanout.Config{}, fanout.Deps{
		Dialer: g.dialer, TLS: g.upstream, Exchanger: exchanger, Observer: standingObserver{g.prober},
		Logger: g.log, Metrics: g.metrics, Tracer: g.tracer,
	})
	if err != nil {
		return err
	}
	g.fleet = fleet
	g.onClose(fleet.Close)
	fleet.Sync(g.registry.Snapshot())
	g.filter, err = pipeline.New(pipeline.Config{MinWorkers: g.cfg.Filter.MinWorkers}, pipeline.Deps{
		Snapshots: g.registry.Snapshot, Fleet: fleet, Standings: g.prober.State, Rules: g.rules(),
	})
	return err
}

// rules is the engine of Graph Access Rules, or nil when they are switched off.
func (g *gateway) rules() *rules.Engine {
	if !g.cfg.Rules.Enabled {
		return nil
	}
	return rules.New(rules.Config{})
}

// start begins the background work; it ends with ctx.
func (g *gateway) start(ctx context.Context) {
	g.wg.Go(func() { g.prober.Run(ctx) })
	g.wg.Go(func() {
		for snap := range g.registry.Watch(ctx) {
			g.fleet.Sync(snap)
		}
	})
	for _, work := range g.background {
		g.wg.Go(func() { work(ctx) })
	}
	g.http.Serve()
	g.grpc.Serve()
	g.ops.Serve()
}

// warnAtStart says what an operator should not learn from an answer.
func (g *gateway) warnAtStart() {
	active := 0
	now := time.Now()
	for _, w := range g.registry.Snapshot().GraphSecurity() {
		if w.ActiveAt(now) {
			active++
		}
	}
	switch {
	case active < g.cfg.Filter.MinWorkers:
		g.log.Warn("fewer active ExternalGraphSecurity workers than filter.minWorkers: every filter request will fail with no_security_worker",
			"active", active, "minWorkers", g.cfg.Filter.MinWorkers)
	case active == 0 && !g.cfg.Rules.Enabled:
		g.log.Warn("no ExternalGraphSecurity worker is active and Graph Access Rules are off: every caller with a valid token sees everything that is sent; register a worker, set rules.enabled, or set filter.minWorkers")
	}
	if s := g.registry.Snapshot(); g.cfg.Rules.Enabled && s.Rules.Len() == 0 {
		g.log.Warn("there are no Graph Access Rules: nobody sees anything until rules are posted, or rules.enabled is switched off")
	}
}

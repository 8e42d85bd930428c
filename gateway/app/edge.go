package app

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"google.golang.org/grpc"

	"github.com/muster-fleet/muster/gateway/edge"
	"github.com/muster-fleet/muster/gateway/edge/accessrules"
	"github.com/muster-fleet/muster/gateway/edge/admin"
	auditlog "github.com/muster-fleet/muster/gateway/edge/audit"
	"github.com/muster-fleet/muster/gateway/edge/fleet"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/gateway/edge/transformations"
	registryv1 "github.com/muster-fleet/muster/proto/gen/muster/registry/v1"
)

// maxMessage bounds a message that a gRPC caller sends: one element may be large,
// and a chunk is meant to hold about a megabyte.
const maxMessage = 16 << 20

// buildEdge makes the listeners; nothing is answered before start.
func (g *gateway) buildEdge(ctx context.Context) error {
	l := g.cfg.Limits
	g.admission = edge.NewAdmission(edge.AdmissionConfig{
		Requests: l.Requests, Bytes: inflightBytes(int64(l.InflightBytes), setMemoryLimit(g.log)), PrincipalShare: float64(l.PrincipalShare) / 100,
	})
	g.edge = edge.NewMetrics(g.metrics, g.admission)
	filterCfg := edge.FilterConfig{
		MaxBody: int64(l.MaxBody), DefaultTimeout: l.DefaultTimeout, MaxTimeout: l.MaxTimeout,
		DropUnknownMembers: g.cfg.Filter.UnknownMembers == "drop",
	}
	filterDeps := edge.FilterDeps{
		Gate: g.gate, Pipeline: g.filter, Snapshot: g.registry.Snapshot, Admission: g.admission,
		Drain: g.drain, Metrics: g.edge, Tracer: g.tracer, Logger: g.log,
	}
	fleetDeps := fleet.Deps{
		Registry: g.registry, Prober: g.prober, Gate: g.gate.Guard, Logger: g.log, Ending: g.drain.Ending(),
	}
	handler := fleet.Handler(fleetDeps)
	ruleHandler := accessrules.Handler(accessrules.Deps{
		Registry: g.registry, Judge: g.filter, Gate: g.gate.Guard, Logger: g.log, MaxBody: int64(l.MaxBody),
	})
	auditHandler := auditlog.Handler(auditlog.Deps{Registry: g.registry, Gate: g.gate.Guard, Logger: g.log})
	frame := rest.API{Gate: g.gate.Guard, Logger: g.log}
	api := edge.API(g.version, filterCfg, filterDeps, append(slices.Concat(
		g.transformations(), g.administration(),
		edge.HealthRoutes(g.gate, g.version, func() edge.Health { return g.canary.health(g.version) }),
	),
		edge.Route{Pattern: "/api/workers", Handler: handler, Endpoint: "workers"},
		edge.Route{Pattern: "/api/workers/", Handler: handler, Endpoint: "workers"},
		edge.Route{Pattern: auditlog.Root, Handler: auditHandler, Endpoint: "audit"},
		edge.Route{Pattern: auditlog.Root + "/", Handler: auditHandler, Endpoint: "audit"},
		edge.Route{Pattern: accessrules.ModelPath, Handler: ruleHandler, Endpoint: "graph-model"},
		edge.Route{Pattern: accessrules.Root + "/", Handler: ruleHandler, Endpoint: "access-rules"},
		edge.Route{Pattern: rest.OpenAPIPath, Handler: frame.Description(g.version, fleet.Describe, accessrules.Describe, transformations.Describe, auditlog.Describe, admin.Describe, edge.DescribeHealth), Endpoint: "openapi"},
	)...)
	return g.listen(ctx, api, func(s *grpc.Server) {
		edge.RegisterFilter(s, filterCfg, filterDeps)
		registryv1.RegisterRegistryServer(s, fleet.NewGRPC(fleetDeps))
	})
}

// listen opens the three listeners; when one fails, build closes the others.
func (g *gateway) listen(ctx context.Context, api http.Handler, services func(*grpc.Server)) error {
	var err error
	if g.http, err = edge.ListenHTTP(ctx, g.cfg.HTTP.Addr, g.listener, api, g.log); err != nil {
		return err
	}
	g.grpc, err = edge.ListenGRPC(ctx, g.cfg.GRPC.Addr, edge.GRPCConfig{MaxMessage: maxMessage}, edge.GRPCDeps{
		Gate: g.gate, Drain: g.drain, Metrics: g.edge, Logger: g.log, TLS: g.listener,
	}, services)
	if err != nil {
		return err
	}
	g.ops, err = edge.ListenHTTP(ctx, g.cfg.Ops.Addr, nil, edge.Ops(g.metrics, g.drain, g.checks(), g.cfg.Ops.Pprof), g.log)
	return err
}

// closeListeners takes the API's listeners down; the operations listener stays.
func (g *gateway) closeListeners(ctx context.Context) error {
	var err error
	if g.http != nil {
		err = g.http.Shutdown(ctx)
	}
	if g.grpc != nil {
		err = errors.Join(err, g.grpc.Shutdown(ctx))
	}
	return err
}

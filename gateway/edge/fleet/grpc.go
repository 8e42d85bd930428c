package fleet

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	registryv1 "github.com/muster-fleet/muster/proto/gen/muster/registry/v1"
	"github.com/muster-fleet/muster/registry"
)

// GRPC serves muster.registry.v1.Registry. It is safe for concurrent use.
type GRPC struct {
	registryv1.UnimplementedRegistryServer
	s *service
}

// NewGRPC returns the gRPC side of the API, to be registered with
// registryv1.RegisterRegistryServer.
func NewGRPC(d Deps) *GRPC { return &GRPC{s: &service{Deps: d}} }

// call does a call, whose caller the listener has let in, and makes its error one
// that gRPC can carry.
func (g *GRPC) call(ctx context.Context, method string, do func(rest.Caller) error) error {
	caller, ok := rest.CallerFrom(ctx)
	err := error(fault.New(fault.Unauthenticated, "invalid_token", "nobody has asked who is calling"))
	if ok {
		err = do(caller)
	}
	if err == nil {
		return nil
	}
	e := fault.From(err)
	if (e.Kind == fault.Internal || e.Kind == fault.Unavailable) && e.Code != codeDraining {
		level := slog.LevelWarn
		if e.Kind == fault.Internal {
			level = slog.LevelError
		}
		g.s.Logger.Log(ctx, level, "management call failed", "method", method,
			"code", e.Code, "detail", e.Detail, "cause", errors.Unwrap(e), "request_id", caller.RequestID)
	}
	return e
}

// Register validates a worker by calling it and stores the record.
func (g *GRPC) Register(ctx context.Context, req *registryv1.RegisterRequest) (resp *registryv1.RegisterResponse, err error) {
	err = g.call(ctx, "Register", func(who rest.Caller) error {
		in := registry.RegisterInput{
			URL: req.GetUrl(), UUID: req.GetUuid(), Name: req.GetName(), Transport: req.GetTransport(), Active: req.Active,
		}
		in.Settings = settingsOf(req.GetSettings(), &in.Violations)
		record, _, err := g.s.register(ctx, &who, in, req.GetDryRun())
		resp = &registryv1.RegisterResponse{Worker: record.proto()}
		return err
	})
	return resp, err
}

// List returns a page of workers.
func (g *GRPC) List(ctx context.Context, req *registryv1.ListRequest) (resp *registryv1.ListResponse, err error) {
	err = g.call(ctx, "List", func(who rest.Caller) error {
		var p rest.Parameters
		q := query{class: req.GetClass(), typ: req.GetType(), state: registry.State(req.GetState()), active: req.Active, limit: int(req.GetLimit())}
		if q.limit == 0 {
			q.limit = rest.DefaultLimit
		}
		p.CheckLimit(q.limit)
		if q.state != "" {
			checkState(&p, q.state)
		}
		if c := req.GetCursor(); c != "" {
			q.after = readCursor(&p, c)
		}
		if err := p.Err(); err != nil {
			return err
		}
		records, next := g.s.list(q, &who)
		resp = &registryv1.ListResponse{Items: protos(records), NextCursor: next}
		return nil
	})
	return resp, err
}

// Get returns one worker.
func (g *GRPC) Get(ctx context.Context, req *registryv1.GetRequest) (resp *registryv1.GetResponse, err error) {
	err = g.call(ctx, "Get", func(rest.Caller) error {
		record, err := g.s.get(req.GetUuid())
		resp = &registryv1.GetResponse{Worker: record.proto()}
		return err
	})
	return resp, err
}

// Update changes the fields that are set.
func (g *GRPC) Update(ctx context.Context, req *registryv1.UpdateRequest) (resp *registryv1.UpdateResponse, err error) {
	err = g.call(ctx, "Update", func(who rest.Caller) error {
		p := registry.Patch{Name: req.Name, URL: req.Url, Active: req.Active}
		if req.GetUntil() != nil {
			t := req.GetUntil().AsTime()
			p.Until = &t
			if err := req.GetUntil().CheckValid(); err != nil {
				p.Violations = append(p.Violations, fault.Violation{Code: rest.CodeBadRequest, Pointer: "/until", Detail: "until is not a time"})
			}
		}
		p.Settings = settingsOf(req.GetSettings(), &p.Violations)
		match := ""
		if req.GetIfRevision() != 0 {
			match = strconv.FormatInt(req.GetIfRevision(), 10)
		}
		changed, err := g.s.update(ctx, who.Actor, req.GetUuid(), p, match)
		resp = &registryv1.UpdateResponse{Worker: changed.proto(), Warning: changed.Warning}
		return err
	})
	return resp, err
}

// Deregister removes a worker.
func (g *GRPC) Deregister(ctx context.Context, req *registryv1.DeregisterRequest) (resp *registryv1.DeregisterResponse, err error) {
	err = g.call(ctx, "Deregister", func(who rest.Caller) error {
		warning, err := g.s.deregister(ctx, who.Actor, req.GetUuid())
		resp = &registryv1.DeregisterResponse{Warning: warning}
		return err
	})
	return resp, err
}

// Watch sends the whole fleet, and again after each change. While a send waits
// for a slow client, states go by unsent; nobody else waits.
func (g *GRPC) Watch(_ *registryv1.WatchRequest, stream registryv1.Registry_WatchServer) error {
	ctx := stream.Context()
	return g.call(ctx, "Watch", func(who rest.Caller) error {
		updates := g.s.Registry.Watch(ctx)
		for sent := registry.Revision(-1); ; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-g.s.Ending:
				return errEnding()
			case snap, open := <-updates:
				switch {
				case !open && ctx.Err() != nil:
					return ctx.Err()
				case !open:
					return errEnding()
				case snap.Revision == sent:
					continue // read anew, and nothing has changed
				}
				if sent >= 0 {
					// What a watcher may see, and whether at all, changes as the fleet does.
					again, err := who.Again()
					if err != nil {
						return err
					}
					who.Who = again
				}
				sent = snap.Revision
				if err := stream.Send(g.s.picture(snap, &who)); err != nil {
					return fault.New(fault.Cancelled, "cancelled", "the watcher went away").Wrap(err)
				}
			}
		}
	})
}

// codeDraining is how a watch ends at every shutdown, which is nothing to report.
const codeDraining = "draining"

func errEnding() error {
	return fault.New(fault.Unavailable, codeDraining, "this gateway is shutting down; watch another")
}

// picture is the fleet as a watcher gets it: what the watcher may see of it.
func (s *service) picture(snap *registry.Snapshot, who *rest.Caller) *registryv1.WatchResponse {
	records := make([]Record, 0, len(snap.Workers))
	for _, w := range snap.Workers {
		if sees(who, w) {
			records = append(records, s.render(w))
		}
	}
	return &registryv1.WatchResponse{Revision: int64(snap.Revision), Workers: protos(records)}
}

// settingsOf reads settings as wishes, and notes what no wish can be.
func settingsOf(in *registryv1.Settings, bad *[]fault.Violation) registry.SettingsInput {
	if in == nil {
		return registry.SettingsInput{}
	}
	out := registry.SettingsInput{OnFailure: in.OnFailure, Mask: in.Mask, Identity: in.Identity, Audience: in.Audience}
	if in.Timeout != nil {
		if err := in.GetTimeout().CheckValid(); err != nil {
			*bad = append(*bad, fault.Violation{Code: codeBadSettings, Pointer: "/settings/timeout", Detail: "settings.timeout is not a duration"})
		} else {
			s := in.GetTimeout().AsDuration().String()
			out.Timeout = &s
		}
	}
	if in.MaxElementsPerCall != nil {
		n := int(in.GetMaxElementsPerCall())
		out.MaxElementsPerCall = &n
	}
	if in.MaxConcurrent != nil {
		n := int(in.GetMaxConcurrent())
		out.MaxConcurrent = &n
	}
	return out
}

func protos(records []Record) []*registryv1.Worker {
	out := make([]*registryv1.Worker, len(records))
	for i := range records {
		out[i] = records[i].proto()
	}
	return out
}

// proto is the record's form on gRPC.
func (r *Record) proto() *registryv1.Worker {
	s := r.Settings
	return &registryv1.Worker{
		Uuid: r.UUID, Name: r.Name, Url: r.URL, Class: r.Class, Type: r.Type, Version: r.Version,
		Transport: r.Transport, Active: r.Active, PausedUntil: stamp(r.PausedUntil),
		Settings: &registryv1.Settings{
			Timeout: span(s.Timeout), OnFailure: &s.OnFailure, Mask: &s.Mask, Identity: &s.Identity, Audience: &s.Audience,
			MaxElementsPerCall: int32ptr(s.MaxElementsPerCall), MaxConcurrent: int32ptr(s.MaxConcurrent),
		},
		Standing: &registryv1.Standing{
			State: r.Standing.State, Since: stamp(&r.Standing.Since), LastProbe: stamp(r.Standing.LastProbe),
			LastError: r.Standing.LastError, LatencyMs: r.Standing.LatencyMS, StableFor: span(r.Standing.StableFor),
		},
		Conformance:  &registryv1.Conformance{Level: r.Conformance.Level, At: stamp(r.Conformance.At), Version: r.Conformance.Version},
		RegisteredBy: r.RegisteredBy, RegisteredAt: stamp(&r.RegisteredAt), UpdatedAt: stamp(&r.UpdatedAt), Revision: r.Revision,
	}
}

func stamp(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}

// span reads a duration that Render has written.
func span(s string) *durationpb.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		return nil // only the record of an error, which nobody sees
	}
	return durationpb.New(d)
}

func int32ptr(n int) *int32 {
	v := int32(min(max(n, math.MinInt32), math.MaxInt32))
	return &v
}

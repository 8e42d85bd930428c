package fleet

import (
	"context"
	"time"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/gateway/probe"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// service is what both REST and gRPC answer from.
type service struct {
	Deps
	api *rest.API // nil for gRPC
}

// workerID reads a uuid that names a worker of a call. What is no uuid names
// nobody.
func workerID(s string) (registry.WorkerID, error) {
	id, err := registry.ParseWorkerID(s)
	if err != nil {
		return "", fault.New(fault.NotFound, "not_found", "no worker has the uuid %q: it %v", probe.Printable(s, 60), err).Wrap(err)
	}
	return id, nil
}

func (s *service) get(uuid string) (Record, error) {
	id, err := workerID(uuid)
	if err != nil {
		return Record{}, err
	}
	w := s.Registry.Snapshot().Worker(id)
	if w == nil {
		return Record{}, fault.New(fault.NotFound, "not_found", "no worker with the uuid %q is registered", id)
	}
	return s.render(w), nil
}

func (s *service) render(w *registry.Worker) Record {
	return Render(w, s.Prober.Standing(w.ID), s.now())
}

// register registers a worker. created is false for a dry run and for a worker
// that enrolled itself and was there already. The caller has to be allowed the
// type that the worker answers with.
func (s *service) register(ctx context.Context, who *rest.Caller, in registry.RegisterInput, dryRun bool) (r Record, created bool, err error) {
	began := s.now().UTC().Truncate(time.Microsecond) // as the registry keeps times
	in.Allow = func(typ string) error {
		if who.May(authz.TypeWorkerType, typ) {
			return nil
		}
		return fault.New(fault.Denied, "denied", "registering workers of type %q needs a grant on %s %s",
			probe.Printable(typ, 60), authz.TypeWorkerType, probe.Printable(typ, 60))
	}
	w, err := s.Registry.Register(ctx, who.Actor, in, dryRun)
	if err != nil {
		return Record{}, false, once(err)
	}
	if dryRun {
		if s.Registry.Snapshot().Worker(w.ID) != nil {
			return s.render(&w), false, nil // an enrolment of what is there
		}
		return Render(&w, registry.Standing{
			State: registry.StateHealthy, Since: w.RegisteredAt, LastProbe: w.RegisteredAt,
		}, s.now()), false, nil
	}
	return s.render(&w), !in.Enrols || !w.RegisteredAt.Before(began), nil
}

func (s *service) update(ctx context.Context, actor registry.Actor, uuid string, p registry.Patch, ifMatch string) (Changed, error) {
	id, err := workerID(uuid)
	if err != nil {
		return Changed{}, err
	}
	c, err := s.Registry.Update(ctx, actor, id, p, ifMatch)
	if err != nil {
		return Changed{}, once(err)
	}
	return Changed{Record: s.render(&c.Worker), Warning: c.Warning}, nil
}

func (s *service) deregister(ctx context.Context, actor registry.Actor, uuid string) (warning string, err error) {
	id, err := workerID(uuid)
	if err != nil {
		return "", err
	}
	return s.Registry.Deregister(ctx, actor, id)
}

func (s *service) probe(ctx context.Context, actor registry.Actor, uuid string) (Standing, error) {
	id, err := workerID(uuid)
	if err != nil {
		return Standing{}, err
	}
	standing, err := s.Prober.ProbeNow(ctx, actor, id)
	if err != nil {
		return Standing{}, err
	}
	return RenderStanding(standing), nil
}

func (s *service) conform(ctx context.Context, actor registry.Actor, uuid string, c registry.Conformance) (Record, error) {
	id, err := workerID(uuid)
	if err != nil {
		return Record{}, err
	}
	w, err := s.Registry.RecordConformance(ctx, actor, id, c)
	if err != nil {
		return Record{}, err
	}
	return s.render(&w), nil
}

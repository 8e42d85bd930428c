package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/access"
)

// Options configure a Service.
type Options struct {
	Logger *slog.Logger
	// Inspector calls workers at registration.
	Inspector Inspector
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
	// GatewayID, when set, is stored as the fleet's own uuid; when empty, the
	// stored one is used, which the first start makes.
	GatewayID WorkerID
	// PollInterval is how often the store is looked at when nothing was heard of
	// it; 0 means 5 s.
	PollInterval time.Duration
	// SweepInterval is how often uncommitted generations of rules are looked for
	// that are too old; 0 means an hour. Such generations cannot be committed in
	// any case.
	SweepInterval time.Duration
	// WriteTimeout bounds one transaction, waiting for its turn included; 0 means
	// 10 s. A transaction that has begun is not given up when its caller goes
	// away: what becomes of it would be unknown.
	WriteTimeout time.Duration
	// RefusalInterval is how often counted refusals are written to the audit log; 0
	// means a minute.
	RefusalInterval time.Duration
	// AuditRetention is how long rows of the audit log are kept; 0 keeps them for
	// ever. What goes, goes in whole signed segments.
	AuditRetention time.Duration
	// MinSecurityWorkers is filter.minWorkers, for the warnings of Update and
	// Deregister.
	MinSecurityWorkers int
	// RequireTLS refuses workers whose url is not https or grpcs.
	RequireTLS bool
}

// Service is the one place where the registry changes. It keeps the newest
// snapshot in memory and goes on serving it when the store is gone. All methods
// are safe for concurrent use.
type Service struct {
	store Store
	opts  Options
	log   *slog.Logger
	now   func() time.Time

	// turn holds one token: its holder is the only one to write and to publish.
	turn chan struct{}
	// base is the revision up to which snap is known to hold everything; guarded
	// by turn.
	base Revision
	// stored is the fleet's uuid in the store; guarded by turn.
	stored WorkerID

	snap     atomic.Pointer[Snapshot]
	front    access.Front // follows the newest snapshot's
	watch    watchers
	work     *accessWork
	rearm    chan struct{} // tells run that pauses may have changed
	storeErr atomic.Pointer[fault.Error]

	refused   refusals
	verifying sync.Mutex

	stop     context.CancelFunc
	stopWork context.CancelFunc

	done    chan struct{} // run has ended
	kept    chan struct{} // keepAudit has ended
	closing chan struct{} // no more turns are given
	closed  sync.Once
}

// Open loads the first snapshot, gives the fleet its uuid and the system groups
// when it has none, and starts to follow the store. ctx bounds the opening only.
// The store is closed by Close, not by a failed Open.
func Open(ctx context.Context, store Store, o Options) (*Service, error) {
	if o.Inspector == nil || o.Logger == nil {
		return nil, errors.New("registry: Options need a Logger and an Inspector")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.PollInterval <= 0 {
		o.PollInterval = 5 * time.Second
	}
	if o.SweepInterval <= 0 {
		o.SweepInterval = time.Hour
	}
	if o.RefusalInterval <= 0 {
		o.RefusalInterval = time.Minute
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 10 * time.Second
	}
	s := &Service{
		store: store, opts: o, log: o.Logger,
		// Stores keep microseconds; what is in memory must be what they give back.
		now:   func() time.Time { return o.Clock().UTC().Truncate(time.Microsecond) },
		turn:  make(chan struct{}, 1),
		rearm: make(chan struct{}, 1),
		done:  make(chan struct{}), kept: make(chan struct{}), closing: make(chan struct{}),
	}
	s.turn <- struct{}{}
	if o.GatewayID != "" {
		id, err := ParseWorkerID(string(o.GatewayID))
		if err != nil {
			return nil, fmt.Errorf("the gateway's uuid %s %w", shown(string(o.GatewayID)), err)
		}
		s.opts.GatewayID = id
	}
	s.snap.Store(NewSnapshot("", 0, time.Time{}, nil))
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	if err := s.identify(ctx); err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	go s.run(run)
	s.work = newAccessWork(s)
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	s.stopWork = stopWork
	go s.work.run(work)
	go s.keepAudit(run)
	return s, nil
}

// identify stores what every fleet has: its uuid, when it has none or another one
// is wished for, and the system groups.
func (s *Service) identify(ctx context.Context) error {
	have := s.stored // nobody else is there yet to take the turn
	named := have != "" && (s.opts.GatewayID == "" || s.opts.GatewayID == have)
	if named && seeded(s.Snapshot().Access) {
		return nil
	}
	err := s.write(ctx, func(ctx context.Context, tx Tx) error {
		named, err := s.name(ctx, tx)
		if err != nil {
			return err
		}
		snap, err := s.current(ctx, tx)
		if err != nil {
			return err
		}
		x := &decision{set: snap.Access, now: s.now(), actor: Muster()}
		if err := x.seedGroups(); err != nil {
			return err
		}
		if !named && x.delta.Empty() {
			return errUnchanged // another replica was first
		}
		return x.store(ctx, tx, &written{})
	}, nil)
	if err != nil && !errors.Is(err, errUnchanged) {
		return err
	}
	return s.refresh(ctx)
}

// name stores the fleet's uuid, and reports whether there was anything to store.
func (s *Service) name(ctx context.Context, tx Tx) (done bool, err error) {
	have, err := tx.Gateway(ctx)
	if err != nil {
		return false, err
	}
	id := s.opts.GatewayID
	if have != "" && (id == "" || id == have) {
		return false, nil
	}
	if id == "" {
		if id, err = newID(); err != nil {
			return false, err
		}
	}
	if err := tx.SetGateway(ctx, id); err != nil {
		return false, err
	}
	return true, auditAs(ctx, tx, Muster(), ActionGateway, "gateway:"+string(id), s.now(), nil, nil)
}

// Close stops following the store, ends all watches, waits for a change under
// way, and closes the store. Further changes are refused; Snapshot still answers.
func (s *Service) Close(ctx context.Context) error {
	var err error
	s.closed.Do(func() {
		s.work.end(ctx, s.stopWork)
		s.stop()
		<-s.done
		<-s.kept
		s.sealAudit(ctx)
		close(s.closing)
		s.watch.close()
		select {
		case <-s.turn: // never given back: nobody writes after this
		case <-ctx.Done():
			err = ctx.Err()
		}
		err = errors.Join(err, s.store.Close(ctx))
		<-s.work.done
	})
	return err
}

// Snapshot returns the newest snapshot. It never blocks and is never nil.
func (s *Service) Snapshot() *Snapshot { return s.snap.Load() }

// Watch sends the present snapshot and then the newest one after each change; a
// reader that is slow misses the ones between and holds nobody up. The channel
// is closed when ctx ends or the Service is closed.
func (s *Service) Watch(ctx context.Context) <-chan *Snapshot {
	return s.watch.add(ctx, s.Snapshot)
}

// Ready reports whether changes can be stored, by a canary write.
func (s *Service) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.WriteTimeout)
	defer cancel()
	return s.store.CheckWritable(ctx)
}

// Age is how long ago the snapshot was last known to be the newest. It grows
// while the store is gone.
func (s *Service) Age() time.Duration { return s.now().Sub(s.Snapshot().LoadedAt) }

// StoreError is the reason why the store could last not be read, or nil.
func (s *Service) StoreError() *fault.Error { return s.storeErr.Load() }

// AuditTrail returns at most limit rows of the audit log with a number above
// after, in the order of their numbers.
func (s *Service) AuditTrail(ctx context.Context, after int64, limit int) ([]AuditEntry, error) {
	return s.store.AuditTrail(ctx, after, limit)
}

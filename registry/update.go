package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
)

// Patch is a change of wish; nil keeps what is.
type Patch struct {
	// Name back to its default, host:port, when empty.
	Name *string
	// URL, when it differs, is validated by calling the worker, as at
	// registration, and ends a quarantine.
	URL    *string
	Active *bool
	// Until ends a pause by itself; it needs Active false, or a worker that is
	// paused already.
	Until    *time.Time
	Settings SettingsInput
	// Violations are what the reader of the body has found wrong already.
	Violations []fault.Violation
}

// Changed is the outcome of Update.
type Changed struct {
	Worker Worker
	// Warning says that few or no security workers are left active; else empty.
	Warning string
}

// maxAttempts bounds how often an update is validated anew because the record
// changed meanwhile.
const maxAttempts = 5

// errMoved says that the record is no longer the one that was validated.
var errMoved = errors.New("the record changed meanwhile")

// Update changes a worker's record. ifMatch, unless empty, must be the record's
// revision, bare or in double quotes; else the answer is 412. A patch that
// changes nothing is no change: revision and audit log stay as they are.
func (s *Service) Update(ctx context.Context, actor Actor, id WorkerID, p Patch, ifMatch string) (Changed, error) {
	if err := s.refresh(ctx); err != nil {
		return Changed{}, err
	}
	for range maxAttempts {
		seen := s.Snapshot().Worker(id)
		if seen == nil {
			return Changed{}, notFound(id)
		}
		if err := matches(seen, ifMatch); err != nil {
			return Changed{}, err
		}
		if _, err := s.patched(seen, p); err != nil {
			return Changed{}, err
		}
		info, err := s.inspectMoved(ctx, seen, p)
		if err != nil {
			return Changed{}, err
		}
		before, after, err := s.apply(ctx, change{actor: actor, id: id, edit: func(w *Worker) (*Worker, error) {
			return s.edit(w, seen, p, info, ifMatch)
		}})
		if errors.Is(err, errMoved) {
			if err := s.refresh(ctx); err != nil {
				return Changed{}, err
			}
			continue
		}
		if err != nil {
			return Changed{}, err
		}
		return Changed{Worker: *after.clone(), Warning: s.warning(before, after)}, nil
	}
	return Changed{}, fault.New(fault.Conflict, "busy",
		"the record of worker %s keeps changing while this change is checked; try again", id).After(time.Second)
}

// matches checks If-Match (fleet.md, section 1).
func matches(w *Worker, ifMatch string) error {
	if matchesRevision(w.Revision, ifMatch) {
		return nil
	}
	return fault.New(fault.Precondition, "revision_mismatch",
		"the record's revision is %d, not what If-Match asks for; read it again and decide anew", w.Revision).
		By(string(w.ID), w.Name)
}

// moves reports whether p gives w another url.
func (p *Patch) moves(w *Worker) bool { return p.URL != nil && *p.URL != w.URL }

// inspectMoved calls the worker at its new url; nil when the url stays.
func (s *Service) inspectMoved(ctx context.Context, seen *Worker, p Patch) (*Info, error) {
	if !p.moves(seen) {
		return nil, nil
	}
	if other := s.Snapshot().workerByURL(*p.URL); other != nil && other.ID != seen.ID {
		return nil, urlTaken(other)
	}
	addr, err := s.address(*p.URL)
	if err != nil {
		return nil, fmt.Errorf("url %w", err) // patched has refused it already
	}
	info, err := s.inspect(ctx, seen.ID, *p.URL, addr.transport)
	if err != nil {
		return nil, err
	}
	return &info, nil
}

// edit applies p to the record as the transaction finds it.
func (s *Service) edit(w, seen *Worker, p Patch, info *Info, ifMatch string) (*Worker, error) {
	if err := matches(w, ifMatch); err != nil {
		return nil, err
	}
	if p.moves(w) && info == nil || w.Class != seen.Class || w.Type != seen.Type {
		return nil, errMoved
	}
	after, err := s.patched(w, p)
	if err != nil {
		return nil, err
	}
	if p.moves(w) {
		after.Quarantined = nil
		if info.Version != w.Version || info.Class != w.Class || info.Type != w.Type {
			after.Conformance = Conformance{Level: LevelNone}
		}
		after.Class, after.Type, after.Version = info.Class, info.Type, info.Version
	}
	if after.equal(w) {
		return nil, errUnchanged
	}
	return after, nil
}

// patched returns a copy of w with the wishes of p, or all that is wrong with
// them. What only the worker at a new url can tell is left alone.
func (s *Service) patched(w *Worker, p Patch) (*Worker, error) {
	v := violations{list: p.Violations}
	after := w.clone()
	if p.moves(w) {
		addr, err := s.address(*p.URL)
		if err != nil {
			v.add(codeBadURL, "/url", "%v", err)
		}
		after.URL, after.Transport = *p.URL, addr.transport
	}
	if p.Name != nil {
		after.Name = *p.Name
		checkName(after.Name, &v)
	}
	if after.Name == "" {
		if addr, err := parseAddress(after.URL); err == nil { // else it is reported above
			after.Name = addr.host
		}
	}
	if p.Active != nil {
		after.Active, after.PausedUntil = *p.Active, time.Time{}
	}
	if p.Until != nil {
		s.pauseUntil(after, *p.Until, &v)
	}
	after.Settings = p.Settings.over(after.Settings, w.Conformed().Level, &v)
	return after, v.err()
}

func (s *Service) pauseUntil(after *Worker, until time.Time, v *violations) {
	until = until.UTC().Truncate(time.Microsecond)
	switch now := s.now(); {
	case after.ActiveAt(now):
		v.add(codeBadRequest, "/until", "ends a pause; it needs active false")
	case !until.After(now):
		v.add(codeBadRequest, "/until", "is in the past; leave active as it is instead")
	default:
		after.PausedUntil = until
	}
}

// Deregister removes a worker; the warning is that of Changed.
func (s *Service) Deregister(ctx context.Context, actor Actor, id WorkerID) (warning string, err error) {
	before, _, err := s.apply(ctx, change{
		actor: actor, id: id, action: ActionDeleted,
		edit: func(*Worker) (*Worker, error) { return nil, nil },
	})
	if err != nil {
		return "", err
	}
	return s.warning(before, nil), nil
}

// warning says what taking an active security worker away has left.
func (s *Service) warning(before, after *Worker) string {
	now := s.now()
	if !before.IsGraphSecurity() || !before.ActiveAt(now) ||
		after != nil && after.IsGraphSecurity() && after.ActiveAt(now) {
		return ""
	}
	left := 0
	for _, w := range s.Snapshot().GraphSecurity() {
		if w.ActiveAt(now) {
			left++
		}
	}
	switch least := s.opts.MinSecurityWorkers; {
	case left < least:
		return fmt.Sprintf("%d active ExternalGraphSecurity workers are left and filter.minWorkers is %d: "+
			"filter requests are now refused with no_security_worker", left, least)
	case left == 0:
		return "no active ExternalGraphSecurity worker is left: no worker hides anything from filter requests any more"
	case left == 1:
		return "one active ExternalGraphSecurity worker is left"
	default:
		return ""
	}
}

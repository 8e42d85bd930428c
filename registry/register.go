package registry

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/muster-fleet/muster/proto/fault"
)

// MaxName is the most characters that a worker's name may have.
const MaxName = 200

// RegisterInput is the body of a registration.
type RegisterInput struct {
	URL  string
	UUID string
	// Name is host:port when empty.
	Name string
	// Transport follows from the url's scheme when empty.
	Transport string
	// Active is true when nil.
	Active   *bool
	Settings SettingsInput
	// Enrols says that the worker registers itself: finding itself registered
	// with the same uuid and url is success then.
	Enrols bool
	// Allow is asked whether the caller may register workers of the type that the
	// worker answers with; its error is returned as it is. nil allows every type.
	Allow func(typ string) error
	// Violations are what the reader of the body has found wrong already, such
	// as unknown members; they are reported together with the rest.
	Violations []fault.Violation
}

// Register validates a worker by calling it and stores it (fleet.md, section 2).
// With dryRun it stores nothing and returns the would-be record. Everything that
// is wrong with the input is reported at once, then conflicts, then everything
// that is wrong with the worker's answer.
func (s *Service) Register(ctx context.Context, actor Actor, in RegisterInput, dryRun bool) (Worker, error) {
	w, err := s.wish(in)
	if err != nil {
		return Worker{}, err
	}
	// A change must not be refused, nor a worker be called, over a picture that
	// another replica has already changed.
	if err := s.refresh(ctx); err != nil {
		return Worker{}, err
	}
	if same, err := conflict(s.Snapshot(), w, in.Enrols); same != nil || err != nil {
		return in.allowed(deref(same), err)
	}
	info, err := s.inspect(ctx, w.ID, w.URL, w.Transport)
	if err != nil {
		return Worker{}, err
	}
	if in.Allow != nil {
		if err := in.Allow(info.Type); err != nil {
			return Worker{}, err
		}
	}
	w.Class, w.Type, w.Version = info.Class, info.Type, info.Version
	now := s.now()
	w.RegisteredBy, w.RegisteredAt, w.UpdatedAt, w.Revision = storable(actor.Username), now, now, 1
	if dryRun {
		return *w, nil
	}
	return s.insert(ctx, actor, w, in.Enrols)
}

// allowed passes on the record of a worker that is there already to a caller who
// could have registered it.
func (in *RegisterInput) allowed(w Worker, err error) (Worker, error) {
	if err == nil && in.Allow != nil {
		err = in.Allow(w.Type)
	}
	if err != nil {
		return Worker{}, err
	}
	return w, nil
}

// wish turns the input into a record that lacks what only the worker can tell.
func (s *Service) wish(in RegisterInput) (*Worker, error) {
	v := violations{list: in.Violations}
	w := &Worker{URL: in.URL, Active: in.Active == nil || *in.Active, Conformance: Conformance{Level: LevelNone}}
	addr, err := s.address(in.URL)
	if err != nil {
		v.add(codeBadURL, "/url", "%v", err)
	}
	w.Transport = checkTransport(in.Transport, addr.transport, &v)
	if w.ID, err = ParseWorkerID(in.UUID); err != nil {
		if in.UUID == "" {
			v.add(codeBadUUID, "/uuid", "is missing; give the uuid that the worker answers with")
		} else {
			v.add(codeBadUUID, "/uuid", "%s %v", shown(in.UUID), err)
		}
	} else if w.ID == s.Snapshot().Gateway {
		v.add(codeSelf, "/uuid", "%s is this gateway's own; a gateway that asks itself would never answer", w.ID)
	}
	w.Name = in.Name
	if w.Name == "" {
		w.Name = addr.host
	}
	checkName(w.Name, &v)
	w.Settings = in.Settings.over(DefaultSettings(), LevelNone, &v)
	return w, v.err()
}

// address takes a url apart, and refuses one without TLS where TLS is required.
func (s *Service) address(raw string) (address, error) {
	a, err := parseAddress(raw)
	if err == nil && s.opts.RequireTLS && !a.secure {
		err = errors.New("has no TLS, which workers.requireTLS demands; use https or grpcs")
	}
	return a, err
}

// checkTransport returns the transport of a url whose scheme stands for that
// one; empty when the url is bad.
func checkTransport(wanted string, byURL Transport, v *violations) Transport {
	t := Transport(wanted)
	switch {
	case wanted == "":
		return byURL
	case t != TransportREST && t != TransportGRPC:
		v.add(codeBadTransport, "/transport", "%s is neither \"rest\" nor \"grpc\"", shown(wanted))
	case byURL != "" && t != byURL:
		schemes := "http:// or https://"
		if t == TransportGRPC {
			schemes = "grpc:// or grpcs://"
		}
		v.add(codeBadTransport, "/transport", "%q needs a url that begins with %s", t, schemes)
	}
	return t
}

func checkName(name string, v *violations) {
	switch {
	case !utf8.ValidString(name) || strings.ContainsFunc(name, notGraphic):
		v.add(codeBadRequest, "/name", "holds characters that cannot be printed")
	case utf8.RuneCountInString(name) > MaxName:
		v.add(codeBadRequest, "/name", "has %d characters; at most %d are taken", utf8.RuneCountInString(name), MaxName)
	case name != "" && strings.TrimSpace(name) == "":
		v.add(codeBadRequest, "/name", "is blank; leave it out to get host:port")
	}
}

// conflict finds a record that stands in w's way. A worker that enrols itself
// and stands there as it wishes is returned instead of an error.
func conflict(snap *Snapshot, w *Worker, enrols bool) (same *Worker, err error) {
	byURL := snap.workerByURL(w.URL)
	if byID := snap.Worker(w.ID); byID != nil {
		if enrols && byURL == byID {
			return byID, nil
		}
		return nil, uuidTaken(byID)
	}
	if byURL != nil {
		return nil, urlTaken(byURL)
	}
	return nil, nil
}

// insert stores a new record; the transaction decides about conflicts.
func (s *Service) insert(ctx context.Context, actor Actor, w *Worker, enrols bool) (Worker, error) {
	did := written{put: []*Worker{w}}
	var same *Worker
	err := s.write(ctx, func(ctx context.Context, tx Tx) error {
		var err error
		if same, err = conflictInTx(ctx, tx, w, enrols); err != nil {
			return err
		}
		if same != nil {
			return errUnchanged
		}
		if err := tx.InsertWorker(ctx, w); err != nil {
			return err
		}
		entry, err := auditWorker(actor, ActionRegistered, w.RegisteredAt, nil, w)
		if err != nil {
			return err
		}
		return tx.Audit(ctx, entry)
	}, &did)
	switch {
	case errors.Is(err, errUnchanged):
		return *same, s.refresh(ctx)
	case err != nil:
		return Worker{}, storeConflict(err)
	}
	return *w, nil
}

// storeConflict turns a violated constraint of the store into what it means. It
// happens only when something writes to the tables beside this program.
func storeConflict(err error) error {
	switch {
	case errors.Is(err, ErrUUIDTaken):
		return uuidTaken(nil)
	case errors.Is(err, ErrURLTaken):
		return urlTaken(nil)
	default:
		return err
	}
}

func conflictInTx(ctx context.Context, tx Tx, w *Worker, enrols bool) (same *Worker, err error) {
	byURL, err := optional(tx.WorkerByURL(ctx, w.URL))
	if err != nil {
		return nil, err
	}
	byID, err := optional(tx.Worker(ctx, w.ID))
	switch {
	case err != nil:
		return nil, err
	case byID != nil && enrols && byURL != nil && byURL.ID == byID.ID:
		return byID, nil
	case byID != nil:
		return nil, uuidTaken(byID)
	case byURL != nil:
		return nil, urlTaken(byURL)
	}
	return nil, nil
}

// optional makes a record that is not there nil.
func optional(w *Worker, err error) (*Worker, error) {
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return w, err
}

func deref(w *Worker) Worker {
	if w == nil {
		return Worker{}
	}
	return *w.clone()
}

package app

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/user"

	"github.com/muster-fleet/muster/gateway/config"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// codeSchema is the code of errors about a store's schema.
const codeSchema = "store_schema"

// nobody inspects no worker: who works offline registers none.
type nobody struct{}

// Inspect implements registry.Inspector.
func (nobody) Inspect(context.Context, string, registry.Transport) (registry.Info, error) {
	return registry.Info{}, fault.New(fault.Unavailable, "offline", "workers are registered at a gateway that runs")
}

// openAlone opens the store that a configuration names for a change from outside of
// a gateway, with the keys of its audit log. It refuses a store that is not there,
// one that any process has open (store_locked), one that needs migrations
// (store_schema), and one whose audit log goes on from a key that is not known.
func openAlone(ctx context.Context, cfg config.Config, log *slog.Logger) (*registry.Service, error) {
	if path, embedded := cfg.Store.Path(); embedded {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, fault.New(fault.NotFound, "no_store", "there is no store %s", path).Wrap(err)
		}
	}
	if err := upToDate(ctx, cfg, log); err != nil {
		return nil, err
	}
	keys, err := auditKeys(cfg, log)
	if err != nil {
		return nil, err
	}
	store, err := openStore(ctx, cfg, keys, true, log)
	if err != nil {
		return nil, err
	}
	svc, err := overStore(ctx, store, log)
	if err != nil {
		return nil, errors.Join(err, store.Close(context.WithoutCancel(ctx)))
	}
	return svc, nil
}

// overStore opens the service over a store whose keys are those of its audit log.
func overStore(ctx context.Context, store registry.Store, log *slog.Logger) (*registry.Service, error) {
	last, err := store.AuditFind(ctx, registry.AuditQuery{Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(last) > 0 && !store.AuditChain().Has(last[0].KeyID) {
		return nil, fault.New(fault.Conflict, "unknown_key",
			"the audit log goes on from a row chained with the key %s, which is not known here: name the gateway's audit.keyFile", last[0].KeyID)
	}
	return registry.Open(ctx, store, registry.Options{Logger: log, Inspector: nobody{}})
}

// upToDate refuses a store whose schema is not this program's: who only wants to
// change something must not be the one to migrate.
func upToDate(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	all, err := MigrationStatus(ctx, cfg, log)
	if err != nil {
		return err
	}
	for _, m := range all {
		switch {
		case m.Problem != "":
			return fault.New(fault.Unavailable, codeSchema, "the migration %d of the store %s", m.Version, m.Problem)
		case m.Pending():
			return fault.New(fault.Unavailable, codeSchema,
				"the store lacks the migration %d; start the gateway of this version, or run muster migrate up", m.Version)
		}
	}
	return nil
}

// operator is who runs this process, for the audit log.
func operator() registry.Actor {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	a := registry.Actor{Subject: "os-user", Username: "unknown@" + host}
	if u, err := user.Current(); err == nil {
		a.Subject, a.Username = "os-user:"+u.Uid, u.Username+"@"+host
	}
	return a
}

// Glass is what breaking the glass has come to.
type Glass struct {
	User access.User
	// Already says that the user was an admin by a source that no token takes away.
	Already bool
}

// BreakGlass makes the user with an e-mail address an active admin, on the store
// itself: for when nobody can log in who might do it otherwise. The audit log tells
// who did. It refuses a store that a gateway has open.
func BreakGlass(ctx context.Context, cfg config.Config, email string, log *slog.Logger) (g Glass, err error) {
	svc, err := openAlone(ctx, cfg, log)
	if err != nil {
		return Glass{}, err
	}
	g.User, g.Already, err = svc.BreakGlass(ctx, operator(), email)
	return g, errors.Join(err, svc.Close(context.WithoutCancel(ctx)))
}

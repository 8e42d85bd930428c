package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/muster-fleet/muster/gateway/config"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
)

// auditKeySuffix follows the path of an embedded store in the name of the key file
// that is made for it.
const auditKeySuffix = ".audit-key"

// auditKeys returns the keys of the audit log: those of audit.keyFile, else, for an
// embedded store, those of a file beside it, which is made when it is not there; nil
// for a chain without a key.
func auditKeys(cfg config.Config, log *slog.Logger) (*audit.Keys, error) {
	if file := cfg.Audit.KeyFile; file != "" {
		return audit.ReadKeyFile(file)
	}
	path, embedded := cfg.Store.Path()
	if !embedded {
		log.Warn("the audit log is chained without a key: who can write to the database can rewrite the log as well, and only heads that are kept elsewhere find it; set audit.keyFile")
		return nil, nil //nolint:nilnil // no keys are keys, too
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return nil, nil //nolint:nilnil,nilerr // opening the store tells what is wrong with it
	}
	keys, made, err := audit.EnsureKeyFile(path + auditKeySuffix)
	if err != nil {
		return nil, err
	}
	if made {
		log.Warn("a key for the audit log was made beside the store; keep a copy elsewhere, since without it the log cannot be verified, and set audit.keyFile to keep it apart from the store",
			"file", path+auditKeySuffix)
	}
	return keys, nil
}

// VerifyAudit verifies the audit log of the store that the configuration names, on
// the store itself. Without audit.keyFile, the keys are those beside an embedded
// store, if there are any. known are heads that were kept elsewhere; progress may be
// nil.
func VerifyAudit(
	ctx context.Context, cfg config.Config, known []audit.Head, progress func(done, all int64), log *slog.Logger,
) (report audit.Report, err error) {
	if path, embedded := cfg.Store.Path(); embedded && cfg.Audit.KeyFile == "" {
		cfg.Audit.KeyFile = beside(path + auditKeySuffix)
	}
	var keys *audit.Keys
	if cfg.Audit.KeyFile != "" {
		if keys, err = audit.ReadKeyFile(cfg.Audit.KeyFile); err != nil {
			return audit.Report{}, err
		}
	}
	store, err := openStore(ctx, cfg, keys, false, log)
	if err != nil {
		return audit.Report{}, err
	}
	report, err = registry.VerifyAuditLog(ctx, store, known, progress)
	return report, errors.Join(err, store.Close(context.WithoutCancel(ctx)))
}

// beside returns a file's name when there is such a file.
func beside(name string) string {
	if _, err := os.Stat(name); err != nil {
		return "" // what is wrong with it is told when the rows name a key
	}
	return name
}

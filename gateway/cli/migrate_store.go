package cli

import (
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/muster-fleet/muster/gateway/config"
	"github.com/muster-fleet/muster/proto/fault"
)

// storeFlags name the store that a command works on itself.
type storeFlags struct{ store, keyFile string }

// flags adds them; with keys for a command that writes to the audit log.
func (f *storeFlags) flags(cmd *cobra.Command) {
	fileFlag(cmd)
	cmd.Flags().StringVar(&f.store, "store", "", "the store itself, in place of that of the configuration; with a password only by MUSTER_STORE")
}

// keyFlag adds the flag for the keys of the audit log.
func (f *storeFlags) keyFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.keyFile, "key-file", "", "file with the keys of the audit log, in place of that of the configuration")
}

// config is what the gateway's configuration says of the store and of the audit log.
// What else it says is neither needed nor checked: in an emergency it may be half
// there.
func (f *storeFlags) config(cmd *cobra.Command, environ []string) (config.Config, error) {
	file, _ := configGiven(cmd)
	loaded, err := config.Load(file, environ, nil)
	var mistakes *config.Error
	if errors.As(err, &mistakes) {
		ours := slices.DeleteFunc(slices.Clone(mistakes.Mistakes), func(m config.Mistake) bool {
			return m.Key != "" && m.Key != "config_version" && m.Key != "store" && !strings.HasPrefix(m.Key, "audit.")
		})
		if len(ours) > 0 {
			return config.Config{}, &config.Error{Mistakes: ours}
		}
	} else if err != nil {
		return config.Config{}, err
	}
	cfg := loaded.Config
	if f.store != "" {
		if holdsPassword(f.store) {
			return config.Config{}, usagef("put it into MUSTER_STORE", "--store holds a password, which every user of this machine can read")
		}
		cfg.Store = config.StoreURL(f.store)
	}
	if _, embedded := cfg.Store.Path(); !embedded && !cfg.Store.Postgres() {
		return config.Config{}, usagef("give duckdb:PATH or postgres://USER@HOST/DATABASE", "the store is neither duckdb: nor postgres://")
	}
	if f.keyFile != "" {
		cfg.Audit.KeyFile = f.keyFile
	}
	return cfg, nil
}

// offlineLog is where work on a store itself tells what an operator should know.
func (s *shell) offlineLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(s.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// offlineError says what to do about what commonly keeps a command from a store.
func offlineError(err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return startError(err)
	}
	advice := map[string]string{
		"store_locked":   "end the gateway that has it, then run the command again",
		"archive_locked": "import a copy, or end the program that has it",
		"no_store":       "name the store by --store, --config or MUSTER_STORE; muster migrate up makes a new one",
		"store_schema":   "muster migrate status shows which migrations there are",
		"unknown_key":    "name the file by --key-file or audit.keyFile",
	}
	do, known := advice[f.Code]
	if !known {
		return startError(err)
	}
	return &trouble{code: codeOfKind(f.Kind), what: f.Error(), do: do, cause: err}
}

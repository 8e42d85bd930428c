package cli

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/muster-fleet/muster/gateway/app"
	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/config"
)

func (s *shell) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a gateway",
		Long: `Run a gateway until SIGTERM or SIGINT, which drains it; a second signal ends it at
once.

The configuration comes from a file, the environment and flags; the later win.
muster config check shows what is in force. When the listeners accept, one line
is printed on standard output: {"listening":{"http","grpc","ops"}}. The log is on
standard error; with log.format json, which is the default, every line on both is
a JSON object.`,
		Example: `  MUSTER_AUTH_ISSUER=https://id.example.com/realms/muster MUSTER_AUTH_AUDIENCE=muster muster serve
  muster serve --config muster.yaml --http :8443 --log-format text`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, flags := configGiven(cmd)
			loaded, err := config.Load(file, s.Environ, flags)
			s.useLog(loaded.Config.Log)
			s.warnAll(loaded.Warnings)
			if err != nil {
				return err
			}
			return startError(app.Serve(cmd.Context(), loaded.Config, s.versions().Version, app.Streams{Out: s.Out, Err: s.Err}))
		},
	}
	fileFlag(cmd)
	configFlags(cmd)
	s.complete(cmd, "log-level", "debug", "info", "warn", "error")
	s.complete(cmd, "log-format", config.FormatJSON, config.FormatText)
	return cmd
}

// useLog makes errors and warnings JSON lines when the log is one.
func (s *shell) useLog(cfg config.Log) {
	if cfg.Format == config.FormatJSON {
		s.log = slog.New(slog.NewJSONHandler(s.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
}

// logFor makes a wrong command line of serve a JSON line as well, when that is
// what the environment asks of the log: whoever collects the lines gets it.
func (s *shell) logFor(cmd *cobra.Command) {
	if cmd.Name() == "serve" {
		// Mistakes of the environment are told once the command line is right.
		loaded, _ := config.Load("", s.Environ, nil)
		s.useLog(loaded.Config.Log)
	}
}

func (s *shell) warnAll(warnings []string) {
	for _, w := range warnings {
		if s.log != nil {
			s.log.Warn(w)
			continue
		}
		s.say("warning: %s", w)
	}
}

// startError says what to do about what commonly keeps a gateway from starting.
func startError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return &trouble{code: ExitFailed, what: err.Error(), cause: err,
			do: "another process listens there: end it, or choose another address (--http, --grpc, --ops; port 0 picks a free one)"}
	case errors.Is(err, syscall.EACCES):
		return &trouble{code: ExitFailed, what: err.Error(), cause: err,
			do: "this user may not: use a port from 1024 on, or a directory that it may write to"}
	default:
		return err
	}
}

func (s *shell) devCommand() *cobra.Command {
	var dataDir, issuer string
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a gateway for development, with an issuer of its own",
		Long: `Run a gateway for development: an embedded store in --data-dir, workers allowed on
loopback, and an issuer of its own whose people are alice, bob and admin, each
with the name as password. Everything listens on loopback. Not for production:
anybody who can reach the issuer is anybody.

The listening line has the issuer's address too. MUSTER_* variables count, except
those about the store and the issuer.`,
		Example: `  muster dev
  muster dev --data-dir ./data --http 127.0.0.1:0 --grpc 127.0.0.1:0 --ops 127.0.0.1:0 --issuer 127.0.0.1:0
  export MUSTER_TOKEN=$(muster dev token admin)`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageOf(cmd, errors.New(quote(args[0])+" is not a command of "+cmd.CommandPath()))
		}
		return s.dev(cmd.Context(), cmd, dataDir, issuer)
	}
	cmd.Args = cobra.ArbitraryArgs
	flags := cmd.Flags()
	flags.StringVar(&dataDir, "data-dir", "./muster-dev", "directory of the store; made when it is not there")
	flags.StringVar(&issuer, "issuer", devissuer.DefaultAddr, "address of the issuer; loopback only")
	configFlags(cmd, "store")
	s.complete(cmd, "log-level", "debug", "info", "warn", "error")
	s.complete(cmd, "log-format", config.FormatJSON, config.FormatText)
	cmd.AddCommand(s.devTokenCommand())
	return cmd
}

// devBase is what dev starts from: loopback, a log for people, and an auth
// section that holds whatever the issuer's address turns out to be.
func devBase() config.Config {
	base := config.Default()
	base.HTTP.Addr, base.GRPC.Addr, base.Ops.Addr = "127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:9090"
	base.Auth.Issuer, base.Auth.Audience = "http://"+devissuer.DefaultAddr+"/realms/"+devissuer.Realm, devissuer.Audience
	base.Log.Format = config.FormatText
	return base
}

func (s *shell) dev(ctx context.Context, cmd *cobra.Command, dataDir, issuer string) error {
	_, flags := configGiven(cmd)
	loaded, err := config.LoadOver(devBase(), "", s.Environ, flags)
	s.useLog(loaded.Config.Log)
	s.warnAll(loaded.Warnings)
	if err != nil {
		return err
	}
	for _, set := range loaded.Settings {
		if set.Source != "default" && (set.Key == "store" || strings.HasPrefix(set.Key, "auth.")) {
			s.warnAll([]string{set.Source + " is ignored: muster dev brings its own store and issuer"})
		}
	}
	if _, _, err := net.SplitHostPort(issuer); err != nil {
		return usagef("give it as 127.0.0.1:8180; port 0 picks a free one", "--issuer %s is not an address to listen on", quote(issuer))
	}
	if dataDir == "" {
		return usagef("name a directory", "--data-dir is empty")
	}
	cfg := loaded.Config
	return startError(app.Dev(ctx, cfg, app.DevOptions{
		DataDir: dataDir, HTTP: cfg.HTTP.Addr, GRPC: cfg.GRPC.Addr, Ops: cfg.Ops.Addr, Issuer: issuer, Log: cfg.Log,
	}, s.versions().Version, app.Streams{Out: s.Out, Err: s.Err}))
}

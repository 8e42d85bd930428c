package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/config"
)

// DevOptions are the flags of "muster dev".
type DevOptions struct {
	// DataDir holds the store; it is made when it is not there.
	DataDir string
	// HTTP, GRPC, Ops and Issuer are listening addresses.
	HTTP   string
	GRPC   string
	Ops    string
	Issuer string
	// Log is how to log.
	Log config.Log
}

// The audiences of the development realm, which the shipped Keycloak realm uses
// as well: a token for workers is no key to the registry.
const (
	devAudience           = "muster"
	devManagementAudience = "muster-admin"
)

// Dev runs a gateway with an embedded store and an issuer of its own, whose
// people and secrets are public; workers may live on loopback. base is a
// configuration to start from: Default, or what the environment says. It is for
// development alone and says so.
func Dev(ctx context.Context, base config.Config, o DevOptions, version string, s Streams) error {
	log, err := newLogger(o.Log, s.Err)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	secrets, err := devSecrets(o.DataDir)
	if err != nil {
		return err
	}
	issuer, err := devissuer.New(ctx, devissuer.Config{Addr: o.Issuer, Logger: log})
	if err != nil {
		return err
	}
	cfg := base
	cfg.HTTP.Addr, cfg.GRPC.Addr, cfg.Ops.Addr = o.HTTP, o.GRPC, o.Ops
	cfg.Store = config.StoreURL("duckdb:" + filepath.Join(o.DataDir, "muster.db"))
	cfg.Log = o.Log
	cfg.Auth = config.Auth{
		Issuer: issuer.URL(), Audience: devAudience, ManagementAudience: devManagementAudience,
		MaxKeyAge: base.Auth.MaxKeyAge, Leeway: base.Auth.Leeway,
		ClientID: devissuer.ClientGateway, ClientSecret: devissuer.ClientGateway, // its secret is its name
	}
	cfg.Access.RoleMapping = devMapping()
	cfg.Transformations.SecretsDir = secrets
	cfg.Workers.AllowedCIDRs = append(append([]netip.Prefix(nil), cfg.Workers.AllowedCIDRs...), loopback()...)
	g, err := build(ctx, cfg, version, log)
	if err != nil {
		return errors.Join(err, issuer.Close())
	}
	if err := seedDevGroups(ctx, g.registry); err != nil {
		return errors.Join(err, g.abandon(ctx), issuer.Close())
	}
	if cfg.Rules.Enabled {
		if err := loadSample(ctx, g.registry, log); err != nil {
			return errors.Join(err, g.abandon(ctx), issuer.Close())
		}
		g.background = append(g.background, func(ctx context.Context) { dropSample(ctx, g.registry, log) })
	}
	return errors.Join(g.run(ctx, s.Out, issuer.Addr()), issuer.Close())
}

func loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

package app

import (
	"context"
	"fmt"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/authn/keycloak"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge"
	"github.com/muster-fleet/muster/gateway/idpsync"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

// buildAccess makes what decides who may call what, and the first administrator
// when one is named.
func (g *gateway) buildAccess(ctx context.Context) error {
	a := g.cfg.Access
	types, err := authz.NewTypes(authz.Standard()...)
	if err != nil {
		return err
	}
	table, err := authz.NewTable(types, authz.Endpoints()...)
	if err != nil {
		return err
	}
	pattern, err := a.Pattern()
	if err != nil {
		return fmt.Errorf("access.groupPattern: %w", err)
	}
	mapping := a.RoleMapping
	if mapping == nil {
		mapping = map[string]string{}
	}
	g.access, err = authz.NewAccess(authz.Config{
		RoleMapping: mapping, GroupPattern: pattern, Freshness: a.IDPFreshness,
	}, types, g.registry.Snapshot)
	if err != nil {
		return err
	}
	g.gate = edge.NewGate(g.authn, g.access, table)
	g.gate.NoteRefusals(g.registry.AuditRefused)
	if err := g.buildSync(); err != nil {
		return err
	}
	if a.SeedAdminEmail == "" {
		return nil
	}
	if err := g.registry.SeedAdmin(ctx, a.SeedAdminEmail); err != nil {
		return fmt.Errorf("access.seedAdminEmail (MUSTER_SEED_ADMIN_EMAIL): the first administrator cannot be made: %w", err)
	}
	return nil
}

// buildSync makes what keeps the identity provider's words about people, and asks
// it after the owners of personal access tokens where the gateway has a client to
// ask with.
func (g *gateway) buildSync() error {
	a := g.cfg.Auth
	issuer := a.Trusted()[0]
	directory, err := keycloak.NewDirectory(keycloak.DirectoryConfig{
		Issuer: issuer.Issuer, DiscoveryURL: issuer.DiscoveryURL, CAFile: a.CAFile,
		ClientID: a.ClientID, ClientSecret: a.ClientSecret.Reveal(), ClientSecretFile: a.ClientSecretFile, Logger: g.log,
	})
	if err != nil {
		return fmt.Errorf("auth.clientID: %w", err)
	}
	g.directory = directory
	g.onClose(func(context.Context) error { directory.Close(); return nil })
	g.recorder, err = idpsync.NewRecorder(idpsync.Config{
		Primary: issuer.Issuer, GroupsPrefix: issuer.GroupsPrefix, Names: g.access.Named, Admits: g.access.Admits,
	}, g.registry, g.log)
	if err != nil {
		return err
	}
	g.background = append(g.background, g.recorder.Run)
	if a.ClientID == "" {
		g.log.Info("the identity provider is not asked after the owners of personal access tokens, whose groups count for access.idpFreshness after each login; set auth.clientID to have it asked",
			"freshness", g.cfg.Access.IDPFreshness)
		return nil
	}
	confirmer, err := idpsync.NewConfirmer(g.recorder, g.registry, directory, g.cfg.Access.IDPFreshness, g.log)
	if err != nil {
		return err
	}
	g.background = append(g.background, confirmer.Run)
	return nil
}

// devGroup is a group of "muster dev" whose members are those with a realm role of
// the development issuer.
type devGroup struct {
	role, name, description string
	typ, resource           string // what it is granted
}

func devGroups() []devGroup {
	return []devGroup{
		{devissuer.RoleRules, "rule-writers", "May write Graph Access Rules: rule transformations' clients.", authz.TypeGraphRules, authz.RulesWrite},
		{devissuer.RoleScheduler, "schedulers", "May run every rule transformation: schedulers' clients.", authz.TypeRuleStep, authz.Wildcard},
	}
}

// devMapping is the role mapping of "muster dev".
func devMapping() map[string]string {
	m := authz.DefaultMapping()
	for _, g := range devGroups() {
		m["role:"+g.role] = g.name
	}
	return m
}

// seedDevGroups makes the groups of "muster dev" that are not there. One that
// somebody has made, and what it was granted or lost, is left alone.
func seedDevGroups(ctx context.Context, svc *registry.Service) error {
	for _, g := range devGroups() {
		if svc.Snapshot().Access.GroupByName(g.name) != nil {
			continue
		}
		made, err := svc.CreateGroup(ctx, registry.Muster(), access.Group{Name: g.name, Description: g.description}, registry.Change{})
		if fault.Is(err, "group_exists") {
			continue
		}
		if err == nil {
			_, err = svc.CreateGrant(ctx, registry.Muster(), access.Grant{Group: made.ID, Type: g.typ, Resource: g.resource}, registry.Change{})
		}
		if err != nil {
			return fmt.Errorf("the group %s: %w", g.name, err)
		}
	}
	return nil
}

// mayWriteRules decides about the principal of a rule transformation whose worker
// streams its rules back, as the gate would about the same rules in a post.
func (g *gateway) mayWriteRules(p *token.Principal) error {
	who, err := g.access.Who(authn.Caller{Principal: p})
	if err != nil {
		return err
	}
	return who.WriteRules()
}

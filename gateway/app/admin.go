package app

import (
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge"
	"github.com/muster-fleet/muster/gateway/edge/admin"
)

// administration are the routes of the API of access.
func (g *gateway) administration() []edge.Route {
	handler := admin.Handler(admin.Deps{
		Registry: g.registry, Types: g.access.Types(), Gate: g.gate.Guard, Directory: g.directory, Logger: g.log,
		Facts: func() authz.Facts {
			return authz.Facts{Steps: g.registry.Steps, Plugins: g.cfg.Access.MarketplacePlugins}
		},
		Limits: admin.TokenLimits{MaxAge: g.cfg.Access.Tokens.MaxAge, AllowUnlimited: g.cfg.Access.Tokens.AllowUnlimited},
	})
	var routes []edge.Route
	for _, root := range []string{admin.Root, admin.MePath, admin.TokensPath} {
		routes = append(routes,
			edge.Route{Pattern: root, Handler: handler, Endpoint: "access"},
			edge.Route{Pattern: root + "/", Handler: handler, Endpoint: "access"})
	}
	return routes
}

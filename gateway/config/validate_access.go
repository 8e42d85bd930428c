package config

import (
	"regexp"
	"strings"
	"time"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/registry/access"
)

func (c *checker) access(a *Access) {
	if err := authz.CheckMapping(a.RoleMapping); err != nil {
		c.wrong("access.roleMapping", "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if _, err := a.Pattern(); err != nil {
		c.wrong("access.groupPattern", "is no regular expression: %v", err)
	}
	c.between("access.idpFreshness", a.IDPFreshness, time.Minute, 8760*time.Hour)
	c.between("access.tokens.maxAge", a.Tokens.MaxAge, 24*time.Hour, 3650*24*time.Hour)
	for _, id := range a.MarketplacePlugins {
		if err := authz.CheckPlugin(id); err != nil {
			c.wrong("access.marketplacePlugins", "%q %v", id, err)
		}
	}
	if a.SeedAdminEmail != "" {
		if err := access.CheckEmail(a.SeedAdminEmail); err != nil {
			c.wrong("access.seedAdminEmail", "%v", err)
		}
	}
}

// Pattern is GroupPattern for whole names; nil when none is set.
func (a *Access) Pattern() (*regexp.Regexp, error) {
	if a.GroupPattern == "" {
		return nil, nil
	}
	return regexp.Compile(`^(?:` + a.GroupPattern + `)$`)
}

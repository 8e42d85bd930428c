package config_test

import (
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/config"
)

// A mapping is written in the file as a section, whatever characters its keys have,
// and takes the place of the default.
func TestRoleMappingInTheFile(t *testing.T) {
	file := write(t, "muster.yaml", "config_version: 1\naccess:\n  roleMapping:\n    role:muster.rules-write: rule-writers\n    \"group:/ops/admins\": Admin\n  marketplacePlugins: [main/a]\n")
	cfg := mustLoad(t, file, good).Config
	if m := cfg.Access.RoleMapping; len(m) != 2 || m["role:muster.rules-write"] != "rule-writers" || m["group:/ops/admins"] != "Admin" {
		t.Errorf("%v", m)
	}
	if p := cfg.Access.MarketplacePlugins; len(p) != 1 || p[0] != "main/a" {
		t.Errorf("%v", p)
	}
	if m := mustLoad(t, "", good).Config.Access.RoleMapping; len(m) != 1 || m["role:muster-admin"] != "Admin" {
		t.Errorf("the default is %v", m)
	}
	if m := mustLoad(t, "", with("MUSTER_ACCESS_ROLEMAPPING={}")).Config.Access.RoleMapping; len(m) != 0 {
		t.Errorf("an empty mapping maps %v", m)
	}
}

func TestAccessMistakes(t *testing.T) {
	for says, variable := range map[string]string{
		`"muster-admin" is neither role:`: `MUSTER_ACCESS_ROLEMAPPING={"muster-admin":"Admin"}`,
		"is not a JSON object of texts":   `MUSTER_ACCESS_ROLEMAPPING={"role:a":1}`,
		"has text after the object":       `MUSTER_ACCESS_ROLEMAPPING={} x`,
		"is no regular expression":        "MUSTER_ACCESS_GROUPPATTERN=(",
		"access.idpFreshness is 1s":       "MUSTER_ACCESS_IDPFRESHNESS=1s",
		"access.tokens.maxAge is 90000h":  "MUSTER_ACCESS_TOKENS_MAXAGE=90000h",
		"no slash between":                "MUSTER_ACCESS_MARKETPLACEPLUGINS=plugin",
		"MUSTER_SEED_ADMIN_EMAIL":         "MUSTER_SEED_ADMIN_EMAIL=nobody",
	} {
		if _, err := config.Load("", with(variable), nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", variable, err)
		}
	}
	file := write(t, "muster.yaml", "config_version: 1\naccess:\n  roleMapping:\n    role:a: [x]\n")
	if _, err := config.Load(file, good, nil); err == nil || !strings.Contains(err.Error(), "does not give each name one text") {
		t.Errorf("%v", err)
	}
}

// Patterns are for whole names.
func TestGroupPattern(t *testing.T) {
	a := config.Access{GroupPattern: "/teams/.*|/ops"}
	p, err := a.Pattern()
	if err != nil || !p.MatchString("/teams/x") || !p.MatchString("/ops") || p.MatchString("/opsx") || p.MatchString("x/teams/") {
		t.Errorf("%v %v", p, err)
	}
	if p, err := (&config.Access{}).Pattern(); p != nil || err != nil {
		t.Errorf("%v %v", p, err)
	}
}

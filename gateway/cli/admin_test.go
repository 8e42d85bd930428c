package cli

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

const nobodysID = "0197a1f0-7c1e-7d11-9a55-1c2f6f1f8a10"

// Groups, from making one to deleting it, against a running gateway.
func TestAdminGroups(t *testing.T) {
	g := startLive(t)
	r := g.admin("group", "create", "loaders", "--dry-run")
	r.want(t, ExitOK, "loaders", "a dry run: nothing was changed")
	g.admin("group", "show", "loaders").want(t, ExitNotFound, `no group has the name "loaders"`, "muster admin group list")

	r = g.admin("group", "create", "loaders", "--description", "post rules", "-o", "json")
	r.want(t, ExitOK, `"description": "post rules"`, "revision ")
	id := r.get(t, "id")
	g.admin("group", "create", "loaders").want(t, ExitFailed, "group_exists", "compared exactly")
	g.admin("group", "create", "loaders", "--dry-run").want(t, ExitFailed, "group_exists")
	g.admin("group", "create", " ").want(t, ExitFailed, "blank")
	g.admin("group", "create", " loaders").want(t, ExitFailed, "bad_name")
	g.admin("group", "create", "Loaders").want(t, ExitOK)
	g.admin("group", "list").want(t, ExitOK, "NAME", "Admin", "Everyone", "Loaders", "loaders", "post rules", "system")
	r = g.admin("group", "list", "--limit", "2", "-o", "json")
	r.want(t, ExitOK, "there are more than 2")
	if n := strings.Count(r.out, `"is_system"`); n != 2 {
		t.Errorf("%d groups with --limit 2: %s", n, r.out)
	}

	// By id in any case, by name exactly; a revision that is over changes nothing.
	g.admin("group", "show", strings.ToUpper(id)).want(t, ExitOK, "loaders", "revision")
	g.admin("group", "show", "LOADERS").want(t, ExitNotFound)
	g.admin("group", "show", nobodysID).want(t, ExitNotFound, "not_found", "muster admin group")
	g.admin("group", "show", "").want(t, ExitUsage)
	revision := regexp.MustCompile(`(?m)^revision +(\d+)$`).FindStringSubmatch(g.admin("group", "show", id).out)
	if revision == nil {
		t.Fatal("no revision is shown")
	}
	g.admin("group", "rename", "loaders", "pipelines", "--if-match", revision[1], "--dry-run").want(t, ExitOK, "pipelines", "a dry run")
	g.admin("group", "rename", "loaders", "pipelines", "--if-match", revision[1]).want(t, ExitOK, "pipelines")
	g.admin("group", "rename", "pipelines", "others", "--if-match", revision[1]).
		want(t, ExitFailed, "revision_mismatch", "muster admin group show")
	g.admin("group", "rename", "pipelines", "Loaders").want(t, ExitFailed, "group_exists")
	g.admin("group", "rename", "Admin", "Root").want(t, ExitFailed, "system_group")
	g.admin("group", "describe", "Admin", "may do everything").want(t, ExitOK, "may do everything")
	g.admin("group", "describe", "pipelines", "").want(t, ExitOK, "pipelines")

	// A group goes with what is in it; on a terminal it is asked first.
	g.admin("group", "add-member", "pipelines", "alice@example.org").want(t, ExitOK, "alice", "admin")
	g.admin("grant", "create", "pipelines", "graph_rules", "write").want(t, ExitOK)
	g.admin("group", "delete", "Admin").want(t, ExitFailed, "system_group")
	g.admin("group", "delete", "pipelines", "--dry-run").want(t, ExitOK, "would be deleted", "a dry run")
	g.admin("group", "delete", "pipelines", "--if-match", revision[1]).want(t, ExitFailed, "revision_mismatch")
	for _, no := range []string{"", "n\n", "what?\n"} {
		g.asked(no, "group", "delete", "pipelines").want(t, ExitFailed, "1 members and 1 grants? [y/N]", "nothing was changed")
	}
	g.asked("Y\n", "group", "delete", "pipelines", "-o", "json").want(t, ExitOK, `"deleted": true`, id)
	g.admin("group", "delete", "pipelines").want(t, ExitNotFound)
	g.admin("grant", "list", "--type", "graph_rules").lack(t, "pipelines")
	g.admin("group", "delete", "Loaders").want(t, ExitOK, "deleted") // nobody is asked where nobody is
	g.admin("audit", "list", "--action", "user_group.*").want(t, ExitOK, "user_group.deleted", "user_group.updated")
}

// Members come by several sources, and only the admins' own ends here.
func TestAdminMembers(t *testing.T) {
	g := startLive(t)
	g.admin("group", "create", "team").want(t, ExitOK)
	g.admin("group", "add-member", "team", "ALICE@example.org", "--dry-run").want(t, ExitOK, "alice@example.org", "a dry run")
	g.admin("group", "members", "team").lack(t, "alice")
	g.admin("group", "add-member", "team", "ALICE@example.org").want(t, ExitOK, "alice@example.org")
	g.admin("group", "add-member", "team", g.ids["bob"], "-o", "json").want(t, ExitOK, `"username": "bob"`, `"source": "admin"`)
	g.admin("group", "members", "team").want(t, ExitOK, "alice", "bob", "SOURCE")
	g.admin("group", "members", "Everyone", "-o", "json").want(t, ExitOK, `"source": "everyone"`)
	for code, args := range map[string][]string{
		"already_member":                       {"team", "alice@example.org"},
		"user_not_found":                       {"team", "nobody@example.org"},
		"neither an e-mail address nor the id": {"team", "alice"},
		"system_group":                         {"Everyone", "alice@example.org"},
		"revision_mismatch":                    {"team", "admin@example.org", "--if-match", "999"},
		`no group has the name "teams"`:        {"teams", "alice@example.org"},
	} {
		r := g.admin(append([]string{"group", "add-member"}, args...)...)
		if r.code == ExitOK {
			t.Errorf("%q is let through", args)
		}
		r.want(t, r.code, code)
	}

	// The admin of the development realm is one by the identity provider.
	g.admin("group", "remove-member", "Admin", "admin@example.org").want(t, ExitFailed, "not_admin_source", "idp_sync", "access.roleMapping")
	g.admin("group", "add-member", "Admin", "admin@example.org").want(t, ExitOK)
	g.admin("group", "members", "Admin").want(t, ExitOK, "idp_sync", "admin")
	r := g.admin("group", "remove-member", "Admin", "admin@example.org", "-o", "json")
	r.want(t, ExitOK, "warning: admin@example.org is still a member, by idp_sync")
	var done removed
	if err := json.Unmarshal([]byte(r.out), &done); err != nil || len(done.Remaining) != 1 || done.Remaining[0] != "idp_sync" {
		t.Errorf("%+v, %v in %s", done, err, r.out)
	}
	g.admin("group", "remove-member", "team", "alice@example.org", "--dry-run").want(t, ExitOK, "would be removed", "a dry run")
	g.admin("group", "remove-member", "team", "alice@example.org").want(t, ExitOK, "removed")
	g.admin("group", "remove-member", "team", "alice@example.org").want(t, ExitNotFound, "not_found")
	g.admin("group", "remove-member", "team", "nobody@example.org").want(t, ExitNotFound, `no user has the e-mail address`)
	g.admin("group", "remove-member", "team", "bob").want(t, ExitNotFound, "neither an e-mail address", "--username")
}

// What a grant opens is open at once, and who is no admin administers nothing.
func TestAdminGrants(t *testing.T) {
	g := startLive(t)
	g.admin("grant", "resource-types").want(t, ExitOK, "graph_rules", "read or write", "yes", "no")
	g.admin("grant", "resource-types", "-o", "json").want(t, ExitOK, `"id_format"`)
	g.as("alice", "rule", "list").want(t, ExitDenied)
	g.admin("group", "create", "readers").want(t, ExitOK)
	g.admin("group", "add-member", "readers", "alice@example.org").want(t, ExitOK)
	g.admin("grant", "create", "readers", "graph_rules", "read", "--dry-run").want(t, ExitOK, "graph_rules", "a dry run")
	g.as("alice", "rule", "list").want(t, ExitDenied)
	g.admin("grant", "create", "readers", "graph_rules", " read ").want(t, ExitOK, "never")
	g.as("alice", "rule", "list").want(t, ExitOK)
	g.admin("grant", "create", "readers", "worker", strings.ToUpper(idA), "--expires", "12h").want(t, ExitOK, idA)

	for code, args := range map[string][]string{
		"grant_exists":    {"readers", "graph_rules", "read"},
		"unknown_type":    {"readers", "rules", "read"},
		"bad_resource_id": {"readers", "graph_rules", "*"},
		"bad_expires_at":  {"readers", "explain", "filter", "--expires", "2020-01-01T00:00:00Z"},
	} {
		g.admin(append([]string{"grant", "create"}, args...)...).want(t, ExitFailed, code, "do:    ")
	}
	g.admin("grant", "create", "nobody", "graph_rules", "read").want(t, ExitNotFound, `no group has the name "nobody"`)
	for _, bad := range []string{"", "soon", "-1h", "0s", "0d", "-5d", "30", "9999999d"} {
		g.admin("grant", "create", "readers", "explain", "filter", "--expires", bad).want(t, ExitUsage, "--expires")
	}

	g.admin("grant", "list", "--group", "readers").want(t, ExitOK, "graph_rules", idA)
	g.admin("grant", "list", "--type", "worker", "--resource", idA).want(t, ExitOK, "readers")
	g.admin("grant", "list", "--type", "rules").want(t, ExitFailed, "resource_type")
	g.admin("grant", "list", "--group", "").want(t, ExitUsage)
	g.admin("grant", "who-can", "graph_rules", "read").want(t, ExitOK, "alice@example.org", "readers", "admin@example.org", "Admin")
	g.admin("grant", "who-can", "graph_rules", "all").want(t, ExitFailed, "bad_resource_id")
	g.admin("user", "access", "alice@example.org").want(t, ExitOK, "graph_rules", "read", idA, "readers")
	g.admin("user", "groups", "alice@example.org").want(t, ExitOK, "readers", "Everyone")

	// By what it says, or by its id.
	g.admin("grant", "delete", "readers", "graph_rules", "write").want(t, ExitNotFound, "has no grant on graph_rules")
	g.admin("grant", "delete", "readers", "worker", strings.ToUpper(idA), "--dry-run").want(t, ExitOK, "would be deleted")
	g.admin("grant", "delete", "readers", "worker", strings.ToUpper(idA)).want(t, ExitOK, "deleted")
	g.asked("no\n", "grant", "delete", "readers", "graph_rules", "read").want(t, ExitFailed, "nothing was changed")
	g.as("alice", "rule", "list").want(t, ExitOK)
	r := g.admin("grant", "list", "--group", "readers", "-o", "json")
	id := regexp.MustCompile(`"id": "([^"]+)"`).FindStringSubmatch(r.out)
	if id == nil {
		t.Fatalf("no grant is listed: %s", r.out)
	}
	g.admin("grant", "delete", id[1]).want(t, ExitOK, id[1])
	g.as("alice", "rule", "list").want(t, ExitDenied)
	g.admin("grant", "delete", id[1]).want(t, ExitNotFound)
	g.admin("grant", "delete", "readers").want(t, ExitUsage, "give an id, or a group")

	for _, args := range [][]string{
		{"group", "list"}, {"group", "create", "x"}, {"grant", "list"}, {"grant", "resource-types"}, {"user", "list"},
		{"token", "list", "--all"}, {"user", "deactivate", g.ids["bob"]},
	} {
		g.as("alice", append([]string{"admin"}, args...)...).want(t, ExitDenied, "membership in the group Admin")
	}
}

// Whoever is deactivated is let in nowhere, and an admin is left.
func TestAdminUsers(t *testing.T) {
	g := startLive(t)
	g.admin("user", "list").want(t, ExitOK, "admin@example.org", "alice", "bob")
	g.admin("user", "list", "--search", "ALI", "-o", "json").lack(t, `"bob"`)
	g.admin("user", "list", "--username", "Bob").want(t, ExitOK, g.ids["bob"])
	g.admin("user", "list", "--email", " ").want(t, ExitFailed, "email is blank")
	g.admin("user", "list", "--active", "maybe").want(t, ExitUsage)
	g.admin("user", "list", "--limit", "-1").want(t, ExitUsage)
	g.admin("user", "show", "Alice@Example.org").want(t, ExitOK, g.ids["alice"], "admin", "no")
	g.admin("user", "show", strings.ToUpper(g.ids["alice"]), "-o", "json").want(t, ExitOK, `"is_admin": false`)
	g.admin("user", "show", "alice").want(t, ExitNotFound, "neither an e-mail address")
	g.admin("user", "show", nobodysID).want(t, ExitNotFound, "user_not_found", "muster admin user list")

	g.admin("user", "deactivate", "admin@example.org").want(t, ExitFailed, "last_admin", "add-member Admin")
	g.admin("user", "deactivate", "bob@example.org", "--dry-run").want(t, ExitOK, "a dry run")
	g.asked("", "user", "deactivate", "bob@example.org").want(t, ExitFailed, "revoke their tokens for good? [y/N]")
	g.as("bob", "whoami").want(t, ExitOK)
	token := strings.TrimSpace(g.as("bob", "admin", "token", "create", "ci").out)
	g.as(token, "whoami").want(t, ExitOK, "bob")
	g.asked("", "user", "deactivate", "bob@example.org", "--yes").want(t, ExitOK, "deactivated by")
	if r := g.as("bob", "whoami"); r.code != ExitDenied && r.code != ExitUnauthenticated {
		t.Errorf("somebody deactivated is let in: %d %s", r.code, r.out)
	}
	g.admin("user", "list", "--active=false").want(t, ExitOK, "bob")
	g.admin("user", "activate", "bob@example.org").want(t, ExitOK)
	g.as("bob", "whoami").want(t, ExitOK)
	g.as(token, "whoami").want(t, ExitUnauthenticated)

	// With another admin the first may go.
	g.admin("group", "add-member", "Admin", "alice@example.org").want(t, ExitOK)
	g.admin("user", "deactivate", g.ids["admin"]).want(t, ExitOK)
	g.as("alice", "admin", "user", "list").want(t, ExitOK)
	g.as("alice", "admin", "group", "remove-member", "Admin", "alice@example.org").want(t, ExitFailed, "last_admin")
}

// A token is printed once and alone, and is for no more than it says.
func TestAdminTokens(t *testing.T) {
	g := startLive(t)
	r := g.admin("token", "create", "ci", "--scope", "read")
	r.want(t, ExitOK, `token "ci"`, "shown this once")
	if !regexp.MustCompile(`^mst_[0-9A-Za-z]{49}\n$`).MatchString(r.out) || strings.Contains(r.err, "mst_") {
		t.Fatalf("out %q, err %q", r.out, r.err)
	}
	token := strings.TrimSpace(r.out)
	g.as(token, "admin", "group", "list").want(t, ExitOK, "Admin")
	g.as(token, "admin", "group", "create", "x").want(t, ExitDenied, "insufficient_scope", "with the scope admin")
	g.as(token, "admin", "token", "create", "more").want(t, ExitDenied, "login_token_required", "muster login")
	g.as(token, "whoami").want(t, ExitOK, "admin")
	g.as("alice", "admin", "token", "create", "x", "--scope", "admin").want(t, ExitDenied, "scope_denied")
	g.admin("token", "create", "x", "--scope", "nonsense").want(t, ExitFailed, "bad_scope")
	g.admin("token", "create", "x", "--expires", "never").want(t, ExitFailed, "allowUnlimited")
	g.admin("token", "create", "x", "--expires", "4000d").want(t, ExitFailed, "bad_expires_in_days")
	for _, bad := range []string{"", "90", "12h", "-1d", "x"} {
		g.admin("token", "create", "x", "--expires", bad).want(t, ExitUsage, "--expires")
	}
	g.admin("token", "create", "ci", "--expires", "30d", "-o", "json").want(t, ExitOK, `"token": "mst_`)
	trial := g.admin("token", "create", "trial", "--dry-run")
	trial.want(t, ExitOK, "opens nothing")
	g.as(strings.TrimSpace(trial.out), "whoami").want(t, ExitUnauthenticated)

	// A name that two have says nothing; revoking is for good and at once.
	g.admin("token", "list").lack(t, token, "trial")
	g.admin("token", "list").want(t, ExitOK, "ci", "good", "read", "127.0.0.1")
	g.admin("token", "revoke", "ci").want(t, ExitUsage, "2 good tokens have the name", "use the id")
	g.admin("token", "revoke", "nothing").want(t, ExitNotFound, "no good token has the name")
	me := g.as(token, "whoami", "-o", "json").out
	id := regexp.MustCompile(`(?s)"token": \{\s+"id": "([^"]+)"`).FindStringSubmatch(me)
	if id == nil {
		t.Fatalf("the token is not in %s", me)
	}
	g.admin("token", "revoke", id[1], "--dry-run").want(t, ExitOK, "would be revoked")
	g.asked("n\n", "token", "revoke", id[1]).want(t, ExitFailed, "nothing was changed")
	g.as(token, "whoami").want(t, ExitOK)
	g.admin("token", "revoke", strings.ToUpper(id[1])).want(t, ExitOK, "revoked")
	g.as(token, "whoami").want(t, ExitUnauthenticated)
	g.admin("token", "list").want(t, ExitOK, "revoked")
	g.admin("token", "revoke", "ci").want(t, ExitOK) // the one that is left

	// Everybody's, for admins.
	g.as("alice", "admin", "token", "create", "hers").want(t, ExitOK)
	g.admin("token", "revoke", "hers").want(t, ExitNotFound, "--all")
	g.admin("token", "list", "--all").want(t, ExitOK, "OWNER", "alice@example.org", "admin@example.org")
	g.admin("token", "list", "--user", "alice@example.org").lack(t, "admin@example.org")
	g.admin("token", "revoke", "hers", "--all").want(t, ExitOK, "revoked")
	g.as("alice", "admin", "token", "list").want(t, ExitOK, "revoked")
}

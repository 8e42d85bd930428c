package cli

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// until runs a command until it ends with a code.
func (g *live) until(name string, code int, args ...string) {
	g.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		r := g.as(name, args...)
		if r.code == code {
			return
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("%q never ended with %d; at last %d: %s%s", args, code, r.code, r.out, r.err)
		}
	}
}

// A group that is called by the whole path of one at the identity provider has its
// members, without their being stored; by another name it has not.
func TestAdminGroupsOfTheProvider(t *testing.T) {
	g := startLive(t)
	g.as("alice", "rule", "list").want(t, ExitDenied, "whoami")
	g.admin("group", "create", "/engineering").want(t, ExitOK)
	g.admin("grant", "create", "/engineering", "graph_rules", "read").want(t, ExitOK)
	g.as("alice", "rule", "list").want(t, ExitOK)
	g.as("alice", "whoami").want(t, ExitOK, "/engineering")
	g.as("bob", "rule", "list").want(t, ExitDenied)

	// A new login has it stored, and lists show it; an admin cannot end it.
	g.ids["alice"] = ""
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // iat has seconds: the next login's is newer
	g.login("alice")
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(g.admin("group", "members", "/engineering").out, "idp_sync"); {
		if time.Now().After(deadline) {
			t.Fatal("the membership is never stored")
		}
	}
	g.admin("grant", "who-can", "graph_rules", "read").want(t, ExitOK, "alice@example.org", "/engineering")
	g.admin("user", "groups", "alice@example.org").want(t, ExitOK, "idp_sync")
	g.admin("group", "remove-member", "/engineering", "alice@example.org").want(t, ExitFailed, "not_admin_source", "idp_sync")
	g.admin("group", "rename", "/engineering", "engineers").want(t, ExitOK)
	g.as("alice", "rule", "list").want(t, ExitDenied)
	g.admin("group", "rename", "engineers", "/engineering").want(t, ExitOK)
	g.as("alice", "rule", "list").want(t, ExitOK)
	g.admin("group", "delete", "/engineering").want(t, ExitOK)
	g.as("alice", "rule", "list").want(t, ExitDenied)
}

// A grant that has ended opens nothing, stands in the list, and is in the way of
// another one until it is deleted.
func TestAdminGrantsEnd(t *testing.T) {
	g := startLive(t)
	g.admin("group", "create", "oncall").want(t, ExitOK)
	g.admin("group", "add-member", "oncall", "bob@example.org").want(t, ExitOK)
	g.admin("grant", "create", "oncall", "graph_rules", "read", "--expires", "3s").want(t, ExitOK)
	g.as("bob", "rule", "list").want(t, ExitOK)
	g.until("bob", ExitDenied, "rule", "list")
	g.admin("grant", "list", "--group", "oncall").want(t, ExitOK, "(expired)")
	g.admin("grant", "who-can", "graph_rules", "read").lack(t, "bob")
	g.admin("grant", "create", "oncall", "graph_rules", "read").want(t, ExitFailed, "grant_exists", "delete it and make it anew")
	g.admin("grant", "delete", "oncall", "graph_rules", "read").want(t, ExitOK)
	g.admin("grant", "create", "oncall", "graph_rules", "read", "--expires", "30d").want(t, ExitOK)
	g.as("bob", "rule", "list").want(t, ExitOK)
	// What is granted to everybody everybody has.
	g.as("alice", "rule", "list").want(t, ExitDenied)
	g.admin("grant", "create", "Everyone", "graph_rules", "read").want(t, ExitOK)
	g.as("alice", "rule", "list").want(t, ExitOK)
	g.admin("user", "access", "alice@example.org").want(t, ExitOK, "graph_rules", "Everyone")
}

// Of those who change one revision of a group at once, one does.
func TestAdminOneRevisionChangesOnce(t *testing.T) {
	g := startLive(t)
	g.admin("group", "create", "shared").want(t, ExitOK)
	revision := regexp.MustCompile(`(?m)^revision +(\d+)$`)
	for range 5 {
		found := revision.FindStringSubmatch(g.admin("group", "show", "shared").out)
		if found == nil {
			t.Fatal("no revision is shown")
		}
		ends := make(chan result, 4)
		for i := range cap(ends) {
			go func() {
				ends <- g.admin("group", "describe", "shared", fmt.Sprintf("by %d, of %s", i, found[1]), "--if-match", found[1])
			}()
		}
		done := 0
		for range cap(ends) {
			switch r := <-ends; {
			case r.code == ExitOK:
				done++
			case !strings.Contains(r.err, "revision_mismatch"):
				t.Errorf("refused for another reason: %d %s", r.code, r.err)
			}
		}
		if done != 1 {
			t.Fatalf("%d of four changed revision %s", done, found[1])
		}
	}
}

// A list that is longer than a page is listed to its end, each entry once.
func TestAdminListsBeyondAPage(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a thousand groups")
	}
	g := startLive(t)
	const many = 1030
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	numbers := make(chan int)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := range numbers {
				body := strings.NewReader(fmt.Sprintf(`{"name":"group %04d"}`, n))
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+groupsPath, body)
				if err != nil {
					t.Error(err)
					continue
				}
				req.Header.Set("Authorization", "Bearer "+g.tokens["admin"])
				req.Header.Set("Content-Type", "application/json")
				resp, err := client.Do(req)
				if err != nil {
					t.Error(err)
					continue
				}
				if resp.StatusCode != http.StatusCreated {
					t.Errorf("group %d: %s", n, resp.Status)
				}
				if err := resp.Body.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range many {
		numbers <- n
	}
	close(numbers)
	all.Wait()
	r := g.admin("group", "list", "-o", "json")
	r.want(t, ExitOK)
	for n := range many {
		if got := strings.Count(r.out, fmt.Sprintf(`"group %04d"`, n)); got != 1 {
			t.Fatalf("group %d is listed %d times", n, got)
		}
	}
	r = g.admin("group", "list", "--limit", "1010")
	r.want(t, ExitOK, "there are more than 1010")
	if lines := strings.Count(r.out, "\n"); lines != 1011 {
		t.Errorf("%d lines with --limit 1010", lines)
	}
}

// A token of somebody reaches what its scopes name and what its owner still has, and
// a name that two people use is neither's for an admin.
func TestAdminTokensFollowTheirOwner(t *testing.T) {
	g := startLive(t)
	g.as("alice", "admin", "token", "create", "rules", "--scope", "graph_rules:read").want(t, ExitDenied, "scope_denied")
	g.admin("group", "create", "readers").want(t, ExitOK)
	g.admin("group", "add-member", "readers", "alice@example.org").want(t, ExitOK)
	g.admin("grant", "create", "readers", "graph_rules", "read").want(t, ExitOK)
	made := g.as("alice", "admin", "token", "create", "rules", "--scope", "graph_rules:read", "--expires", "1d")
	made.want(t, ExitOK, "graph_rules:read")
	token := strings.TrimSpace(made.out)
	g.as(token, "rule", "list").want(t, ExitOK)
	g.as(token, "admin", "group", "list").want(t, ExitDenied)
	g.admin("group", "remove-member", "readers", "alice@example.org").want(t, ExitOK)
	g.as(token, "rule", "list").want(t, ExitDenied)
	g.admin("group", "add-member", "readers", "alice@example.org").want(t, ExitOK)
	g.as(token, "rule", "list").want(t, ExitOK)

	g.as("bob", "admin", "token", "create", "rules").want(t, ExitOK)
	g.admin("token", "revoke", "rules", "--all").want(t, ExitUsage, "2 good tokens", "alice@example.org", "bob@example.org")
	g.as("bob", "admin", "token", "revoke", "rules").want(t, ExitOK, "revoked")
	g.as(token, "rule", "list").want(t, ExitOK)
	g.admin("token", "revoke", "rules", "--all", "-o", "json").want(t, ExitOK, `"revoked": true`)
	g.as(token, "rule", "list").want(t, ExitUnauthenticated)
	for _, r := range []result{g.admin("token", "list", "--all"), g.admin("audit", "list", "--action", "token.*", "-o", "json")} {
		r.want(t, ExitOK)
		r.lack(t, token, token[4:])
	}
}

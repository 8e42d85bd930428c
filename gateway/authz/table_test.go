package authz_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/registry/run"
	tables "github.com/muster-fleet/muster/registry/table"
)

var update = flag.Bool("update", false, "write the reference's tables anew")

const referenceFile = "../../docs/reference/access-endpoints.md"

const preface = `# What every endpoint needs

Made from the tables in ` + "`gateway/authz`; `go test ./authz -update`" + ` writes it anew.
Who may do everything is a member of the group Admin. [What access is](access-model.md) tells what groups and grants are.

- **needs**: "a valid token" is one of a user who is not deactivated. A parameter in braces is a part of the path, or a field of
  the message.
- **tokens**: which tokens are taken where ` + "`auth.managementAudience`" + ` is set. "any" takes those for the service alone as well;
  "of a login" refuses personal access tokens with 403 ` + "`login_token_required`" + `; "management, or a service account's" takes those
  for the service alone from a client's service account that has the grant itself.
- **changes**: what the audit log calls the change, also when it is refused here. A personal access token with the scope ` + "`read`" + ` is taken where it says no. What its scopes keep it from is 403
  ` + "`insufficient_scope`" + `, where it may see what it asks about.
- HEAD is asked for like GET. A method that a path does not take is 405 for whoever has a valid token, and a path that is not
  written plainly, such as ` + "`//x`" + `, is 404 like any that does not exist.

`

// The page is the table: nobody keeps it by hand.
func TestReferenceIsTheCode(t *testing.T) {
	name := filepath.FromSlash(referenceFile)
	want := preface + table(t).Markdown() + "\n## Resource types\n\n" + types(t).Markdown()
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the code says; go test ./authz -update writes it", name)
	}
}

// What is wrong with a table is told at the start, all of it.
func TestBadTables(t *testing.T) {
	t.Parallel()
	worker := authz.Pair{Type: authz.TypeWorker, ID: "{uuid}"}
	for says, e := range map[string]authz.Endpoint{
		"says nothing of what it needs":  {Key: "GET /x"},
		"is neither \"METHOD /pattern\"": {Key: "x", Need: authz.Admin},
		"no resource type \"cat\"":       {Key: "GET /x", Need: authz.Granted(authz.Pair{Type: "cat", ID: "tom"})},
		"has no {uuid}":                  {Key: "GET /x/{id}", Need: authz.Granted(worker)},
		"is no resource of graph_rules":  {Key: "GET /x", Need: authz.Granted(authz.Pair{Type: authz.TypeGraphRules, ID: "append"})},
		"needs either an id or Some":     {Key: "GET /x", Need: authz.Granted(authz.Pair{Type: authz.TypeWorker})},
		"needs Via and Says":             {Key: "GET /x", Need: authz.Granted(authz.Pair{Type: authz.TypeWorker, ID: "{a}", Says: "x"})},
		"needs an action":                {Key: "POST /x", Need: authz.Admin},
		"and neither if not":             {Key: "GET /x", Need: authz.Admin, Action: "x.y", About: "x"},
		"can be missing":                 {Key: "GET /x", Need: authz.Admin, Sees: &authz.Pair{Type: authz.TypeExplain, ID: "filter"}},
		"stands there twice":             {Key: "GET /livez", Need: authz.Public},
	} {
		_, err := authz.NewTable(types(t), append(authz.Endpoints(), e, authz.Endpoint{Key: "GET /also"})...)
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "GET /also: says nothing") {
			t.Errorf("%+v: %v", e, err)
		}
	}
}

// A new type is one entry, and shows everywhere: it can be granted and checked, it
// lists its blocks, endpoints can ask for it, and a token can be narrowed to it.
func TestANewTypeIsOneEntry(t *testing.T) {
	t.Parallel()
	cat := authz.Type{
		Key: "cat", Display: "Cat", Description: "One cat: to feed it.", IDFormat: "a name", Wildcard: true,
		Check: func(id string) (string, error) {
			if id == "" {
				return "", fmt.Errorf("is empty")
			}
			return strings.ToLower(id), nil
		},
		Blocks: func(context.Context, authz.Facts) ([]authz.Block, error) {
			return []authz.Block{{ID: "house", Name: "House", Items: []authz.Item{{ResourceID: "tom", Name: "Tom"}}}}, nil
		},
		Missing: func(id string) error { return fault.New(fault.NotFound, "not_found", "no cat %q", id) },
	}
	all := types(t, cat)
	if all.Type("cat") == nil || !strings.Contains(strings.Join(all.Keys(), " "), "cat") || !strings.Contains(all.Markdown(), "| `cat` |") {
		t.Error("it is not listed")
	}
	if id, err := all.CheckGrant("cat", " Tom "); err != nil || id != "tom" {
		t.Errorf("%q %v", id, err)
	}
	if _, err := all.CheckGrant("cat", " "); !fault.Is(err, "bad_resource_id") || !strings.Contains(err.Error(), "a name") {
		t.Errorf("%v", err)
	}
	feed := authz.Endpoint{Key: "POST /cats/{name}", Action: "cat.fed", About: "cat:{name}", Need: authz.Granted(authz.Pair{Type: "cat", ID: "{name}"})}
	endpoints, err := authz.NewTable(all, append(authz.Endpoints(), feed)...)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.may("alice", "cat", "tom")
	var set *access.Set
	snapshot := registry.NewSnapshot("", 1, now, nil).WithAccess(set.With(&w.delta))
	a, err := authz.NewAccess(w.config, all, func() *registry.Snapshot { return snapshot })
	if err != nil {
		t.Fatal(err)
	}
	alice, bob := who(t, a, login("alice", nil, nil)), who(t, a, login("bob", nil, nil))
	named := func(name string) func(string) string { return func(string) string { return name } }
	if _, err := alice.Require(endpoints.Endpoint(feed.Key), named("TOM")); err != nil {
		t.Error(err)
	}
	_, there := bob.Require(endpoints.Endpoint(feed.Key), named("TOM"))
	_, gone := bob.Require(endpoints.Endpoint(feed.Key), named("felix"))
	if there == nil || gone == nil || there.Error() != strings.ReplaceAll(gone.Error(), "felix", "tom") {
		t.Errorf("%v and %v", there, gone)
	}
	if scopes, err := alice.CheckScopes([]string{"cat:TOM", "cat:tom"}); err != nil || len(scopes) != 1 || scopes[0] != "cat:tom" {
		t.Errorf("%v %v", scopes, err)
	}
	for _, broken := range []authz.Type{{}, {Key: "cat", Display: "x", Description: "x", IDFormat: "x"}, {Key: "cat", Display: "x", Description: "x", IDFormat: "x", Check: cat.Check, Blocks: cat.Blocks}, authz.Standard()[0]} {
		if _, err := authz.NewTypes(append(authz.Standard(), broken)...); err == nil {
			t.Errorf("%+v was taken", broken)
		}
	}
}

func TestResourceIDs(t *testing.T) {
	t.Parallel()
	all := types(t)
	for _, c := range []struct{ typ, id, want string }{
		{"worker", " {" + strings.ToUpper(someone) + "} ", someone}, {"worker", "*", "*"}, {"worker", "x", ""}, {"worker", "", ""},
		{"worker", "00000000-0000-0000-0000-000000000000", ""},
		{"worker_type", "ExternalGraphSecurity", "ExternalGraphSecurity"}, {"worker_type", "*", "*"}, {"worker_type", "a b", ""}, {"worker_type", ".a", ""},
		{"rule_step", "nightly.2", "nightly.2"}, {"rule_step", "-x", ""}, {"rule_step", "*", "*"},
		{"graph_rules", "read", "read"}, {"graph_rules", "write", "write"}, {"graph_rules", "*", ""}, {"graph_rules", "Read", ""},
		{"connector", "keboola-1", "keboola-1"}, {"connector", "a.b", ""},
		{"dataset", "keboola.in.c-main.orders", "keboola.in.c-main.orders"}, {"dataset", "keboola", ""}, {"dataset", "keboola.", ""},
		{"dataset", ".orders", ""}, {"dataset", "a.b c", ""}, {"dataset", "a.b\u0000", ""}, {"dataset", "*", "*"},
		{"explain", "filter", "filter"}, {"explain", "*", ""},
		{"marketplace_plugin", "main/plugin", "main/plugin"}, {"marketplace_plugin", "main", ""}, {"marketplace_plugin", "a/b/c", ""}, {"marketplace_plugin", "*", ""},
	} {
		got, err := all.CheckGrant(c.typ, c.id)
		if got != c.want || (err == nil) != (c.want != "") || err != nil && !fault.Is(err, "bad_resource_id") {
			t.Errorf("%s %q: %q %v", c.typ, c.id, got, err)
		}
	}
	if _, err := all.CheckGrant("cat", "tom"); !fault.Is(err, "unknown_type") || fault.From(err).Kind != fault.Invalid {
		t.Errorf("%v", err)
	}
}

func FuzzResourceIDs(f *testing.F) {
	for _, seed := range []string{someone, "{" + someone + "}", "a.b", "a/b", "read", "*", " x ", "\xff"} {
		f.Add(seed)
	}
	all, err := authz.NewTypes(authz.Standard()...)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id string) {
		for _, typ := range all.Keys() {
			once, err := all.CheckGrant(typ, id)
			if err != nil {
				continue
			}
			if twice, err := all.CheckGrant(typ, once); err != nil || twice != once {
				t.Fatalf("%s %q became %q, and that %q (%v)", typ, id, once, twice, err)
			}
		}
	})
}

// tablesOf is a registry of tables, in the order of their ids.
func tablesOf(all ...*tables.Table) func(context.Context, registry.TableQuery) ([]*tables.Table, int, error) {
	return func(_ context.Context, q registry.TableQuery) (some []*tables.Table, count int, err error) {
		for _, t := range all {
			if t.ID > q.After && len(some) < q.Limit {
				some = append(some, t)
			}
		}
		return some, len(all), nil
	}
}

// Datasets are listed over as many reads as it takes, and a store that cannot be read
// is no empty registry.
func TestDatasetsOfManyTables(t *testing.T) {
	t.Parallel()
	many := make([]*tables.Table, 2500)
	for n := range many {
		many[n] = &tables.Table{ID: fmt.Sprintf("t%04d", n), Name: fmt.Sprintf("t%04d", n), Source: "keboola"}
	}
	facts := authz.Facts{Snapshot: registry.NewSnapshot("", 1, now, nil), Tables: tablesOf(many...)}
	datasets := types(t).Type(authz.TypeDataset)
	blocks, err := datasets.Blocks(t.Context(), facts)
	if err != nil || len(blocks) != 1 || len(blocks[0].Items) != len(many) || blocks[0].Items[2499].ResourceID != "keboola.t2499" {
		t.Errorf("%d blocks: %v", len(blocks), err)
	}
	facts.Tables = func(context.Context, registry.TableQuery) ([]*tables.Table, int, error) {
		return nil, 0, fault.New(fault.Unavailable, "store_unavailable", "gone")
	}
	if blocks, err := datasets.Blocks(t.Context(), facts); !fault.Is(err, "store_unavailable") {
		t.Errorf("%d blocks: %v", len(blocks), err)
	}
}

// Every type lists what there is of it.
func TestBlocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.may("alice", authz.TypeDataset, "keboola.orders")
	w.may("bob", authz.TypeDataset, "keboola.people")
	w.may("carol", authz.TypeConnector, "jira")
	w.may("dave", authz.TypeConnector, "*")
	var set *access.Set
	facts := authz.Facts{
		Snapshot: registry.NewSnapshot("", 1, now, w.workers).WithAccess(set.With(&w.delta)), Plugins: []string{"main/a", "main/b", "other/c"},
		Steps: func(_ context.Context, after string, limit int) ([]*run.Step, error) {
			if after == "" {
				return []*run.Step{{Name: "nightly"}, {Name: "weekly"}}, nil
			}
			return nil, nil
		},
		Tables: tablesOf(&tables.Table{ID: "a", Name: "orders", Source: "keboola"}, &tables.Table{ID: "b", Name: "Issues", Source: "jira"}),
	}
	got := map[string]string{}
	for _, typ := range types(t).All() {
		blocks, err := typ.Blocks(t.Context(), facts)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			got[typ.Key] += b.ID + ":"
			for _, item := range b.Items {
				got[typ.Key] += " " + item.ResourceID
				if _, err := types(t).CheckGrant(typ.Key, item.ResourceID); err != nil {
					t.Errorf("%s lists what cannot be granted: %v", typ.Key, err)
				}
			}
			got[typ.Key] += "; "
		}
	}
	want := map[string]string{
		"worker":             "result/ExternalGraphSecurity: " + someone + "; result/RuleTransformation: " + other + "; ",
		"worker_type":        "result: ExternalGraphSecurity RuleTransformation; ",
		"rule_step":          "rule_steps: nightly weekly; ",
		"graph_rules":        "graph_rules: read write; ",
		"connector":          "jira: jira; ",
		"dataset":            "jira: jira.Issues; keboola: keboola.orders keboola.people; ",
		"explain":            "explain: filter; ",
		"marketplace_plugin": "main: main/a main/b; other: other/c; ",
	}
	for key, blocks := range want {
		if got[key] != blocks {
			t.Errorf("%s lists %q, want %q", key, got[key], blocks)
		}
	}
}

package law_test

import "strings"

// module is the prefix of every import path of this project.
const module = "github.com/muster-fleet/muster/"

// room is one package or, with tree, one package and everything below it. The
// packages of one room may import each other.
type room struct {
	path  string
	tree  bool
	layer int
	// also are rooms that may be imported although the layers alone would not
	// allow it: those of the same layer, or of another module.
	also []string
	// never are rooms that must not be imported although they lie lower.
	never []string
}

// nouns of other modules that the gateway, being the roof, may import anywhere.
var roofMay = []string{"registry", "registry/access", "registry/audit", "registry/rule", "registry/run", "registry/table", "workers/element", "workers/token", "workers/worker", "workers/client", "connectors/connector", "connectors/extract"}

// stores are seen by the composition root alone.
var stores = []string{"registry/store/duckdb", "registry/store/postgres", "registry/store/storetest"}

// rooms is the table of ARCHITECTURE.md section 3. A listed package need not
// exist yet; a package that exists must be listed.
var rooms = []room{
	// L0: the ground.
	{path: "proto/gen", tree: true, layer: 0},
	{path: "proto/fault", layer: 0},

	// L1: nouns and pure cores.
	{path: "registry/access", layer: 1},
	{path: "registry/audit", layer: 1},
	{path: "registry/rule", layer: 1},
	{path: "registry/run", layer: 1},
	{path: "registry/table", layer: 1},
	{path: "registry", layer: 1, also: []string{"registry/access", "registry/audit", "registry/rule", "registry/run", "registry/table"}},
	{path: "workers/element", layer: 1},
	{path: "workers/token", layer: 1, also: []string{"workers/element"}},
	{path: "workers/worker", layer: 1, also: []string{"workers/element", "workers/token", "workers/client"}},
	{path: "workers/client", layer: 1, also: []string{"workers/element", "workers/token"}},
	{path: "connectors", layer: 1},
	{path: "connectors/connector", layer: 1},
	{path: "connectors/extract", layer: 1},
	{path: "gateway/verdict", layer: 1},
	{path: "gateway/authn/pat", layer: 1},
	{path: "gateway/authn", layer: 1, also: []string{"gateway/authn/pat"}},

	// L2: engines.
	{path: "registry/store", tree: true, layer: 2},
	{path: "workers/workertest", tree: true, layer: 2},
	{path: "workers/celfilter", tree: true, layer: 2},
	{path: "workers/ruleloader", tree: true, layer: 2},
	{path: "workers/hasura", tree: true, layer: 2},
	{path: "connectors/host", layer: 2},
	{path: "connectors/connectortest", layer: 2},
	{path: "gateway/address", layer: 2},
	{path: "gateway/agnes", layer: 2},
	{path: "gateway/agnes/agnestest", layer: 2},
	{path: "gateway/certs", layer: 2},
	{path: "gateway/authn/keycloak", layer: 2},
	{path: "gateway/authn/keycloak/keycloaktest", layer: 2},
	{path: "gateway/authn/devissuer", layer: 2},
	{path: "gateway/authz", layer: 2, never: []string{"gateway/verdict", "gateway/rules"}},
	{path: "gateway/rules", layer: 2, never: []string{"gateway/verdict", "gateway/authz"}},
	{path: "gateway/probe", layer: 2, also: []string{"gateway/address"}},
	{path: "gateway/law", layer: 2},

	// L3: movers. Fan-out sees snapshots, never a store.
	{path: "workers/cmd", tree: true, layer: 3},
	{path: "workers/examples", tree: true, layer: 3},
	{path: "connectors/orchestrator", layer: 3},
	{path: "connectors/keboola", tree: true, layer: 3},
	{path: "connectors/bigquery", tree: true, layer: 3},
	{path: "connectors/jira", tree: true, layer: 3},
	{path: "connectors/postgres", tree: true, layer: 3},
	{path: "gateway/fanout", tree: true, layer: 3, never: []string{"gateway/authn/devissuer"}},
	{path: "gateway/transform", layer: 3},
	{path: "gateway/idpsync", layer: 3},

	// L4: the line.
	{path: "gateway/pipeline", layer: 4, never: []string{
		"gateway/address", "gateway/certs", "gateway/probe", "gateway/authn/keycloak", "gateway/authn/devissuer",
	}},

	// L5: the shell.
	{path: "gateway/edge/rest", layer: 5},
	{path: "gateway/edge/rest/resttest", layer: 5, also: []string{"gateway/edge/rest"}},
	{path: "gateway/edge", layer: 5, also: []string{"gateway/edge/fleet", "gateway/edge/rest"}},
	{path: "gateway/edge/fleet", layer: 5, also: []string{"gateway/edge/rest", "gateway/edge/rest/resttest"}},
	{path: "gateway/edge/accessrules", layer: 5, also: []string{"gateway/edge/rest", "gateway/edge/rest/resttest"}},
	{path: "gateway/edge/transformations", layer: 5, also: []string{"gateway/edge/rest", "gateway/edge/rest/resttest"}},
	{path: "gateway/edge/admin", layer: 5, also: []string{"gateway/edge/rest"}},
	{path: "gateway/edge/audit", layer: 5, also: []string{"gateway/edge/rest", "gateway/edge/rest/resttest"}},
	{path: "gateway/ui", tree: true, layer: 5},
	{path: "gateway/config", layer: 5},

	// L6: the roof. app <- cli <- cmd/muster.
	{path: "gateway/app", layer: 6, also: append([]string{"workers/workertest"}, stores...)},
	{path: "gateway/cli", layer: 6, also: []string{"gateway/app", "workers/workertest"}},
	{path: "gateway/cmd/muster", layer: 6, also: []string{"gateway/cli"}},
	{path: "gateway/e2e", tree: true, layer: 6, also: append([]string{
		"gateway/app", "gateway/cli", "workers/workertest", "workers/celfilter",
	}, stores...)},
}

// leaf limits a third-party library to the rooms that wrap it; every import
// path that begins with prefix counts.
type leaf struct {
	prefix string
	rooms  []string
	why    string
}

var leaves = []leaf{
	{"github.com/duckdb/", []string{"registry/store/duckdb", "connectors/extract", "gateway/agnes"}, "DuckDB needs cgo and stays in its leaf packages"},
	{"github.com/jackc/pgx", []string{"registry/store/postgres", "connectors/postgres", "workers/ruleloader"}, "PostgreSQL is spoken in its store, and where it is a source"},
	{"github.com/parquet-go/", []string{"workers/ruleloader"}, "Parquet is a source of the rule loader"},
	{"github.com/pressly/goose", []string{"registry/store", "registry/store/duckdb", "registry/store/postgres"}, "migrations belong to the stores"},
	{"github.com/hashicorp/go-plugin", []string{"connectors/connector", "connectors/host"}, "child processes belong to the connectors"},
	{"github.com/golang-jwt/", []string{"workers/token", "gateway/authn/devissuer", "workers/workertest"}, "there is one verifier; only issuers of test tokens sign"},
	{"github.com/MicahParks/", []string{"workers/token", "gateway/authn/devissuer", "workers/workertest"}, "there is one verifier"},
	{"github.com/danielgtaylor/huma", []string{"gateway/edge", "gateway/edge/fleet", "gateway/edge/rest", "gateway/edge/accessrules", "gateway/edge/transformations", "gateway/edge/admin", "gateway/edge/audit"}, "OpenAPI is the shell's"},
	{"github.com/failsafe-go/", []string{"gateway/fanout"}, "resilience is fan-out's"},
	{"github.com/spf13/", []string{"gateway/cli", "gateway/config"}, "commands are the CLI's"},
	{"github.com/knadh/koanf", []string{"gateway/config"}, "configuration is read once"},
	{"github.com/go-json-experiment/", []string{"workers/element", "workers/worker", "workers/token", "gateway/verdict"}, "bodies are read by one reader"},
	{"cel.dev/", []string{"workers/celfilter"}, "CEL is the reference filter's"},
	{"github.com/robfig/cron", []string{"registry/table"}, "schedules have one grammar, and a parser that panics of what is no schedule one guard"},
	{"github.com/riverqueue/", []string{"connectors/orchestrator"}, "the queue is the orchestrator's"},
	{"github.com/vektah/", []string{"workers/hasura"}, "GraphQL is Hasura's"},
}

// bannedNames tell what a package is used for rather than what it is.
var bannedNames = []string{"util", "utils", "common", "helper", "helpers", "shared", "types", "models", "manager", "misc", "base"}

// roomOf returns the room of a package, given without the module prefix; the
// longest match wins.
func roomOf(pkg string) (room, bool) {
	best, found := room{}, false
	for _, r := range rooms {
		hit := pkg == r.path || (r.tree && strings.HasPrefix(pkg, r.path+"/"))
		if hit && (!found || len(r.path) > len(best.path)) {
			best, found = r, true
		}
	}
	return best, found
}

// inside reports whether pkg is one of rooms or lies below one of them.
func inside(pkg string, rooms []string) bool {
	for _, r := range rooms {
		if pkg == r || strings.HasPrefix(pkg, r+"/") {
			return true
		}
	}
	return false
}

func moduleOf(pkg string) string {
	first, _, _ := strings.Cut(pkg, "/")
	return first
}

// verdictOf says why room may not import a package of this project, or nothing
// when it may.
func verdictOf(from room, pkg string) string {
	to, ok := roomOf(pkg)
	switch {
	case !ok:
		return "is not in the table"
	case to.path == from.path:
		return ""
	case inside(pkg, from.never):
		return "is forbidden to it by name"
	case exactly(pkg, from.also):
		return ""
	case to.layer == 0 && from.layer > 0:
		return ""
	case moduleOf(from.path) != moduleOf(pkg):
		if moduleOf(from.path) == "gateway" && exactly(pkg, roofMay) {
			return ""
		}
		return "belongs to a module that it may not see"
	case to.layer >= from.layer:
		return "does not lie below it"
	case from.layer < 6 && inside(pkg, stores):
		return "is a driver"
	}
	return ""
}

// exactly reports whether pkg is, or lies in the tree of, one of the named rooms.
func exactly(pkg string, names []string) bool {
	to, _ := roomOf(pkg)
	for _, n := range names {
		if pkg == n || to.path == n {
			return true
		}
	}
	return false
}

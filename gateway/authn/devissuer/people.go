package devissuer

import (
	"slices"

	"github.com/google/uuid"
)

// Names that the realm file in deploy/keycloak uses too.
const (
	// ClientCLI is the public client of the command line.
	ClientCLI = "muster-cli"
	// ClientGraph is the graph service's client; its secret is its name.
	ClientGraph = "graph-service"
	// ClientGateway is the gateway's own client, for token exchange and for
	// reading users, groups and clients; its secret is its name.
	ClientGateway = "muster-gateway"
	// ClientLoader is the client that a rule transformation's worker acts as; its
	// secret is its name.
	ClientLoader = "rule-loader"
	// ClientAirflow is the client that a scheduler starts runs of rule
	// transformations with; its secret is its name.
	ClientAirflow = "airflow"
	// Audience is that of the service.
	Audience = "muster"
	// ManagementAudience is that of the management endpoints; only the tokens of
	// ClientCLI and ClientAirflow carry it.
	ManagementAudience = "muster-admin"
	// RoleAdmin is the realm role of the administrators.
	RoleAdmin = "muster-admin"
	// RoleRules is the realm role of what writes rules.
	RoleRules = "muster-rules-write"
	// RoleScheduler is the realm role of what starts runs of rule transformations.
	RoleScheduler = "muster-scheduler"
)

// account is a person or the service account of a client.
type account struct {
	name, given, family, email string
	groups, roles              []string
	client                     string // of a service account
}

type client struct {
	id     string
	secret string // empty: a public client
	grants []string
	roles  []string // of its service account
}

var people = []account{
	{name: "alice", given: "Alice", family: "Example", email: "alice@example.org", groups: []string{"/engineering"}},
	{name: "bob", given: "Bob", family: "Example", email: "bob@example.org", groups: []string{"/support"}},
	{name: "admin", given: "Admin", family: "Example", email: "admin@example.org", groups: []string{"/platform"}, roles: []string{RoleAdmin}},
}

var clients = []client{
	{id: ClientCLI, grants: []string{grantPassword, grantDevice, grantRefresh}},
	{id: ClientGraph, secret: ClientGraph, grants: []string{grantClient}},
	{id: ClientGateway, secret: ClientGateway, grants: []string{grantClient, grantExchange}},
	{id: ClientLoader, secret: ClientLoader, grants: []string{grantClient}, roles: []string{RoleRules}},
	{id: ClientAirflow, secret: ClientAirflow, grants: []string{grantClient}, roles: []string{RoleScheduler}},
}

func names() []string {
	out := make([]string, 0, len(people))
	for _, p := range people {
		out = append(out, p.name)
	}
	return out
}

// person returns the one of that name; there is none with an empty name.
func person(name string) (account, bool) {
	i := slices.IndexFunc(people, func(p account) bool { return p.name == name })
	if i < 0 {
		return account{}, false
	}
	return people[i], true
}

func clientByID(id string) (client, bool) {
	i := slices.IndexFunc(clients, func(c client) bool { return c.id == id })
	if i < 0 {
		return client{}, false
	}
	return clients[i], true
}

// serviceAccount is the account that a client's own tokens speak for.
func serviceAccount(c client) account {
	return account{name: "service-account-" + c.id, client: c.id, roles: c.roles}
}

// subject is stable over restarts, so that what was granted to a person stays.
func (a account) subject() string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("urn:muster:dev:"+a.name)).String()
}

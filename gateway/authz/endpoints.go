package authz

import (
	"slices"

	"github.com/muster-fleet/muster/registry"
)

// Endpoints is the table of what every endpoint of Muster needs.
// docs/reference/access-endpoints.md is made from it. What is mounted and has no
// entry here stops the start.
func Endpoints() []Endpoint {
	return slices.Concat(contractEndpoints(), fleetEndpoints(), ruleEndpoints(), stepEndpoints(), adminEndpoints(), tableEndpoints(), auditEndpoints(), grpcEndpoints())
}

// actionProbed is a probe that somebody asks for; one that ends a quarantine is a
// row of its own.
const actionProbed = "worker.probed"

// What several endpoints need.
var (
	theWorker   = Pair{Type: TypeWorker, ID: "{uuid}"}
	typeOfIt    = Pair{Type: TypeWorkerType, ID: "{uuid}", Via: workerTypeOf, Says: "the type of worker {uuid}"}
	someType    = Pair{Type: TypeWorkerType, Some: true}
	theStep     = Pair{Type: TypeRuleStep, ID: "{name}"}
	readRules   = Granted(Pair{Type: TypeGraphRules, ID: RulesRead})
	writeRules  = Granted(Pair{Type: TypeGraphRules, ID: RulesWrite})
	explainIt   = Granted(Pair{Type: TypeExplain, ID: ExplainFilter})
	explainNote = "to ask for an explanation takes a grant on explain filter"
)

// workerTypeOf returns the type of a registered worker.
func workerTypeOf(s *registry.Snapshot, uuid string) (string, bool) {
	id, err := registry.ParseWorkerID(uuid)
	if err != nil {
		return "", false
	}
	w := s.Worker(id)
	if w == nil {
		return "", false
	}
	return w.Type, true
}

// contractEndpoints are those that answer as a worker does, what no route takes,
// and the operations listener's.
func contractEndpoints() []Endpoint {
	return []Endpoint{
		{Key: "GET /{$}", Need: Public, Note: "four keys and no more"},
		{Key: "/", Need: Anybody, Audience: ForService, Reads: true, Note: "what no route takes: 404"},
		{Key: "POST /api/graph-security/filter", Need: Anybody, Audience: ForService, Login: true, Reads: true, Note: explainNote},
		{Key: "/api/graph-security/filter", Need: Anybody, Audience: ForService, Reads: true, Note: "other methods: 405"},
		{Key: "GET /api/openapi.json", Need: Anybody, Audience: ForService},
		{Key: "GET /api/health", Need: Public, Note: "whether changes can be made, and the schema's version"},
		{Key: "GET /api/version", Need: Public, Note: "the version and no more"},
		{Key: "GET /metrics", Need: Public, Ops: true},
		{Key: "GET /livez", Need: Public, Ops: true},
		{Key: "GET /readyz", Need: Public, Ops: true},
		{Key: "/debug/pprof/", Need: Public, Ops: true, Note: "with ops.pprof only"},
	}
}

func fleetEndpoints() []Endpoint {
	return []Endpoint{
		{Key: "GET /api/workers", Need: Anybody, Note: "shows the workers that the caller may see"},
		{Key: "POST /api/workers", Need: Granted(someType), Action: registry.ActionRegistered, About: "worker", Note: "the grant has to be on the type that the worker answers"},
		{Key: "GET /api/workers/{uuid}", Need: Granted(theWorker)},
		{Key: "PATCH /api/workers/{uuid}", Need: Granted(theWorker), Action: registry.ActionUpdated, About: "worker:{uuid}", Note: "pausing and resuming included"},
		{Key: "DELETE /api/workers/{uuid}", Need: Granted(typeOfIt), Sees: &theWorker, Action: registry.ActionDeleted, About: "worker:{uuid}"},
		{Key: "POST /api/workers/{uuid}/probe", Need: Granted(theWorker), Action: actionProbed, About: "worker:{uuid}"},
		{Key: "PUT /api/workers/{uuid}/conformance", Need: Granted(theWorker), Action: registry.ActionConformance, About: "worker:{uuid}"},
	}
}

func ruleEndpoints() []Endpoint {
	const rules, own = "/api/graph-access-rule/accessRules", "without the grant, rules that the caller has created"
	return []Endpoint{
		{Key: "GET /api/graph-model", Need: readRules, Audience: ForServiceAccounts},
		{Key: "PUT /api/graph-model", Need: writeRules, Audience: ForServiceAccounts, Action: registry.ActionModelReplaced, About: "model"},
		{Key: "POST " + rules, Need: writeRules, Audience: ForServiceAccounts, Action: registry.ActionRulesPosted, About: "rules"},
		{Key: "POST " + rules + ":commit", Need: writeRules, Audience: ForServiceAccounts, Action: registry.ActionRulesCommitted, About: "rules"},
		{Key: "POST " + rules + ":check", Need: explainIt, Reads: true},
		{Key: "GET /api/graph-access-rule/functions/{id}", Need: Anybody, Audience: ForService, Note: "answers for the caller alone"},
		{Key: "GET " + rules, Need: readRules.OrCreator(), Audience: ForServiceAccounts, Note: own + ", by createdBy=me"},
		{Key: "DELETE " + rules, Need: writeRules.OrCreator(), Audience: ForServiceAccounts, Action: registry.ActionRulesDeleted, About: "rules", Note: "deletes the caller's own rules alone"},
		{Key: "GET " + rules + "/{id}", Need: readRules.OrCreator(), Audience: ForServiceAccounts, Note: own},
		{Key: "PUT " + rules + "/{id}", Need: writeRules, Audience: ForServiceAccounts, Action: registry.ActionRuleUpdated, About: "rule:{id}"},
		{Key: "DELETE " + rules + "/{id}", Need: writeRules.OrCreator(), Audience: ForServiceAccounts, Action: registry.ActionRuleDeleted, About: "rule:{id}", Note: own},
	}
}

func stepEndpoints() []Endpoint {
	const step = "/api/rule-transformations/{name}"
	return []Endpoint{
		{Key: "GET /api/rule-transformations", Need: Anybody, Note: "shows the steps that the caller may run, by name alone unless the caller is an administrator"},
		{Key: "GET " + step, Need: Admin},
		{Key: "PUT " + step, Need: Admin, Action: registry.ActionStepChanged, About: "rule_step:{name}"},
		{Key: "DELETE " + step, Need: Admin, Action: registry.ActionStepDeleted, About: "rule_step:{name}"},
		{Key: "POST " + step + "/runs", Need: Granted(theStep), Action: registry.ActionRunStarted, About: "rule_step:{name}"},
		{Key: "GET " + step + "/runs", Need: Granted(theStep)},
		{Key: "GET " + step + "/runs/{id}", Need: Granted(theStep)},
		{Key: "POST " + step + "/runs/{id}", Need: Granted(theStep), Action: registry.ActionRunCancelled, About: "rule_step:{name}", Note: "{id} ends in :cancel"},
		{Key: "GET " + step + "/runs/{id}/log", Need: Granted(theStep)},
	}
}

// adminEndpoints are those of the administration of access, of one's own access
// and of personal access tokens.
func adminEndpoints() []Endpoint {
	const admin, group, user = "/api/admin", "/api/admin/groups/{id}", "/api/admin/users/{id}"
	return []Endpoint{
		{Key: "GET " + admin + "/resource-types", Need: Admin},
		{Key: "GET " + admin + "/access-overview", Need: Admin},
		{Key: "GET " + admin + "/group-suggestions", Need: Admin},
		{Key: "GET " + admin + "/who-can", Need: Admin},
		{Key: "GET " + admin + "/groups", Need: Admin},
		{Key: "POST " + admin + "/groups", Need: Admin, Action: registry.ActionGroupCreated, About: "group"},
		{Key: "GET " + group, Need: Admin},
		{Key: "PATCH " + group, Need: Admin, Action: registry.ActionGroupUpdated, About: "group:{id}"},
		{Key: "DELETE " + group, Need: Admin, Action: registry.ActionGroupDeleted, About: "group:{id}"},
		{Key: "GET " + group + "/members", Need: Admin},
		{Key: "POST " + group + "/members", Need: Admin, Action: registry.ActionMemberAdded, About: "group:{id}"},
		{Key: "DELETE " + group + "/members/{user_id}", Need: Admin, Action: registry.ActionMemberRemoved, About: "group:{id}"},
		{Key: "GET " + admin + "/grants", Need: Admin},
		{Key: "POST " + admin + "/grants", Need: Admin, Action: registry.ActionGrantCreated, About: "grant"},
		{Key: "DELETE " + admin + "/grants/{id}", Need: Admin, Action: registry.ActionGrantDeleted, About: "grant:{id}"},
		{Key: "GET " + admin + "/users", Need: Admin},
		{Key: "GET " + user, Need: Admin},
		{Key: "POST " + user + "/deactivate", Need: Admin, Action: registry.ActionUserDeactivated, About: "user:{id}"},
		{Key: "POST " + user + "/activate", Need: Admin, Action: registry.ActionUserActivated, About: "user:{id}"},
		{Key: "GET " + user + "/memberships", Need: Admin},
		{Key: "POST " + user + "/memberships", Need: Admin, Action: registry.ActionMemberAdded, About: "user:{id}"},
		{Key: "DELETE " + user + "/memberships/{group_id}", Need: Admin, Action: registry.ActionMemberRemoved, About: "group:{group_id}"},
		{Key: "GET " + user + "/effective-access", Need: Admin},
		{Key: "GET " + admin + "/tokens", Need: Admin},
		{Key: "DELETE " + admin + "/tokens/{id}", Need: Admin, Action: registry.ActionTokenRevokedByAdmin, About: "token:{id}"},
		{Key: "GET /api/me", Need: Anybody, Note: "answers for the caller alone"},
		{Key: "GET /api/me/effective-access", Need: Anybody, Note: "answers for the caller alone"},
		{Key: "GET /api/tokens", Need: Anybody, Note: "the caller's own"},
		{Key: "POST /api/tokens", Need: Anybody, Login: true, Action: registry.ActionTokenCreated, About: "token", Note: "for no more than the caller may"},
		{Key: "GET /api/tokens/{id}", Need: Anybody, Note: "the caller's own"},
		{Key: "DELETE /api/tokens/{id}", Need: Anybody, Action: registry.ActionTokenRevoked, About: "token:{id}", Note: "the caller's own"},
	}
}

// tableEndpoints are those of the registry of tables.
func tableEndpoints() []Endpoint {
	const admin = "/api/admin"
	return []Endpoint{
		{Key: "GET " + admin + "/registry", Need: Admin},
		{Key: "POST " + admin + "/register-table", Need: Admin, Action: registry.ActionTableRegistered, About: "table"},
		{Key: "GET " + admin + "/registry/{id}", Need: Admin},
		{Key: "PUT " + admin + "/registry/{id}", Need: Admin, Action: registry.ActionTableUpdated, About: "table:{id}"},
		{Key: "DELETE " + admin + "/registry/{id}", Need: Admin, Action: registry.ActionTableDeleted, About: "table:{id}"},
	}
}

// auditEndpoints are those of the audit log.
func auditEndpoints() []Endpoint {
	const audit = "/api/admin/audit"
	return []Endpoint{
		{Key: "GET " + audit, Need: Admin},
		{Key: "GET " + audit + "/heads", Need: Admin},
		{Key: "GET " + audit + "/verify", Need: Admin},
	}
}

func grpcEndpoints() []Endpoint {
	const fleet, filter = "/muster.registry.v1.Registry/", "/muster.gateway.v1.GraphSecurity/"
	return []Endpoint{
		{Key: filter + "Filter", Need: Anybody, Audience: ForService, Login: true, Reads: true, Note: explainNote},
		{Key: fleet + "Register", Need: Granted(someType), Action: registry.ActionRegistered, About: "worker", Note: "the grant has to be on the type that the worker answers"},
		{Key: fleet + "List", Need: Anybody, Reads: true, Note: "shows the workers that the caller may see"},
		{Key: fleet + "Get", Need: Granted(theWorker), Reads: true},
		{Key: fleet + "Update", Need: Granted(theWorker), Action: registry.ActionUpdated, About: "worker:{uuid}", Note: "pausing and resuming included"},
		{Key: fleet + "Deregister", Need: Granted(typeOfIt), Sees: &theWorker, Action: registry.ActionDeleted, About: "worker:{uuid}"},
		{Key: fleet + "Watch", Need: Anybody, Reads: true, Note: "shows the workers that the caller may see"},
		{Key: "/grpc.health.v1.Health/Check", Need: Public},
		{Key: "/grpc.health.v1.Health/List", Need: Public},
		{Key: "/grpc.health.v1.Health/Watch", Need: Public},
		{Key: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Need: Anybody, Audience: ForService, Reads: true},
		{Key: "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Need: Anybody, Audience: ForService, Reads: true},
	}
}

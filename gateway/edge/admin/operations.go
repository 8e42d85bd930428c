package admin

import (
	"net/http"
	"reflect"
	"slices"

	"github.com/muster-fleet/muster/gateway/edge/rest"
)

const (
	groupsPath  = Root + "/groups"
	groupPath   = groupsPath + "/{id}"
	membersPath = groupPath + "/members"
	grantsPath  = Root + "/grants"
	usersPath   = Root + "/users"
	userPath    = usersPath + "/{id}"
)

var (
	idParam      = rest.Parameter{Name: "id", In: "path", Doc: "A uuid.", Sample: ""}
	userIDParam  = rest.Parameter{Name: "user_id", In: "path", Doc: "The user's uuid.", Sample: ""}
	groupIDParam = rest.Parameter{Name: "group_id", In: "path", Doc: "The group's uuid.", Sample: ""}
	matchParam   = rest.Parameter{Name: "If-Match", In: "header", Doc: "Only this revision of the group, bare or quoted.", Sample: ""}
	dryParam     = rest.Parameter{Name: "dryRun", In: "query", Doc: "Answer as the call would, and change nothing.", Sample: false}
	limitParam   = rest.Parameter{Name: "limit", In: "query", Doc: "From 1 to 1000; 100 when left out.", Sample: 0}
	pageParam    = rest.Parameter{Name: "cursor", In: "query", Doc: "The nextCursor of the page before.", Sample: ""}
)

func query(name, doc string) rest.Parameter {
	return rest.Parameter{Name: name, In: "query", Doc: doc, Sample: ""}
}

// paged are the parameters of a list.
func paged(more ...rest.Parameter) []rest.Parameter {
	return append(slices.Clip(more), limitParam, pageParam)
}

// ok is the one good answer of a call that reads.
func ok(of reflect.Type, headers ...string) []rest.Answer {
	return []rest.Answer{rest.NewAnswer(http.StatusOK, "As asked for.", of, headers...)}
}

// made is the one good answer of a call that makes something.
func made(of reflect.Type, headers ...string) []rest.Answer {
	return []rest.Answer{rest.NewAnswer(http.StatusCreated, "It is made.", of, headers...)}
}

// gone is the one good answer of a call that removes something.
func gone() []rest.Answer {
	return []rest.Answer{rest.NewAnswer(http.StatusNoContent, "It is gone.", nil)}
}

// bodyProblems are the problems of a call that takes a body, and more.
func bodyProblems(more ...int) []int {
	return append([]int{
		http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity,
	}, more...)
}

// operations is the whole API. The mux and the OpenAPI description are both made
// from it.
func (a *api) operations() []rest.Operation {
	return slices.Concat(
		a.overviewOperations(), a.groupOperations(), a.memberOperations(), a.grantOperations(),
		a.userOperations(), a.membershipOperations(), a.tokenOperations(), a.ownOperations(), a.tableOperations(),
	)
}

func (a *api) overviewOperations() []rest.Operation {
	return []rest.Operation{
		{
			Method: http.MethodGet, Path: Root + "/resource-types", ID: "listResourceTypes", Summary: "List the kinds of resources that can be granted",
			Handle: a.resourceTypes, Answers: ok(reflect.TypeFor[ResourceTypes]()), Problems: []int{http.StatusBadRequest},
		},
		{
			Method: http.MethodGet, Path: Root + "/access-overview", ID: "getAccessOverview", Summary: "Read groups, grants, and what there is to be granted",
			Handle: a.accessOverview, Answers: ok(reflect.TypeFor[Overview]()), Problems: []int{http.StatusBadRequest},
		},
		{
			Method: http.MethodGet, Path: Root + "/group-suggestions", ID: "listGroupSuggestions", Summary: "List groups of the identity provider that are none here yet",
			Handle: a.groupSuggestions, Params: paged(), Answers: ok(reflect.TypeFor[SuggestionPage]()), Problems: []int{http.StatusBadRequest},
		},
		{
			Method: http.MethodGet, Path: Root + "/who-can", ID: "whoCan", Summary: "List who may reach a resource, and why",
			Handle:  a.whoCan,
			Params:  paged(query("resource_type", "A key of the resource types; required."), query("resource_id", "Of the type's id_format; required.")),
			Answers: ok(reflect.TypeFor[HolderPage]()), Problems: []int{http.StatusBadRequest, http.StatusUnprocessableEntity},
		},
	}
}

func (a *api) groupOperations() []rest.Operation {
	record := reflect.TypeFor[Group]()
	return []rest.Operation{
		{
			Method: http.MethodGet, Path: groupsPath, ID: "listGroups", Summary: "List groups, ordered by name",
			Handle: a.listGroups, Params: paged(query("name", "Only the group of exactly this name.")),
			Answers: ok(reflect.TypeFor[GroupPage]()), Problems: []int{http.StatusBadRequest},
		},
		{
			Method: http.MethodPost, Path: groupsPath, ID: "createGroup", Summary: "Make a group",
			Handle: a.createGroup, Params: []rest.Parameter{dryParam},
			Body: reflect.TypeFor[GroupInput](), Answers: made(record, "ETag", "Location"), Problems: bodyProblems(http.StatusConflict),
		},
		{
			Method: http.MethodGet, Path: groupPath, ID: "getGroup", Summary: "Read a group",
			Handle: a.getGroup, Params: []rest.Parameter{idParam}, Answers: ok(record, "ETag"),
			Problems: []int{http.StatusBadRequest, http.StatusNotFound},
		},
		{
			Method: http.MethodPatch, Path: groupPath, ID: "updateGroup", Summary: "Rename or describe a group; system groups keep their names",
			Handle: a.updateGroup, Params: []rest.Parameter{idParam, matchParam, dryParam},
			Body: reflect.TypeFor[GroupChange](), Answers: ok(record, "ETag"),
			Problems: bodyProblems(http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed),
		},
		{
			Method: http.MethodDelete, Path: groupPath, ID: "deleteGroup", Summary: "Delete a group with its members and grants; system groups stay",
			Handle: a.deleteGroup, Params: []rest.Parameter{idParam, matchParam, dryParam},
			Answers:  gone(),
			Problems: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		},
	}
}

// removed are the good answers of a call that ends a membership.
func removed() []rest.Answer {
	return append(gone(), rest.NewAnswer(http.StatusOK, "It is gone, and other sources keep the user a member.", reflect.TypeFor[Remaining]()))
}

func (a *api) memberOperations() []rest.Operation {
	return []rest.Operation{
		{
			Method: http.MethodGet, Path: membersPath, ID: "listMembers", Summary: "List the members of a group, once for each source",
			Handle: a.listMembers, Params: paged(idParam), Answers: ok(reflect.TypeFor[MemberPage]()),
			Problems: []int{http.StatusBadRequest, http.StatusNotFound},
		},
		{
			Method: http.MethodPost, Path: membersPath, ID: "addMember", Summary: "Make a user a member of a group",
			Handle: a.addMember, Params: []rest.Parameter{idParam, dryParam},
			Body: reflect.TypeFor[MemberInput](), Answers: made(reflect.TypeFor[Member]()),
			Problems: bodyProblems(http.StatusNotFound, http.StatusConflict),
		},
		{
			Method: http.MethodDelete, Path: membersPath + "/{user_id}", ID: "removeMember", Summary: "End the membership that an admin gave",
			Handle: a.removeMember, Params: []rest.Parameter{idParam, userIDParam, dryParam},
			Answers: removed(), Problems: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict},
		},
	}
}

func (a *api) grantOperations() []rest.Operation {
	return []rest.Operation{
		{
			Method: http.MethodGet, Path: grantsPath, ID: "listGrants", Summary: "List grants, ordered by id",
			Handle: a.listGrants,
			Params: paged(
				query("resource_type", "Only grants on this type."), query("resource_id", "Only grants on exactly this resource."),
				query("group_id", "Only grants of this group."),
			),
			Answers: ok(reflect.TypeFor[GrantPage]()), Problems: []int{http.StatusBadRequest},
		},
		{
			Method: http.MethodPost, Path: grantsPath, ID: "createGrant", Summary: "Grant a resource to a group; it need not exist yet",
			Handle: a.createGrant, Params: []rest.Parameter{dryParam},
			Body: reflect.TypeFor[GrantInput](), Answers: made(reflect.TypeFor[Grant]()),
			Problems: bodyProblems(http.StatusNotFound, http.StatusConflict),
		},
		{
			Method: http.MethodDelete, Path: grantsPath + "/{id}", ID: "deleteGrant", Summary: "Take a grant back",
			Handle: a.deleteGrant, Params: []rest.Parameter{idParam, dryParam},
			Answers: gone(), Problems: []int{http.StatusBadRequest, http.StatusNotFound},
		},
	}
}

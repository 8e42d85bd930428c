package admin

import (
	"net/http"
	"reflect"

	"github.com/muster-fleet/muster/gateway/edge/rest"
)

func (a *api) userOperations() []rest.Operation {
	record := reflect.TypeFor[User]()
	return []rest.Operation{
		{
			Method: http.MethodGet, Path: usersPath, ID: "listUsers", Summary: "List users, ordered by id",
			Handle: a.listUsers,
			Params: paged(
				query("email", "Only users with this e-mail, in any case."), query("username", "Only users with this user name, in any case."),
				query("search", "Only users whose e-mail, user name or name holds this, in any case."),
				rest.Parameter{Name: "active", In: "query", Doc: "Only active or only deactivated users.", Sample: false},
			),
			Answers: ok(reflect.TypeFor[UserPage]()), Problems: []int{http.StatusBadRequest},
		},
		{
			Method: http.MethodGet, Path: userPath, ID: "getUser", Summary: "Read a user",
			Handle: a.getUser, Params: []rest.Parameter{idParam}, Answers: ok(record),
			Problems: []int{http.StatusBadRequest, http.StatusNotFound},
		},
		{
			Method: http.MethodPost, Path: userPath + "/deactivate", ID: "deactivateUser", Summary: "Let a user do nothing more, by login or by token",
			Handle: a.deactivateUser, Params: []rest.Parameter{idParam, dryParam}, Answers: ok(record),
			Problems: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict},
		},
		{
			Method: http.MethodPost, Path: userPath + "/activate", ID: "activateUser", Summary: "Take a deactivation back",
			Handle: a.activateUser, Params: []rest.Parameter{idParam, dryParam}, Answers: ok(record),
			Problems: []int{http.StatusBadRequest, http.StatusNotFound},
		},
		{
			Method: http.MethodGet, Path: userPath + "/effective-access", ID: "getUserAccess", Summary: "List what a user may reach, and why",
			Handle: a.userAccess, Params: paged(idParam), Answers: ok(reflect.TypeFor[EffectiveAccess]()),
			Problems: []int{http.StatusBadRequest, http.StatusNotFound},
		},
	}
}

func (a *api) membershipOperations() []rest.Operation {
	return []rest.Operation{
		{
			Method: http.MethodGet, Path: userPath + "/memberships", ID: "listMemberships", Summary: "List a user's groups, once for each source",
			Handle: a.listMemberships, Params: paged(idParam), Answers: ok(reflect.TypeFor[MembershipPage]()),
			Problems: []int{http.StatusBadRequest, http.StatusNotFound},
		},
		{
			Method: http.MethodPost, Path: userPath + "/memberships", ID: "addMembership", Summary: "Make a user a member of a group",
			Handle: a.addMembership, Params: []rest.Parameter{idParam, dryParam},
			Body: reflect.TypeFor[MembershipInput](), Answers: made(reflect.TypeFor[Membership]()),
			Problems: bodyProblems(http.StatusNotFound, http.StatusConflict),
		},
		{
			Method: http.MethodDelete, Path: userPath + "/memberships/{group_id}", ID: "removeMembership", Summary: "End the membership that an admin gave",
			Handle: a.removeMembership, Params: []rest.Parameter{idParam, groupIDParam, dryParam},
			Answers: removed(), Problems: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict},
		},
	}
}

func (a *api) tokenOperations() []rest.Operation {
	return []rest.Operation{
		{
			Method: http.MethodGet, Path: Root + "/tokens", ID: "listAllTokens", Summary: "List everybody's personal access tokens",
			Handle: a.listAllTokens, Params: paged(query("user_id", "Only tokens of this user.")),
			Answers: ok(reflect.TypeFor[OwnedTokenPage]()), Problems: []int{http.StatusBadRequest},
		},
		{
			Method: http.MethodDelete, Path: Root + "/tokens/{id}", ID: "revokeAnyToken", Summary: "Revoke somebody's personal access token",
			Handle: a.revokeToken, Params: []rest.Parameter{idParam, dryParam}, Answers: gone(),
			Problems: []int{http.StatusBadRequest, http.StatusNotFound},
		},
	}
}

// ownOperations are everybody's, about themselves.
func (a *api) ownOperations() []rest.Operation {
	return []rest.Operation{
		{
			Method: http.MethodGet, Path: MePath, ID: "whoAmI", Summary: "Read who is calling",
			Handle: a.whoAmI, Answers: ok(reflect.TypeFor[Me]()), Problems: []int{http.StatusBadRequest},
		},
		{
			Method: http.MethodGet, Path: MePath + "/effective-access", ID: "getOwnAccess", Summary: "List what the caller may reach, and why",
			Handle: a.myAccess, Params: paged(), Answers: ok(reflect.TypeFor[EffectiveAccess]()), Problems: []int{http.StatusBadRequest},
		},
		{
			Method: http.MethodGet, Path: TokensPath, ID: "listTokens", Summary: "List one's own personal access tokens",
			Handle: a.listOwnTokens, Params: paged(), Answers: ok(reflect.TypeFor[TokenPage]()), Problems: []int{http.StatusBadRequest},
		},
		{
			Method: http.MethodPost, Path: TokensPath, ID: "createToken", Summary: "Make a personal access token; it is shown this once",
			Handle: a.createToken, Params: []rest.Parameter{dryParam},
			Body: reflect.TypeFor[TokenInput](), Answers: made(reflect.TypeFor[NewToken](), "Location"), Problems: bodyProblems(http.StatusConflict),
		},
		{
			Method: http.MethodGet, Path: TokensPath + "/{id}", ID: "getToken", Summary: "Read one of one's own personal access tokens",
			Handle: a.getToken, Params: []rest.Parameter{idParam}, Answers: ok(reflect.TypeFor[Token]()),
			Problems: []int{http.StatusBadRequest, http.StatusNotFound},
		},
		{
			Method: http.MethodDelete, Path: TokensPath + "/{id}", ID: "revokeToken", Summary: "Revoke one of one's own personal access tokens",
			Handle: a.revokeOwnToken, Params: []rest.Parameter{idParam, dryParam},
			Answers: gone(), Problems: []int{http.StatusBadRequest, http.StatusNotFound},
		},
	}
}

package accessrules

import (
	"net/http"
	"reflect"

	"github.com/muster-fleet/muster/gateway/edge/rest"
)

// operations is the whole API. The mux and the OpenAPI description are both made
// from it.
func (a *api) operations() []rest.Operation {
	ops := append(a.modelOperations(), a.postOperations()...)
	return append(ops, a.recordOperations()...)
}

func (a *api) modelOperations() []rest.Operation {
	return []rest.Operation{
		{
			Method: http.MethodGet, Path: ModelPath, ID: "getGraphModel", Summary: "Read the graph model",
			Handle:  a.getModel,
			Answers: []rest.Answer{rest.NewAnswer(http.StatusOK, "The model.", reflect.TypeFor[ModelRecord](), "ETag")},
		},
		{
			Method: http.MethodPut, Path: ModelPath, ID: "putGraphModel", Summary: "Replace the graph model as a whole",
			Handle: a.putModel,
			Params: []rest.Parameter{
				{Name: "rebind", In: "query", Doc: "Allow ids that rules use to get another title.", Sample: false},
			},
			Body:     reflect.TypeFor[GraphModel](),
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "It is replaced.", reflect.TypeFor[ModelChanged](), "ETag")},
			Problems: []int{http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType},
		},
	}
}

func (a *api) postOperations() []rest.Operation {
	bodyFails := []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType}
	verbose := rest.Parameter{Name: "verbose", In: "query", Doc: "Show rules with who had created them, in place of names.", Sample: false}
	posted := rest.NewAnswer(http.StatusOK, "What was created, ignored and deleted.", reflect.TypeFor[Posted]())
	return []rest.Operation{
		{
			Method: http.MethodPost, Path: rulesPath, ID: "postAccessRules", Summary: "Post Graph Access Rules: all of them are stored, or none",
			Handle: a.postRules, Params: []rest.Parameter{verbose}, Body: reflect.TypeFor[PostInput](),
			Answers: []rest.Answer{posted}, Problems: append([]int{http.StatusConflict}, bodyFails...),
		},
		{
			Method: http.MethodPost, Path: rulesPath + ":commit", ID: "commitAccessRules", Summary: "Swap in the rules staged under a generation",
			Handle: a.commitRules, Params: []rest.Parameter{verbose}, Body: reflect.TypeFor[CommitInput](),
			Answers: []rest.Answer{posted}, Problems: append([]int{http.StatusConflict}, bodyFails...),
		},
		{
			Method: http.MethodPost, Path: rulesPath + ":check", ID: "checkAccessRules", Summary: "Show what the rules let a principal see of elements",
			Guard: a.Explainer, Handle: a.checkRules, Body: reflect.TypeFor[CheckInput](),
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "A filter answer with explain.", reflect.TypeFor[map[string]any]())},
			Problems: bodyFails,
		},
		{
			Method: http.MethodGet, Path: Root + "/functions/{id}", ID: "mayRunFunction", Summary: "Tell whether a rule grants a function to the caller",
			Guard: a.Anybody, Handle: a.getFunction,
			Params:  []rest.Parameter{{Name: "id", In: "path", Doc: "The function's id.", Sample: int64(0)}},
			Answers: []rest.Answer{rest.NewAnswer(http.StatusNoContent, "A rule grants it.", nil)},
		},
	}
}

func (a *api) recordOperations() []rest.Operation {
	byID := rest.Parameter{Name: "id", In: "path", Doc: "The rule's id.", Sample: int64(0)}
	ifMatch := rest.Parameter{Name: "If-Match", In: "header", Doc: "Change only this revision of the rule, bare or quoted; * for any.", Sample: ""}
	record := reflect.TypeFor[AccessRule]()
	return []rest.Operation{
		{
			Method: http.MethodGet, Path: rulesPath, ID: "listAccessRules", Summary: "List rules, ordered by id",
			Handle: a.listRules,
			Params: []rest.Parameter{
				{Name: "namePrefix", In: "query", Doc: "Only rules whose name begins like this.", Sample: ""},
				{Name: "user", In: "query", Doc: "Only rules that name this user.", Sample: ""},
				{Name: "group", In: "query", Doc: "Only rules that name this group.", Sample: ""},
				{Name: "client", In: "query", Doc: "Only rules that name this client.", Sample: ""},
				{Name: "createdBy", In: "query", Doc: "Only rules of this creator, by user name or subject; me for the caller's.", Sample: ""},
				{Name: "run", In: "query", Doc: "Only rules that this run posted.", Sample: ""},
				{Name: "entity", In: "query", Doc: "Only rules that list this entity.", Sample: int64(0)},
				{Name: "state", In: "query", Doc: "Only rules in this state; staged ones are listed under it alone.", Sample: "", Enum: rest.Enum(states)},
				{Name: "limit", In: "query", Doc: "From 1 to 1000; 100 when left out.", Sample: 0},
				{Name: "cursor", In: "query", Doc: "The nextCursor of the page before.", Sample: ""},
			},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "A page.", reflect.TypeFor[AccessRules]())},
			Problems: []int{http.StatusBadRequest},
		},
		{
			Method: http.MethodDelete, Path: rulesPath, ID: "deleteMyAccessRules", Summary: "Delete all rules that the caller has posted",
			Handle: a.deleteMine,
			Params: []rest.Parameter{
				{Name: "createdBy", In: "query", Doc: "me, and nothing else.", Sample: "", Enum: []any{"me"}},
				{Name: "step", In: "query", Doc: "Those posted in runs of this rule transformation, in place of those posted outside of runs. With a run's token it is the run's, and need not be given.", Sample: ""},
			},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "How many were deleted.", reflect.TypeFor[Removed]())},
			Problems: []int{http.StatusBadRequest, http.StatusConflict},
		},
		{
			Method: http.MethodGet, Path: rulesPath + "/{id}", ID: "getAccessRule", Summary: "Read one rule",
			Handle: a.getRule, Params: []rest.Parameter{byID},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "The rule.", record, "ETag")},
			Problems: []int{http.StatusNotFound},
		},
		{
			Method: http.MethodPut, Path: rulesPath + "/{id}", ID: "putAccessRule", Summary: "Replace one rule",
			Handle: a.putRule, Params: []rest.Parameter{byID, ifMatch}, Body: reflect.TypeFor[RuleInput](),
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "The rule as it is now.", record, "ETag")},
			Problems: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType},
		},
		{
			Method: http.MethodDelete, Path: rulesPath + "/{id}", ID: "deleteAccessRule", Summary: "Delete one rule",
			Handle: a.deleteRule, Params: []rest.Parameter{byID, ifMatch},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusNoContent, "It is deleted.", nil)},
			Problems: []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		},
	}
}

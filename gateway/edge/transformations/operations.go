package transformations

import (
	"net/http"
	"reflect"

	"github.com/muster-fleet/muster/gateway/edge/rest"
)

const (
	stepPath = Root + "/{name}"
	runsPath = stepPath + "/runs"
	runPath  = runsPath + "/{id}"

	idCancel     = "cancelRuleTransformationRun"
	cancelSuffix = ":cancel"
)

var (
	nameParam  = rest.Parameter{Name: "name", In: "path", Doc: "The step's name.", Sample: ""}
	idParam    = rest.Parameter{Name: "id", In: "path", Doc: "The run's uuid.", Sample: ""}
	matchParam = rest.Parameter{Name: "If-Match", In: "header", Doc: "Only this revision of the step, bare or quoted; * for any, if there is one.", Sample: ""}
	limitParam = rest.Parameter{Name: "limit", In: "query", Doc: "From 1 to 1000; 100 when left out.", Sample: 0}
	pageParam  = rest.Parameter{Name: "cursor", In: "query", Doc: "The nextCursor of the page before.", Sample: ""}
	waitParam  = rest.Parameter{Name: "wait", In: "query", Doc: "Answer when the run has ended, or after this long: a duration of at most 5m, such as 60s.", Sample: ""}
)

// operations is the whole API. The mux and the OpenAPI description are both made
// from it.
func (a *api) operations() []rest.Operation {
	return append(a.stepOperations(), a.runOperations()...)
}

func (a *api) stepOperations() []rest.Operation {
	record := reflect.TypeFor[Step]()
	return []rest.Operation{
		{
			Method: http.MethodGet, Path: Root, ID: "listRuleTransformations", Summary: "List the steps, ordered by name",
			Handle:   a.listSteps,
			Params:   []rest.Parameter{limitParam, pageParam},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "A page.", reflect.TypeFor[StepPage]())},
			Problems: []int{http.StatusBadRequest},
		},
		{
			Method: http.MethodGet, Path: stepPath, ID: "getRuleTransformation", Summary: "Read a step",
			Handle: a.getStep, Params: []rest.Parameter{nameParam},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "The step.", record, "ETag")},
			Problems: []int{http.StatusBadRequest, http.StatusNotFound},
		},
		{
			Method: http.MethodPut, Path: stepPath, ID: "putRuleTransformation", Summary: "Add a step, or replace it as a whole",
			Handle: a.putStep, Params: []rest.Parameter{nameParam, matchParam}, Body: reflect.TypeFor[StepInput](),
			Answers: []rest.Answer{
				rest.NewAnswer(http.StatusOK, "It is replaced.", record, "ETag"),
				rest.NewAnswer(http.StatusCreated, "It is added.", record, "ETag", "Location"),
			},
			Problems: []int{http.StatusBadRequest, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity},
		},
		{
			Method: http.MethodDelete, Path: stepPath, ID: "removeRuleTransformation", Summary: "Remove a step; its ended runs stay readable, and its rules stay",
			Handle: a.deleteStep, Params: []rest.Parameter{nameParam, matchParam},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusNoContent, "It is removed.", nil)},
			Problems: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed},
		},
	}
}

func (a *api) runOperations() []rest.Operation {
	record := reflect.TypeFor[Run]()
	return []rest.Operation{
		{
			Method: http.MethodPost, Path: runsPath, ID: "startRuleTransformationRun", Summary: "Start a run of a step",
			Guard: a.Runner, Handle: a.startRun,
			Params: []rest.Parameter{
				nameParam,
				{Name: "Idempotency-Key", In: "header", Doc: "The same key gives the same run, for 24 hours: at most 255 printable characters of ASCII.", Sample: ""},
				{Name: "coalesce", In: "query", Doc: "With a run under way: have exactly one more follow it, in place of 409.", Sample: false},
				waitParam,
			},
			Answers: []rest.Answer{
				rest.NewAnswer(http.StatusAccepted, "The run, which has not ended.", record, "Location"),
				rest.NewAnswer(http.StatusOK, "With wait: the run, which has succeeded.", record, "Location"),
			},
			Problems: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusBadGateway},
		},
		{
			Method: http.MethodGet, Path: runsPath, ID: "listRuleTransformationRuns", Summary: "List the runs of a step, the newest first",
			Guard: a.Runner, Handle: a.listRuns,
			Params:   []rest.Parameter{nameParam, limitParam, pageParam},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "A page.", reflect.TypeFor[RunPage]())},
			Problems: []int{http.StatusBadRequest, http.StatusNotFound},
		},
		{
			Method: http.MethodGet, Path: runPath, ID: "getRuleTransformationRun", Summary: "Read a run",
			Guard: a.Runner, Handle: a.getRun, Params: []rest.Parameter{nameParam, idParam, waitParam},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "The run, whatever became of it.", record)},
			Problems: []int{http.StatusBadRequest, http.StatusNotFound},
		},
		{
			Method: http.MethodPost, Path: runPath, ID: idCancel, Summary: "Cancel a run",
			Guard: a.Runner, Handle: a.cancelRun, Params: []rest.Parameter{nameParam, idParam},
			Answers: []rest.Answer{
				rest.NewAnswer(http.StatusOK, "It is cancelled.", record),
				rest.NewAnswer(http.StatusAccepted, "Its attempt is being ended; what its token posts is refused already.", record),
			},
			Problems: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict},
		},
		{
			Method: http.MethodGet, Path: runPath + "/log", ID: "readRuleTransformationRunLog", Summary: "Read the log of a run, as text or, with Accept: application/x-ndjson, as one object a line",
			Guard: a.Runner, Handle: a.readLog,
			Params: []rest.Parameter{
				nameParam, idParam,
				{Name: "follow", In: "query", Doc: "Go on until the run has ended.", Sample: false},
				{Name: "after", In: "query", Doc: "Only lines with a number above this one.", Sample: 0},
			},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "The lines, text/plain or application/x-ndjson.", nil)},
			Problems: []int{http.StatusBadRequest, http.StatusNotFound},
		},
	}
}

package fleet

import (
	"net/http"
	"reflect"

	"github.com/muster-fleet/muster/gateway/edge/rest"
)

var (
	recordType = reflect.TypeFor[Record]()
	uuidPath   = Root + "/{uuid}"

	uuidParameter = rest.Parameter{Name: "uuid", In: "path", Doc: "The worker's uuid, in any case, with or without braces.", Sample: ""}
)

// operations is the whole REST API. The mux and the OpenAPI description are both
// made from it.
func (s *service) operations() []rest.Operation {
	return append(s.collectionOperations(), s.workerOperations()...)
}

func (s *service) collectionOperations() []rest.Operation {
	return []rest.Operation{
		{
			Method: http.MethodPost, Path: Root, ID: "registerWorker", Summary: "Validate a worker by calling it, and register it",
			Handle: s.postWorker,
			Params: []rest.Parameter{{Name: "dryRun", In: "query", Doc: "Validate everything and store nothing.", Sample: false}},
			Body:   reflect.TypeFor[Registration](),
			Answers: []rest.Answer{
				rest.NewAnswer(http.StatusCreated, "The record.", recordType, "ETag", "Location"),
				rest.NewAnswer(http.StatusOK, "The would-be record of a dry run, or the record of a worker that enrolled itself and was registered already.", recordType, "ETag"),
			},
			Problems: []int{http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity},
		},
		{
			Method: http.MethodGet, Path: Root, ID: "listWorkers", Summary: "List workers, ordered by name, then uuid",
			Handle: s.listWorkers,
			Params: []rest.Parameter{
				{Name: "class", In: "query", Doc: "Only workers of this class.", Sample: ""},
				{Name: "type", In: "query", Doc: "Only workers of this type.", Sample: ""},
				{Name: "state", In: "query", Doc: "Only workers that stand like this.", Sample: "", Enum: rest.Enum(states)},
				{Name: "active", In: "query", Doc: "Only active or only paused workers.", Sample: false},
				{Name: "limit", In: "query", Doc: "From 1 to 1000; 100 when left out.", Sample: 0},
				{Name: "cursor", In: "query", Doc: "The nextCursor of the page before.", Sample: ""},
			},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "A page.", reflect.TypeFor[Page]())},
			Problems: []int{http.StatusBadRequest},
		},
	}
}

func (s *service) workerOperations() []rest.Operation {
	return []rest.Operation{
		{
			Method: http.MethodGet, Path: uuidPath, ID: "getWorker", Summary: "Read a worker's record",
			Handle:   s.getWorker,
			Params:   []rest.Parameter{uuidParameter},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "The record.", recordType, "ETag")},
			Problems: []int{http.StatusNotFound},
		},
		{
			Method: http.MethodPatch, Path: uuidPath, ID: "updateWorker", Summary: "Change a worker's record; a new url is probed first",
			Handle:   s.patchWorker,
			Params:   []rest.Parameter{uuidParameter, {Name: "If-Match", In: "header", Doc: "Change only this revision of the record, bare or quoted.", Sample: ""}},
			Body:     reflect.TypeFor[Change](),
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "The record as it is now.", reflect.TypeFor[Changed](), "ETag", warningHeader)},
			Problems: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity},
		},
		{
			Method: http.MethodDelete, Path: uuidPath, ID: "removeWorker", Summary: "Remove a worker",
			Handle:   s.deleteWorker,
			Params:   []rest.Parameter{uuidParameter},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusNoContent, "It is removed.", nil, warningHeader)},
			Problems: []int{http.StatusNotFound},
		},
		{
			Method: http.MethodPost, Path: uuidPath + "/probe", ID: "probeWorker", Summary: "Probe a worker now; a probe that passes ends a quarantine",
			Handle:   s.probeWorker,
			Params:   []rest.Parameter{uuidParameter},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "The fresh standing, whether the probe passed or not.", reflect.TypeFor[Standing]())},
			Problems: []int{http.StatusNotFound},
		},
		{
			Method: http.MethodPut, Path: uuidPath + "/conformance", ID: "recordConformance", Summary: "Record the outcome of muster conform",
			Handle:   s.putConformance,
			Params:   []rest.Parameter{uuidParameter},
			Body:     reflect.TypeFor[ConformanceInput](),
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "The record.", recordType, "ETag")},
			Problems: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity},
		},
	}
}

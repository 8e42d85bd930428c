package fleet

import (
	"net/http"
	"reflect"
)

// operation is one call of the REST API: what answers it and what describes it.
type operation struct {
	method, path string
	id, summary  string
	handle       func(s *service) handler
	// params are query and header parameters by name, with what they mean.
	params []parameter
	// body is what is read, nil when nothing is.
	body    reflect.Type
	answers []answer
	// problems are the statuses of the call's own errors.
	problems []int
}

type parameter struct {
	name, in, doc string
	sample        any // of the parameter's type
	enum          []any
}

type answer struct {
	status  int
	doc     string
	of      reflect.Type // nil without a body
	headers []string
}

var (
	recordType  = reflect.TypeFor[Record]()
	uuidPath    = Root + "/{uuid}"
	commonFails = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable}
)

// operations is the whole REST API. The mux and the OpenAPI description are both
// made from it.
func operations() []operation {
	return append(collectionOperations(), workerOperations()...)
}

func collectionOperations() []operation {
	return []operation{
		{
			method: http.MethodPost, path: Root, id: "registerWorker", summary: "Validate a worker by calling it, and register it",
			handle: func(s *service) handler { return s.postWorker },
			params: []parameter{{name: "dryRun", in: "query", doc: "Validate everything and store nothing.", sample: false}},
			body:   reflect.TypeFor[Registration](),
			answers: []answer{
				{http.StatusCreated, "The record.", recordType, []string{"ETag", "Location"}},
				{http.StatusOK, "The would-be record of a dry run, or the record of a worker that enrolled itself and was registered already.", recordType, []string{"ETag"}},
			},
			problems: []int{http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity},
		},
		{
			method: http.MethodGet, path: Root, id: "listWorkers", summary: "List workers, ordered by name, then uuid",
			handle: func(s *service) handler { return s.listWorkers },
			params: []parameter{
				{name: "class", in: "query", doc: "Only workers of this class.", sample: ""},
				{name: "type", in: "query", doc: "Only workers of this type.", sample: ""},
				{name: "state", in: "query", doc: "Only workers that stand like this.", sample: "", enum: anys(states)},
				{name: "active", in: "query", doc: "Only active or only paused workers.", sample: false},
				{name: "limit", in: "query", doc: "From 1 to 1000; 100 when left out.", sample: 0},
				{name: "cursor", in: "query", doc: "The nextCursor of the page before.", sample: ""},
			},
			answers:  []answer{{http.StatusOK, "A page.", reflect.TypeFor[Page](), nil}},
			problems: []int{http.StatusBadRequest},
		},
	}
}

func workerOperations() []operation {
	return []operation{
		{
			method: http.MethodGet, path: uuidPath, id: "getWorker", summary: "Read a worker's record",
			handle:   func(s *service) handler { return s.getWorker },
			answers:  []answer{{http.StatusOK, "The record.", recordType, []string{"ETag"}}},
			problems: []int{http.StatusNotFound},
		},
		{
			method: http.MethodPatch, path: uuidPath, id: "updateWorker", summary: "Change a worker's record; a new url is probed first",
			handle:   func(s *service) handler { return s.patchWorker },
			params:   []parameter{{name: "If-Match", in: "header", doc: "Change only this revision of the record, bare or quoted.", sample: ""}},
			body:     reflect.TypeFor[Change](),
			answers:  []answer{{http.StatusOK, "The record as it is now.", reflect.TypeFor[Changed](), []string{"ETag", warningHeader}}},
			problems: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity},
		},
		{
			method: http.MethodDelete, path: uuidPath, id: "removeWorker", summary: "Remove a worker",
			handle:   func(s *service) handler { return s.deleteWorker },
			answers:  []answer{{http.StatusNoContent, "It is removed.", nil, []string{warningHeader}}},
			problems: []int{http.StatusNotFound},
		},
		{
			method: http.MethodPost, path: uuidPath + "/probe", id: "probeWorker", summary: "Probe a worker now; a probe that passes ends a quarantine",
			handle:   func(s *service) handler { return s.probeWorker },
			answers:  []answer{{http.StatusOK, "The fresh standing, whether the probe passed or not.", reflect.TypeFor[Standing](), nil}},
			problems: []int{http.StatusNotFound},
		},
		{
			method: http.MethodPut, path: uuidPath + "/conformance", id: "recordConformance", summary: "Record the outcome of muster conform",
			handle:   func(s *service) handler { return s.putConformance },
			body:     reflect.TypeFor[ConformanceInput](),
			answers:  []answer{{http.StatusOK, "The record.", recordType, []string{"ETag"}}},
			problems: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity},
		},
	}
}

func anys[T ~string](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

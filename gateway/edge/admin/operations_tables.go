package admin

import (
	"net/http"
	"reflect"

	"github.com/muster-fleet/muster/gateway/edge/rest"
)

const (
	registryPath = Root + "/registry"
	tablePath    = registryPath + "/{id}"
)

func (a *api) tableOperations() []rest.Operation {
	id := rest.Parameter{Name: "id", In: "path", Doc: "The table's id.", Sample: ""}
	match := rest.Parameter{Name: "If-Match", In: "header", Doc: "Only this revision of the table, bare or quoted.", Sample: ""}
	return []rest.Operation{
		{
			Method: http.MethodGet, Path: registryPath, ID: "listTables", Summary: "List the registered tables, ordered by id",
			Handle:  a.listTables,
			Params:  paged(query("source_type", "Only tables of this source."), query("name", "Only tables of this name, in any case.")),
			Answers: ok(reflect.TypeFor[TablePage]()), Problems: []int{http.StatusBadRequest},
		},
		{
			Method: http.MethodPost, Path: Root + "/register-table", ID: "registerTable", Summary: "Register a table; its id is made of its name",
			Handle: a.registerTable, Params: []rest.Parameter{dryParam},
			Body: reflect.TypeFor[TableInput](), Answers: made(reflect.TypeFor[RegisteredTable](), "ETag", "Location"),
			Problems: bodyProblems(http.StatusConflict),
		},
		{
			Method: http.MethodGet, Path: tablePath, ID: "getTable", Summary: "Read a registered table",
			Handle: a.getTable, Params: []rest.Parameter{id}, Answers: ok(reflect.TypeFor[Table](), "ETag"),
			Problems: []int{http.StatusBadRequest, http.StatusNotFound},
		},
		{
			Method: http.MethodPut, Path: tablePath, ID: "updateTable", Summary: "Change what the body mentions; null sets a member to its default",
			Handle: a.updateTable, Params: []rest.Parameter{id, match, dryParam},
			Body: reflect.TypeFor[TableChange](), Answers: ok(reflect.TypeFor[UpdatedTable](), "ETag"),
			Problems: bodyProblems(http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed),
		},
		{
			Method: http.MethodDelete, Path: tablePath, ID: "deleteTable", Summary: "Remove a table from the registry; grants on its dataset stay",
			Handle: a.deleteTable, Params: []rest.Parameter{id, match, dryParam},
			Answers: gone(), Problems: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusPreconditionFailed},
		},
	}
}

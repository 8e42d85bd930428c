package edge

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-fleet/muster/gateway/edge/rest"
)

// The endpoints of the API listener that tell whether the gateway is well, without a
// token.
const (
	healthPath  = "/api/health"
	versionPath = "/api/version"
)

// What Health.Status may be.
const (
	HealthOK  = "ok"
	HealthBad = "unhealthy"
)

// What Health.DBSchema may be.
const (
	SchemaOK          = "ok"
	SchemaMismatch    = "mismatch"
	SchemaUnreachable = "unreachable"
)

// Health is the body of GET /api/health, and all that it tells: it answers without a
// token.
type Health struct {
	// Status is HealthOK, or HealthBad when changes cannot be made: the schema is not
	// this program's, or the store cannot be read or written.
	Status string `json:"status" enum:"ok,unhealthy"`
	// DBSchema is how the schema of the store compares with the program.
	DBSchema string `json:"db_schema" enum:"ok,mismatch,unreachable"`
	// Current is the schema's version; nil while it cannot be read.
	Current *int64 `json:"current,omitempty"`
	// Expected is the version that this program works with.
	Expected int64  `json:"expected"`
	Version  string `json:"version"`
}

// versionBody is the body of GET /api/version.
type versionBody struct {
	Version string `json:"version"`
}

// HealthRoutes are the routes of GET /api/health, which answers 503 unless the status
// is HealthOK, and of GET /api/version. health must be cheap: everybody may call it as
// often as they like. It panics over a gate whose table does not have them.
func HealthRoutes(gate *Gate, version string, health func() Health) []Route {
	gate.must(http.MethodGet + " " + healthPath)
	gate.must(http.MethodGet + " " + versionPath)
	return []Route{
		{Pattern: http.MethodGet + " " + healthPath, Endpoint: "health", Handler: http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) {
				h := health()
				status := http.StatusOK
				if h.Status != HealthOK {
					status = http.StatusServiceUnavailable
				}
				writeJSON(w, status, h)
			})},
		{Pattern: http.MethodGet + " " + versionPath, Endpoint: "version", Handler: http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) {
				writeJSON(w, http.StatusOK, versionBody{Version: version})
			})},
	}
}

// DescribeHealth adds both to an OpenAPI document.
func DescribeHealth(doc *rest.Document) {
	schemas := doc.Components.Schemas
	answer := func(text string, of reflect.Type) *huma.Response {
		return &huma.Response{Description: text, Content: map[string]*huma.MediaType{
			rest.MediaJSON: {Schema: schemas.Schema(of, true, "")},
		}}
	}
	public := []map[string][]string{} // overrides the document's
	doc.AddOperation(&huma.Operation{
		Method: http.MethodGet, Path: healthPath, OperationID: "health", Summary: "Tell whether the gateway can make changes",
		Tags: []string{"health"}, Security: public,
		Responses: map[string]*huma.Response{
			"200": answer("It can.", reflect.TypeFor[Health]()),
			"503": answer("It cannot, and says why; filtering may go on.", reflect.TypeFor[Health]()),
		},
	})
	doc.AddOperation(&huma.Operation{
		Method: http.MethodGet, Path: versionPath, OperationID: "version", Summary: "Tell the gateway's version",
		Tags: []string{"health"}, Security: public,
		Responses: map[string]*huma.Response{"200": answer("The version.", reflect.TypeFor[versionBody]())},
	})
}

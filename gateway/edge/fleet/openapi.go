package fleet

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-fleet/muster/proto/fault"
)

// OpenAPIPath is where the description of the API is served.
const OpenAPIPath = "/api/openapi.json"

// NewDocument returns an OpenAPI 3.1 description without calls, to which parts of
// the API add theirs.
func NewDocument(version string) *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Muster", Version: version,
			Description: "A registry and gateway for a fleet of workers. Errors are RFC 9457 problems with a stable code.",
		},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"bearer": {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "A Keycloak access token."},
			},
		},
		Security: []map[string][]string{{"bearer": {}}},
	}
}

// Describe adds the calls of this package to a document.
func Describe(doc *huma.OpenAPI) {
	for _, op := range operations() {
		doc.AddOperation(op.describe(doc.Components.Schemas))
	}
}

// describe returns the description of this package's calls.
func describe(version string) ([]byte, error) {
	doc := NewDocument(version)
	Describe(doc)
	return json.Marshal(doc)
}

// OpenAPI serves the description of this package's calls to anyone, as JSON;
// Handler serves it to those whom its Guard lets pass.
func OpenAPI(version string) (http.Handler, error) {
	body, err := describe(version)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			_ = writeJSON(w, http.StatusMethodNotAllowed, "application/problem+json", methodNotAllowed("GET, HEAD")) // never fails
			return
		}
		_ = writeJSON(w, http.StatusOK, mediaJSON, json.RawMessage(body)) // never fails: it was marshalled before
	}), nil
}

func methodNotAllowed(allow string) fault.Problem {
	return fault.Problem{
		Type: "about:blank", Title: http.StatusText(http.StatusMethodNotAllowed), Status: http.StatusMethodNotAllowed,
		Code: "method_not_allowed", Detail: "this path takes " + allow,
	}
}

// describe makes the description of one call.
func (op operation) describe(schemas huma.Registry) *huma.Operation {
	out := &huma.Operation{
		Method: op.method, Path: op.path, OperationID: op.id, Summary: op.summary, Tags: []string{"fleet"},
		Responses: map[string]*huma.Response{},
	}
	if strings.Contains(op.path, "{uuid}") {
		out.Parameters = append(out.Parameters, &huma.Param{
			Name: "uuid", In: "path", Required: true, Description: "The worker's uuid, in any case, with or without braces.",
			Schema: &huma.Schema{Type: huma.TypeString},
		})
	}
	for _, p := range op.params {
		schema := schemas.Schema(reflect.TypeOf(p.sample), true, p.name)
		if p.enum != nil {
			schema = &huma.Schema{Type: huma.TypeString, Enum: p.enum}
		}
		out.Parameters = append(out.Parameters, &huma.Param{Name: p.name, In: p.in, Description: p.doc, Schema: schema})
	}
	if op.body != nil {
		out.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			mediaJSON: {Schema: schemas.Schema(op.body, true, "")},
		}}
	}
	for _, a := range op.answers {
		r := &huma.Response{Description: a.doc, Headers: map[string]*huma.Param{}}
		for _, h := range a.headers {
			r.Headers[h] = &huma.Param{Schema: &huma.Schema{Type: huma.TypeString}}
		}
		if a.of != nil {
			r.Content = map[string]*huma.MediaType{mediaJSON: {Schema: schemas.Schema(a.of, true, "")}}
		}
		out.Responses[strconv.Itoa(a.status)] = r
	}
	problem := map[string]*huma.MediaType{"application/problem+json": {Schema: schemas.Schema(reflect.TypeFor[fault.Problem](), true, "")}}
	for _, status := range slices.Concat(commonFails, op.problems) {
		out.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: problem}
	}
	return out
}

package rest

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-fleet/muster/proto/fault"
)

// Document is an OpenAPI 3.1 description.
type Document = huma.OpenAPI

// OpenAPIPath is where the description of the APIs is served.
const OpenAPIPath = "/api/openapi.json"

// NewDocument returns an OpenAPI 3.1 description without calls, to which each API
// adds its own.
func NewDocument(version string) *Document {
	return &Document{
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

// Describe adds calls to a document, under a tag.
func Describe(doc *Document, tag string, ops []Operation) {
	for i := range ops {
		doc.AddOperation(ops[i].describe(tag, doc.Components.Schemas))
	}
}

// describe makes the description of one call.
func (op *Operation) describe(tag string, schemas huma.Registry) *huma.Operation {
	out := &huma.Operation{
		Method: op.Method, Path: op.Path, OperationID: op.ID, Summary: op.Summary, Tags: []string{tag},
		Responses: map[string]*huma.Response{},
	}
	for _, p := range op.Params {
		schema := schemas.Schema(reflect.TypeOf(p.Sample), true, p.Name)
		if p.Enum != nil {
			schema = &huma.Schema{Type: huma.TypeString, Enum: p.Enum}
		}
		out.Parameters = append(out.Parameters, &huma.Param{
			Name: p.Name, In: p.In, Required: p.In == "path", Description: p.Doc, Schema: schema,
		})
	}
	if op.Body != nil {
		out.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			MediaJSON: {Schema: schemas.Schema(op.Body, true, "")},
		}}
	}
	for _, a := range op.Answers {
		r := &huma.Response{Description: a.Doc, Headers: map[string]*huma.Param{}}
		for _, h := range a.Headers {
			r.Headers[h] = &huma.Param{Schema: &huma.Schema{Type: huma.TypeString}}
		}
		if a.Of != nil {
			r.Content = map[string]*huma.MediaType{MediaJSON: {Schema: schemas.Schema(a.Of, true, "")}}
		}
		out.Responses[strconv.Itoa(a.Status)] = r
	}
	problem := map[string]*huma.MediaType{mediaProblem: {Schema: schemas.Schema(reflect.TypeFor[fault.Problem](), true, "")}}
	for _, status := range slices.Concat(commonFails(), op.Problems) {
		out.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: problem}
	}
	return out
}

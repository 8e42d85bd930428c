package admin

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/edge/rest"
)

// The description names every call with its answers and parameters, and nothing
// that it refers to is missing.
func TestOpenAPI(t *testing.T) {
	anybody := func(string) (rest.Guard, error) {
		return func(*http.Request) (rest.Caller, error) { return rest.Caller{}, nil }, nil
	}
	srv := httptest.NewServer((&rest.API{Gate: anybody}).Description("1.2.3", Describe))
	defer srv.Close()
	resp, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string
			Parameters  []struct{ Name, In string }
			RequestBody *struct{ Required bool }
			Responses   map[string]any
		}
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, op := range newAPI(Deps{}).operations() {
		got := doc.Paths[op.Path][strings.ToLower(op.Method)]
		// Any call may also be 401, 403 or 503.
		if got.OperationID != op.ID || ids[op.ID] || len(got.Responses) != len(op.Answers)+len(op.Problems)+3 || (got.RequestBody != nil) != (op.Body != nil) {
			t.Errorf("%s %s is described as %+v", op.Method, op.Path, got)
		}
		ids[op.ID] = true
		has := func(in, name string) bool {
			return slices.Contains(got.Parameters, struct{ Name, In string }{name, in})
		}
		if op.Method != http.MethodGet && !has("query", "dryRun") {
			t.Errorf("%s is a mutation without a dry run", op.ID)
		}
		for part := range strings.SplitSeq(op.Path, "/") {
			if name, ok := strings.CutPrefix(part, "{"); ok && !has("path", strings.TrimSuffix(name, "}")) {
				t.Errorf("%s is described without its %s", op.ID, part)
			}
		}
	}
	for _, part := range strings.Split(string(raw), `"$ref":"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		if _, ok := doc.Components.Schemas[name]; !ok {
			t.Errorf("the schema %s is referred to and not there", name)
		}
	}
	for schema, members := range map[string]string{
		"Group":    "id name description is_system origin created_at created_by member_count grant_count",
		"Member":   "user_id email username name active source added_at added_by",
		"Grant":    "id group_id group_name resource_type resource_id expires_at assigned_at assigned_by",
		"NewToken": "id name prefix scopes created_at expires_at last_used_at last_used_ip revoked_at token",
		"Block":    "id name items",
	} {
		for member := range strings.FieldsSeq(members) {
			if _, ok := doc.Components.Schemas[schema].Properties[member]; !ok {
				t.Errorf("%s is described without %s", schema, member)
			}
		}
	}
}

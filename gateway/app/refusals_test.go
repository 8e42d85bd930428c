package app_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	registryv1 "github.com/muster-fleet/muster/proto/gen/muster/registry/v1"
	"github.com/muster-fleet/muster/workers/worker"
)

// What the calls themselves refuse is in the audit log as what the gate refuses is:
// over both doors, with the action and the resource of the endpoint, and the code.
// Mistakes that no call begins with, dry runs and what only reads are not.
func TestRefusedChangesAreAudited(t *testing.T) {
	d := startDev(t, nil)
	admin := d.token(t, "admin")
	w := startWorker(t, d, restUUID, func(context.Context, *worker.Principal, worker.Element) worker.Verdict { return worker.Keep() })
	body := fmt.Sprintf(`{"url":"http://%s/api/filter","uuid":"%s","name":"first"}`, w.REST, restUUID)
	d.register(t, body)
	const stranger = "7d8f5f9c-2f2a-4f6e-8a8e-0d2f3a4b5c6d"
	for _, c := range []struct {
		method, path, body string
		header             []string
		status             int
	}{
		{http.MethodPost, "/api/workers", body, nil, http.StatusConflict},
		{http.MethodPost, "/api/workers?dryRun=true", body, nil, http.StatusConflict},
		{http.MethodPost, "/api/workers", `{`, nil, http.StatusBadRequest},
		{http.MethodPatch, "/api/workers/" + restUUID, `{"name":"second"}`, []string{"If-Match", `"99"`}, http.StatusPreconditionFailed},
		{http.MethodDelete, "/api/workers/" + stranger, "", nil, http.StatusNotFound},
		{http.MethodGet, "/api/workers/" + stranger, "", nil, http.StatusNotFound},
		{http.MethodDelete, "/api/graph-access-rule/accessRules/99", "", nil, http.StatusNotFound},
		{http.MethodDelete, "/api/rule-transformations/nightly", "", nil, http.StatusNotFound},
	} {
		if resp, answer := d.call(t, c.method, c.path, admin, c.body, c.header...); resp.StatusCode != c.status {
			t.Fatalf("%s %s: %d %s, want %d", c.method, c.path, resp.StatusCode, answer, c.status)
		}
	}
	conn, err := grpc.NewClient(d.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+admin)
	if _, err := registryv1.NewRegistryClient(conn).Deregister(ctx, &registryv1.DeregisterRequest{Uuid: grpcUUID}); err == nil {
		t.Fatal("somebody unknown was deregistered over gRPC")
	}
	wanted := []refusedChange{
		{"worker.registered", "worker", "uuid_taken"},
		{"worker.updated", "worker:" + restUUID, "revision_mismatch"},
		{"worker.deleted", "worker:" + stranger, "not_found"},
		{"worker.deleted", "worker:" + grpcUUID, "not_found"},
		{"rule.deleted", "rule:99", "not_found"},
		{"rule_step.deleted", "rule_step:nightly", "not_found"},
	}
	for _, want := range wanted {
		d.awaitAudited(t, admin, url.Values{"action": {want.Action}, "resource": {want.Resource}, "result": {want.Result}})
	}
	var all struct{ Items []refusedChange }
	if _, body := d.call(t, http.MethodGet, "/api/admin/audit?limit=1000", admin, ""); json.Unmarshal([]byte(body), &all) != nil {
		t.Fatal(body)
	}
	all.Items = slices.DeleteFunc(all.Items, func(c refusedChange) bool { return c.Result == "ok" })
	order := func(a, b refusedChange) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
	slices.SortFunc(all.Items, order)
	slices.SortFunc(wanted, order)
	if !slices.Equal(all.Items, wanted) {
		t.Errorf("refused are %v, not %v", all.Items, wanted)
	}
}

// refusedChange is what a row of the audit log tells of a refusal.
type refusedChange struct{ Action, Resource, Result string }

// awaitAudited waits for a row, which is written in the background.
func (d *dev) awaitAudited(t *testing.T, admin string, query url.Values) {
	t.Helper()
	query.Set("limit", "1")
	for deadline := time.Now().Add(20 * time.Second); ; {
		resp, body := d.call(t, http.MethodGet, "/api/admin/audit?"+query.Encode(), admin, "")
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		if strings.Contains(body, `"username":"admin"`) {
			return
		}
		if time.Now().After(deadline) {
			_, all := d.call(t, http.MethodGet, "/api/admin/audit?limit=100", admin, "")
			t.Errorf("%v is not in the audit log: %s\n%s", query, body, all)
			return
		}
		select {
		case <-t.Context().Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

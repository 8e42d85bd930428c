package fleet_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/muster-fleet/muster/gateway/edge/fleet"
	registryv1 "github.com/muster-fleet/muster/proto/gen/muster/registry/v1"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// watched is a gateway with five workers, a to e, and a group of bob's.
type watched struct {
	*gateway
	uuids map[string]string
	group access.ID
	given map[string]access.ID
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{
		gateway: newGatewayWith(t, false, func(svc *registry.Service) func() *registry.Snapshot { return svc.Snapshot }),
		uuids:   map[string]string{}, given: map[string]access.ID{},
	}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		worker := newWorker(t)
		w.do("POST", "/api/workers", worker.body(fmt.Sprintf(`"name":%q`, name))).must(t, 201)
		w.uuids[name] = worker.uuid
	}
	group, err := w.svc.CreateGroup(t.Context(), registry.Muster(), access.Group{Name: "/watchers"}, registry.Change{})
	if err != nil {
		t.Fatal(err)
	}
	w.group = group.ID
	w.give("b")
	w.give("d")
	return w
}

// give grants bob's group a worker.
func (w *watched) give(name string) {
	w.t.Helper()
	g, err := w.svc.CreateGrant(w.t.Context(), registry.Muster(), access.Grant{Group: w.group, Type: "worker", Resource: w.uuids[name]}, registry.Change{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.given[name] = g.ID
}

func (w *watched) page(query, who string) (names string, next string) {
	w.t.Helper()
	var p fleet.Page
	r := w.do("GET", "/api/workers"+query, "", "Authorization", "Bearer "+who)
	if err := json.Unmarshal(r.body, &p); err != nil || r.status != 200 {
		w.t.Fatalf("%d %s", r.status, r.body)
	}
	for _, one := range p.Items {
		names += one.Name
	}
	return names, p.NextCursor
}

// A list has what its reader may see, and neither its pages nor its cursors tell of
// the rest.
func TestListsShowWhatMayBeSeen(t *testing.T) {
	w := newWatched(t)
	for who, want := range map[string]string{"admin": "abcde", "alice": "", "bob": "bd"} {
		if got, next := w.page("", who); got != want || next != "" {
			t.Errorf("%s: %q and %q", who, got, next)
		}
		if got, next := w.page("?state=healthy&class=result", who); got != want || next != "" {
			t.Errorf("%s, filtered: %q and %q", who, got, next)
		}
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+who)
		list, err := w.grpc.List(ctx, &registryv1.ListRequest{})
		if err != nil || namesOf(list.GetItems()) != want || list.GetNextCursor() != "" {
			t.Errorf("%s over gRPC: %v %v", who, list, err)
		}
	}
	first, next := w.page("?limit=1", "bob")
	raw, err := base64.RawURLEncoding.DecodeString(next)
	if err != nil || first != "b" || string(raw) != "1"+w.uuids["b"]+"b" {
		t.Errorf("%q and %q", first, raw)
	}
	// e is behind d, and nobody is told.
	if second, end := w.page("?limit=1&cursor="+next, "bob"); second != "d" || end != "" {
		t.Errorf("%q and %q", second, end)
	}
	if exact, end := w.page("?limit=2", "bob"); exact != "bd" || end != "" {
		t.Errorf("%q and %q", exact, end)
	}
	// A cursor that somebody makes up about what they may not see is a place like any.
	forged := base64.RawURLEncoding.EncodeToString([]byte("1" + w.uuids["c"] + "c"))
	if got, _ := w.page("?cursor="+forged, "bob"); got != "d" {
		t.Errorf("%q", got)
	}
}

func namesOf(workers []*registryv1.Worker) string {
	var names strings.Builder
	for _, one := range workers {
		names.WriteString(one.GetName())
	}
	return names.String()
}

// A watch shows what may be seen at each moment, and ends with its watcher's access.
func TestWatchesFollowAccess(t *testing.T) {
	w := newWatched(t)
	ctx := context.WithoutCancel(t.Context())
	watch, err := w.grpc.Watch(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer bob"), &registryv1.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	until := func(want string) {
		t.Helper()
		for {
			got, err := watch.Recv()
			if err != nil {
				t.Fatalf("waiting for %q: %v", want, err)
			}
			names := namesOf(got.GetWorkers())
			if names == want && got.GetRevision() == int64(w.svc.Snapshot().Revision) {
				return
			}
			if strings.Contains(names, "a") || strings.Contains(names, "c") {
				t.Fatalf("bob is shown %q", names)
			}
		}
	}
	until("bd")
	w.do("DELETE", "/api/workers/"+w.uuids["a"], "").problemFree(t)
	until("bd")
	w.give("e")
	until("bde")
	if err := w.svc.DeleteGrant(ctx, registry.Muster(), w.given["b"], registry.Change{}); err != nil {
		t.Fatal(err)
	}
	until("de")
	if err := w.svc.DeleteGroup(ctx, registry.Muster(), w.group, registry.Change{}); err != nil {
		t.Fatal(err)
	}
	until("")
	if err := w.svc.SeenUser(ctx, registry.Seen{Issuer: "i", Subject: "3", Username: "bob", IssuedAt: w.svc.Snapshot().LoadedAt}); err != nil {
		t.Fatal(err)
	}
	until("")
	bob := w.svc.Snapshot().Access.UserOf("i", "3")
	if _, err := w.svc.DeactivateUser(ctx, registry.Muster(), bob.ID, registry.Change{}); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = watch.Recv()
	}
	mustFail(t, err, codes.Unauthenticated, "user_deactivated")
}

// problemFree checks that a call went well.
func (r reply) problemFree(t *testing.T) {
	t.Helper()
	if r.status >= 300 {
		t.Fatalf("%d %s", r.status, r.body)
	}
}

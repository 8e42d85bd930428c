package fleet_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"

	registryv1 "github.com/muster-fleet/muster/proto/gen/muster/registry/v1"
)

// TestRace: of many registrations of one worker at once, over both protocols,
// one is made and the others are conflicts; of many changes of one revision, one
// is made.
func TestRace(t *testing.T) {
	g, w := newGateway(t, false), newWorker(t)
	const callers = 12
	var mu sync.Mutex
	count := map[int]int{}
	all := func(call func(i int) int) map[int]int {
		clear(count)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				status := call(i)
				mu.Lock()
				defer mu.Unlock()
				count[status]++
			})
		}
		wg.Wait()
		return count
	}
	got := all(func(i int) int {
		if i%2 == 0 {
			return g.do("POST", "/api/workers", w.body()).status
		}
		_, err := g.grpc.Register(asAdmin(t), &registryv1.RegisterRequest{Url: w.url, Uuid: w.uuid})
		if err == nil {
			return http.StatusCreated
		}
		mustFail(t, err, codes.AlreadyExists, "uuid_taken")
		return http.StatusConflict
	})
	if got[http.StatusCreated] != 1 || got[http.StatusConflict] != callers-1 {
		t.Errorf("registrations ended as %v", got)
	}
	got = all(func(i int) int {
		return g.do("PATCH", "/api/workers/"+w.uuid, fmt.Sprintf(`{"name":"n%d"}`, i), "If-Match", `"1"`).status
	})
	if got[http.StatusOK] != 1 || got[http.StatusPreconditionFailed] != callers-1 {
		t.Errorf("changes ended as %v", got)
	}
	if rec := g.do("GET", "/api/workers/"+w.uuid, "").must(t, 200); rec.Revision != 2 {
		t.Errorf("the revision is %d", rec.Revision)
	}
	got = all(func(int) int { return g.do("POST", "/api/workers", w.body(`"enrols":true`)).status })
	if got[http.StatusOK] != callers {
		t.Errorf("enrolments ended as %v", got)
	}
	got = all(func(int) int { return g.do("DELETE", "/api/workers/"+w.uuid, "").status })
	if got[http.StatusNoContent] != 1 || got[http.StatusNotFound] != callers-1 {
		t.Errorf("removals ended as %v", got)
	}
}

// TestWithoutTheStore: what is known is still read, and changes are 503.
func TestWithoutTheStore(t *testing.T) {
	g, w := newGateway(t, false), newWorker(t)
	g.do("POST", "/api/workers", w.body()).must(t, 201)
	if err := g.svc.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.do("GET", "/api/workers/"+w.uuid, "").must(t, 200)
	if r := g.do("GET", "/api/workers", ""); r.status != 200 || len(r.json(t)["items"].([]any)) != 1 {
		t.Errorf("got %d %s", r.status, r.body)
	}
	g.do("PATCH", "/api/workers/"+w.uuid, `{"name":"x"}`).problem(t, 503, "store_unavailable")
	g.do("DELETE", "/api/workers/"+w.uuid, "").problem(t, 503, "store_unavailable")
	g.do("POST", "/api/workers", newWorker(t).body()).problem(t, 503, "store_unavailable")
	if r := g.do("POST", "/api/workers/"+w.uuid+"/probe", ""); r.status != 200 {
		t.Errorf("a probe that changes nothing needs the store: %d %s", r.status, r.body)
	}
	_, err := g.grpc.Deregister(asAdmin(t), &registryv1.DeregisterRequest{Uuid: w.uuid})
	mustFail(t, err, codes.Unavailable, "store_unavailable")
}

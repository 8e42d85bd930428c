package edge

import (
	"net/http"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// info is what the gateway says of itself on GET /: the four keys of the worker
// contract and no more, because it answers without a token.
type info struct {
	Class   string `json:"class"`
	Type    string `json:"type"`
	UUID    string `json:"uuid"`
	Version string `json:"version"`
}

// infoPath is where the gateway tells who it is.
const infoPath = "GET /{$}"

// infoHandler answers GET /: the gateway is itself a worker, so that gateways
// compose.
func infoHandler(version string, snapshot func() *registry.Snapshot) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, info{
			Class: registry.ClassResult, Type: registry.TypeGraphSecurity,
			UUID: string(snapshot().Gateway), Version: version,
		})
	}
}

// notFound answers what no route takes, to callers with a good token.
func notFound(guard rest.Guard) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := guard(r); err != nil {
			authn.Challenge(w.Header(), err)
			fault.From(err).WriteProblem(w)
			return
		}
		fault.New(fault.NotFound, "not_found", "there is nothing at %s %s", r.Method, r.URL.EscapedPath()).WriteProblem(w)
	}
}

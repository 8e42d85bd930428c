package fleet

import (
	"net/http"

	"github.com/muster-fleet/muster/gateway/edge/rest"
)

// Root is the path below which everything of this API lives.
const Root = "/api/workers"

// Handler returns the REST API. It is to be mounted at Root and at Root+"/", and
// answers everything there: what is not part of the API with a 404 problem. It
// is safe for concurrent use.
func Handler(d Deps) http.Handler {
	s := &service{Deps: d, api: d.api()}
	mux := http.NewServeMux()
	s.api.Mount(mux, s.operations())
	mux.Handle("/", s.api.NotFound())
	return mux
}

// Describe adds the calls of this package to a document.
func Describe(doc *rest.Document) {
	rest.Describe(doc, "fleet", (&service{}).operations())
}

// api is the frame that the calls stand in.
func (d *Deps) api() *rest.API {
	return &rest.API{Gate: d.Gate, Logger: d.Logger, BodyDeadline: d.BodyDeadline}
}

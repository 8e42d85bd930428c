package accessrules

import (
	"net/http"
	"strconv"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
)

// The paths of this API.
const (
	ModelPath = "/api/graph-model"
	Root      = "/api/graph-access-rule"
	rulesPath = Root + "/accessRules"
)

// api is the API over its dependencies.
type api struct {
	Deps
	rest *rest.API
}

// Handler returns the REST API. It is to be mounted at ModelPath and Root+"/" and
// answers everything there. It is safe for concurrent use.
func Handler(d Deps) http.Handler {
	a := &api{Deps: d, rest: &rest.API{Gate: d.Gate, Logger: d.Logger}}
	mux := http.NewServeMux()
	a.rest.Mount(mux, a.operations())
	mux.Handle("/", a.rest.NotFound())
	return mux
}

// Describe adds the calls of this package to a document.
func Describe(doc *rest.Document) {
	rest.Describe(doc, "graph access rules", (&api{}).operations())
}

// ruleID reads the id of a path. What is no number names no rule.
func ruleID(r *http.Request) (int64, error) {
	text := r.PathValue("id")
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 || strconv.FormatInt(id, 10) != text {
		return 0, noRule()
	}
	return id, nil
}

func noRule() error {
	return fault.New(fault.NotFound, "not_found", "there is no rule with this id; GET %s lists them", rulesPath)
}

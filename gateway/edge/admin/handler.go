package admin

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// The paths below which everything of this API lives.
const (
	Root       = "/api/admin"
	MePath     = "/api/me"
	TokensPath = "/api/tokens"
)

// Deps are what the API works with.
type Deps struct {
	// Registry, Types, Gate and Logger are required.
	Registry Registry
	Types    *authz.Types
	Gate     rest.Gate
	Logger   *slog.Logger
	// Facts are what the blocks of resource types are made from, beside what the
	// registry has; nil for none.
	Facts func() authz.Facts
	// Directory suggests names of groups; nil where there is none.
	Directory Directory
	// Limits bound personal access tokens.
	Limits TokenLimits
	// Clock tells the time that expiries are compared with; it must be the
	// registry's. nil means time.Now.
	Clock func() time.Time
	// BodyDeadline bounds how long a body may take to come in; 0 means
	// rest.DefaultBodyDeadline.
	BodyDeadline time.Duration
}

// api answers the calls.
type api struct {
	Deps
	rest rest.API
}

func newAPI(d Deps) *api {
	if d.Clock == nil {
		d.Clock = time.Now
	}
	return &api{Deps: d, rest: rest.API{Gate: d.Gate, Logger: d.Logger, BodyDeadline: d.BodyDeadline}}
}

// Handler answers everything at Root, MePath and TokensPath, and below them. It is
// safe for concurrent use.
func Handler(d Deps) http.Handler {
	a := newAPI(d)
	mux := http.NewServeMux()
	a.rest.Mount(mux, a.operations())
	mux.Handle("/", a.rest.NotFound())
	return mux
}

// Describe adds the calls to an OpenAPI document.
func Describe(doc *rest.Document) {
	a := newAPI(Deps{})
	rest.Describe(doc, "access", a.operations())
}

// set is what is known of access now.
func (a *api) set() *access.Set { return a.Registry.Snapshot().Access }

// The answers for what is not there.

func noGroup() error {
	return fault.New(fault.NotFound, codeNotFound, "there is no group with this id")
}

func noUser() error {
	return fault.New(fault.NotFound, codeUserNotFound, "there is no user with this id")
}

func noGrant() error {
	return fault.New(fault.NotFound, codeNotFound, "there is no grant with this id")
}

func noToken() error {
	return fault.New(fault.NotFound, codeNotFound, "there is no token with this id")
}

// pathID reads an id of the path; missing is the answer for what is none.
func pathID(r *http.Request, name string, missing func() error) (access.ID, error) {
	id, ok := parseID(r.PathValue(name))
	if !ok {
		return id, missing()
	}
	return id, nil
}

// target reads what a mutation of one thing begins with: its id and its query.
func target(r *http.Request, name string, missing func() error) (access.ID, registry.Change, error) {
	c, err := onlyDryRun(r)
	if err != nil {
		return access.ID{}, c, err
	}
	id, err := pathID(r, name, missing)
	return id, c, err
}

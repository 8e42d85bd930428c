package audit

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
)

// Root is the path below which everything of this API lives.
const Root = "/api/admin/audit"

const (
	headsPath  = Root + "/heads"
	verifyPath = Root + "/verify"
	// verifyTimeout bounds a verification by REST; the command line verifies longer
	// logs on the store itself.
	verifyTimeout = 5 * time.Minute
	// maxHeads is how many heads a verification may be given.
	maxHeads = 100
)

// Registry is what the API reads; *registry.Service is one.
type Registry interface {
	AuditFind(ctx context.Context, q registry.AuditQuery) ([]registry.AuditEntry, error)
	AuditHeads(ctx context.Context, after int64, limit int) ([]audit.Head, error)
	VerifyAudit(ctx context.Context, known []audit.Head, progress func(done, all int64)) (audit.Report, error)
}

// Deps are what the API works with; all are required.
type Deps struct {
	Registry Registry
	Gate     rest.Gate
	Logger   *slog.Logger
}

// api answers the calls.
type api struct{ Deps }

// Handler answers everything at Root and below it.
func Handler(d Deps) http.Handler {
	a := &api{d}
	frame := rest.API{Gate: d.Gate, Logger: d.Logger}
	mux := http.NewServeMux()
	frame.Mount(mux, a.operations())
	mux.Handle("/", frame.NotFound())
	return mux
}

// Describe adds the calls to an OpenAPI document.
func Describe(doc *huma.OpenAPI) { rest.Describe(doc, "audit log", (&api{}).operations()) }

// operations is the whole API. The mux and the OpenAPI description are both made
// from it.
func (a *api) operations() []rest.Operation {
	query := func(name, doc string) rest.Parameter {
		return rest.Parameter{Name: name, In: "query", Doc: doc, Sample: ""}
	}
	limit := rest.Parameter{Name: "limit", In: "query", Doc: "From 1 to 1000; 100 when left out.", Sample: 0}
	page := query("cursor", "The nextCursor of the page before.")
	order := query("order", "Which rows come first; the newest when left out.")
	order.Enum = rest.Enum([]string{newest, oldest})
	return []rest.Operation{
		{
			Method: http.MethodGet, Path: Root, ID: "listAudit", Summary: "Read the audit log", Handle: a.list,
			Params: []rest.Parameter{
				query("action", "An action, or the beginning of actions with * behind it."),
				query("actor", "A subject, a username, or the id of a user or a token."),
				query("resource", "A resource, such as worker:<uuid>."),
				query("result", "ok, or the code of a refusal."),
				query("since", "From this time on, RFC 3339."), query("until", "Before this time, RFC 3339."),
				{Name: "after", In: "query", Doc: "Only rows with a number above this one.", Sample: 0},
				order, limit, page,
			},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "A page.", reflect.TypeFor[AuditPage]())},
			Problems: []int{http.StatusBadRequest},
		},
		{
			Method: http.MethodGet, Path: headsPath, ID: "listAuditHeads", Summary: "List the stored heads of the audit log, the oldest first",
			Handle: a.heads, Params: []rest.Parameter{limit, page},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "A page.", reflect.TypeFor[AuditHeadPage]())},
			Problems: []int{http.StatusBadRequest},
		},
		{
			Method: http.MethodGet, Path: verifyPath, ID: "verifyAudit", Summary: "Find out whether the audit log is what was written",
			Handle:   a.verify,
			Params:   []rest.Parameter{query("head", "A head that was kept elsewhere, N:HASH; several, separated by commas.")},
			Answers:  []rest.Answer{rest.NewAnswer(http.StatusOK, "What was found; ok says whether that is nothing.", reflect.TypeFor[AuditReport]())},
			Problems: []int{http.StatusBadRequest, http.StatusConflict},
		},
	}
}

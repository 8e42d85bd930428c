package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// wrong is a check that found something else than it wants.
func wrong(format string, args ...any) error {
	return &trouble{code: ExitFailed, what: fmt.Sprintf(format, args...)}
}

// health looks at what health says, whatever status it comes with.
func (m *smoke) health(ctx context.Context) error {
	status, body, err := m.bare(ctx, "/api/health")
	if err != nil {
		return err
	}
	var h struct {
		Status   string `json:"status"`
		DBSchema string `json:"db_schema"`
		Current  *int64 `json:"current"`
		Expected int64  `json:"expected"`
		Version  string `json:"version"`
	}
	if err := read(body, fmt.Sprintf("health, with status %d", status), &h); err != nil {
		return err
	}
	m.version = h.Version
	switch {
	case h.Status != "ok" || h.DBSchema != "ok":
		return wrong("status %s, db_schema %s (%d)", quote(h.Status), quote(h.DBSchema), status)
	case h.Current == nil || *h.Current != h.Expected || h.Expected <= 0:
		return wrong("says ok with a schema that is not the expected one (%d)", h.Expected)
	case h.Version == "":
		return wrong("tells no version")
	case status != http.StatusOK:
		return wrong("says ok with status %d", status)
	}
	return nil
}

// sameVersion demands that /api/version tells what health tells.
func (m *smoke) sameVersion(ctx context.Context) error {
	status, body, err := m.bare(ctx, "/api/version")
	if err != nil {
		return err
	}
	var v struct {
		Version string `json:"version"`
	}
	if err := read(body, "version", &v); err != nil {
		return err
	}
	return m.compare(status, v.Version)
}

// compare demands a status 200 and the version of health.
func (m *smoke) compare(status int, version string) error {
	switch {
	case status != http.StatusOK:
		return wrong("answered %d", status)
	case version == "":
		return wrong("tells no version")
	case m.version != "" && version != m.version:
		return wrong("tells the version %s, and health %s: are there gateways of two versions?", quote(version), quote(m.version))
	}
	return nil
}

// worker demands the four members with which a worker tells who it is.
func (m *smoke) worker(ctx context.Context) error {
	status, body, err := m.bare(ctx, "/")
	if err != nil {
		return err
	}
	var info struct{ Class, Type, UUID, Version string }
	if err := read(body, "worker", &info); err != nil {
		return err
	}
	if err := m.compare(status, info.Version); err != nil {
		return err
	}
	if _, err := uuid.Parse(info.UUID); err != nil || info.Class != "result" || info.Type != "ExternalGraphSecurity" {
		return wrong("is no ExternalGraphSecurity of class result with a uuid: class %s, type %s", quote(info.Class), quote(info.Type))
	}
	return nil
}

// login demands that a good token is taken, and that neither none nor a bad one is.
func (m *smoke) login(ctx context.Context) error {
	for _, token := range []string{"", "not.a.token"} {
		status, _, err := m.ask(ctx, "/api/me", token)
		if err != nil {
			return err
		}
		if status != http.StatusUnauthorized {
			return wrong("without a good token /api/me answers %d, not 401", status)
		}
	}
	got, err := m.c.call(ctx, request{method: http.MethodGet, path: "/api/me"})
	if err != nil {
		return err
	}
	var me struct {
		Subject string            `json:"subject"`
		Groups  []json.RawMessage `json:"groups"`
	}
	if err := read(got.body, "principal", &me); err != nil {
		return err
	}
	if me.Subject == "" {
		return wrong("/api/me does not say who the token's owner is")
	}
	return nil
}

// The elements of the graph that is sent.
const (
	smokeFrom = "smoke:node:1"
	smokeTo   = "smoke:node:2"
	smokeBody = `{"parameters":{"type":"graph"},"data":{"nodes":[` +
		`{"elementId":"` + smokeFrom + `","labels":["Smoke"],"properties":{"n":1}},` +
		`{"elementId":"` + smokeTo + `","labels":["Smoke"],"properties":{}}],"relationships":[` +
		`{"elementId":"smoke:relationship:1","type":"SMOKES","startNodeElementId":"` + smokeFrom + `","endNodeElementId":"` + smokeTo + `","properties":{}}]}}`
)

// smokeElement is an element of an answer.
type smokeElement struct {
	ElementID string `json:"elementId"`
	Start     string `json:"startNodeElementId"`
	End       string `json:"endNodeElementId"`
}

// filter demands an answer of the form that every answer has: both lists, nothing in
// them that was not sent, and no relationship without its ends. What the token's
// owner may see of it depends on the rules, and may be nothing.
func (m *smoke) filter(ctx context.Context) error {
	got, err := m.c.call(ctx, request{
		method: http.MethodPost, path: filterPath, body: []byte(smokeBody), header: http.Header{"Content-Type": {"application/json"}},
	})
	if err != nil {
		return err
	}
	var answer struct {
		Result *struct {
			Nodes         *[]smokeElement `json:"nodes"`
			Relationships *[]smokeElement `json:"relationships"`
		} `json:"result"`
	}
	if err := read(got.body, "filtered graph", &answer); err != nil {
		return err
	}
	if answer.Result == nil || answer.Result.Nodes == nil || answer.Result.Relationships == nil {
		return wrong("the answer lacks result, nodes or relationships")
	}
	seen := map[string]bool{}
	for _, n := range *answer.Result.Nodes {
		if n.ElementID != smokeFrom && n.ElementID != smokeTo || seen[n.ElementID] {
			return wrong("the answer has a node that was not sent, or one twice")
		}
		seen[n.ElementID] = true
	}
	if len(*answer.Result.Relationships) > 1 {
		return wrong("the answer has more relationships than were sent")
	}
	for _, r := range *answer.Result.Relationships {
		if r.ElementID != "smoke:relationship:1" || !seen[r.Start] || !seen[r.End] {
			return wrong("the answer has a relationship that was not sent, or one without its ends")
		}
	}
	for _, name := range []string{"Muster-Decision", "Muster-Revision", "Muster-Complete"} {
		if got.header.Get(name) == "" {
			return wrong("the answer lacks the header %s", name)
		}
	}
	return nil
}

// registry demands a page of the register.
func (m *smoke) registry(ctx context.Context) error {
	got, err := m.c.call(ctx, request{method: http.MethodGet, path: "/api/workers", query: url.Values{"limit": {"1"}}})
	if err != nil {
		return err
	}
	var page struct {
		Items *[]struct {
			UUID string `json:"uuid"`
		} `json:"items"`
		NextCursor *string `json:"nextCursor"`
	}
	if err := read(got.body, "page of workers", &page); err != nil {
		return err
	}
	if page.Items == nil || page.NextCursor == nil {
		return wrong("the page lacks items or nextCursor")
	}
	for _, w := range *page.Items {
		if _, err := uuid.Parse(w.UUID); err != nil {
			return wrong("the page has a worker without a uuid")
		}
	}
	return nil
}

// catalogue demands the description of the API, with what the other checks have
// called in it.
func (m *smoke) catalogue(ctx context.Context) error {
	got, err := m.c.call(ctx, request{method: http.MethodGet, path: "/api/openapi.json"})
	if err != nil {
		return err
	}
	var doc struct {
		OpenAPI string `json:"openapi"`
		Info    struct {
			Version string `json:"version"`
		} `json:"info"`
		Paths map[string]json.RawMessage `json:"paths"`
	}
	if err := read(got.body, "OpenAPI document", &doc); err != nil {
		return err
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.") {
		return wrong("is no OpenAPI 3 document: %s", quote(doc.OpenAPI))
	}
	var lacks []string
	for _, path := range []string{"/api/health", "/api/version", "/api/me", "/api/workers", "/api/graph-model"} {
		if doc.Paths[path] == nil {
			lacks = append(lacks, path)
		}
	}
	if slices.Sort(lacks); len(lacks) > 0 {
		return wrong("the catalogue lacks %s", strings.Join(lacks, ", "))
	}
	return m.compare(http.StatusOK, doc.Info.Version)
}

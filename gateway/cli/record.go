package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

// record is a worker as the API gives it. raw is what it gave, to be printed
// unchanged.
type record struct {
	UUID      string `json:"uuid"`
	Name      string `json:"name"`
	URL       string `json:"url"`
	Class     string `json:"class"`
	Type      string `json:"type"`
	Version   string `json:"version"`
	Transport string `json:"transport"`
	Active    bool   `json:"active"`
	// PausedUntil is when a pause ends by itself.
	PausedUntil time.Time `json:"pausedUntil"`
	Settings    struct {
		Timeout            string `json:"timeout"`
		OnFailure          string `json:"onFailure"`
		Mask               bool   `json:"mask"`
		Identity           string `json:"identity"`
		Audience           string `json:"audience"`
		MaxElementsPerCall int    `json:"maxElementsPerCall"`
		MaxConcurrent      int    `json:"maxConcurrent"`
	} `json:"settings"`
	Standing    standing `json:"standing"`
	Conformance struct {
		Level   string    `json:"level"`
		At      time.Time `json:"at"`
		Version string    `json:"version"`
	} `json:"conformance"`
	RegisteredBy string    `json:"registeredBy"`
	RegisteredAt time.Time `json:"registeredAt"`
	UpdatedAt    time.Time `json:"updatedAt"`
	Revision     int64     `json:"revision"`

	raw json.RawMessage
}

type standing struct {
	State     string    `json:"state"`
	Since     time.Time `json:"since"`
	LastProbe time.Time `json:"lastProbe"`
	LastError string    `json:"lastError"`
	LatencyMS float64   `json:"latencyMs"`
	StableFor string    `json:"stableFor"`
}

const workersPath = "/api/workers"

func readRecord(raw []byte) (*record, error) {
	r := &record{raw: raw}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, &trouble{
			code: ExitFailed, what: "the gateway's record of a worker is not readable: " + err.Error(),
			do: "use a muster of the gateway's version", cause: err,
		}
	}
	return r, nil
}

// list returns one page of workers and the cursor of the next.
func (c *client) list(ctx context.Context, query url.Values) (items []*record, next string, err error) {
	got, err := c.call(ctx, request{method: http.MethodGet, path: workersPath, query: query})
	if err != nil {
		return nil, "", err
	}
	var page struct {
		Items      []json.RawMessage `json:"items"`
		NextCursor string            `json:"nextCursor"`
	}
	if err := json.Unmarshal(got.body, &page); err != nil {
		return nil, "", &trouble{code: ExitFailed, what: "the gateway's list is not readable: " + err.Error(), cause: err}
	}
	for _, raw := range page.Items {
		r, err := readRecord(raw)
		if err != nil {
			return nil, "", err
		}
		items = append(items, r)
	}
	return items, page.NextCursor, nil
}

// all returns the workers of every page.
func (c *client) all(ctx context.Context, query url.Values) ([]*record, error) {
	paged := url.Values{"limit": {"1000"}}
	maps.Copy(paged, query)
	var all []*record
	for {
		items, next, err := c.list(ctx, paged)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if next == "" {
			return all, nil
		}
		paged.Set("cursor", next)
	}
}

// resolve finds the uuid of a REF: a uuid, or the name of exactly one worker.
func (c *client) resolve(ctx context.Context, ref string) (string, error) {
	if id, err := uuid.Parse(ref); err == nil {
		return id.String(), nil
	}
	all, err := c.all(ctx, nil)
	if err != nil {
		return "", err
	}
	var hits []*record
	for _, r := range all {
		if r.Name == ref {
			hits = append(hits, r)
		}
	}
	switch len(hits) {
	case 1:
		return hits[0].UUID, nil
	case 0:
		return "", &trouble{
			code: ExitNotFound, what: "no worker has the name " + quote(ref),
			where: c.base.String(), do: "muster worker list shows what there is",
		}
	}
	ids := make([]string, len(hits))
	for i, r := range hits {
		ids[i] = r.UUID
	}
	return "", &trouble{
		code: ExitUsage, what: fmt.Sprintf("%d workers have the name %s", len(hits), quote(ref)),
		where: c.base.String(), do: "use the uuid of one of them: " + strings.Join(ids, ", "),
	}
}

// get returns the record of a REF.
func (c *client) get(ctx context.Context, ref string) (*record, error) {
	id, err := c.resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	got, err := c.call(ctx, request{method: http.MethodGet, path: workersPath + "/" + id})
	if err != nil {
		return nil, err
	}
	return readRecord(got.body)
}

// change is the body of a registration or of an update; what is nil is left out.
type change struct {
	URL       *string   `json:"url,omitempty"`
	UUID      *string   `json:"uuid,omitempty"`
	Name      *string   `json:"name,omitempty"`
	Transport *string   `json:"transport,omitempty"`
	Active    *bool     `json:"active,omitempty"`
	Until     *string   `json:"until,omitempty"`
	Settings  *settings `json:"settings,omitempty"`
}

type settings struct {
	Timeout            *string `json:"timeout,omitempty"`
	OnFailure          *string `json:"onFailure,omitempty"`
	Mask               *bool   `json:"mask,omitempty"`
	Identity           *string `json:"identity,omitempty"`
	Audience           *string `json:"audience,omitempty"`
	MaxElementsPerCall *int    `json:"maxElementsPerCall,omitempty"`
	MaxConcurrent      *int    `json:"maxConcurrent,omitempty"`
}

func (ch change) body() ([]byte, error) { return json.Marshal(ch) }

// warningOf returns what an answer to a change warns of, wherever it says so.
func warningOf(a *answer) string {
	if text := a.header.Get("Muster-Warning"); text != "" {
		return text
	}
	var doc struct {
		Warning string `json:"warning"`
	}
	if len(a.body) == 0 || json.Unmarshal(a.body, &doc) != nil {
		// No body, or one whose reader reports it.
		return ""
	}
	return doc.Warning
}

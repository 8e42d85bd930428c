package audit

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
)

// The values of the parameter order.
const (
	newest = "newest"
	oldest = "oldest"
)

func (a *api) list(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	p := rest.ReadQuery(r, "action", "actor", "resource", "result", "since", "until", "after", "order", "limit", "cursor")
	q := readQuery(p)
	if err := p.Err(); err != nil {
		return err
	}
	limit := q.Limit
	q.Limit++
	found, err := a.Registry.AuditFind(r.Context(), q)
	if err != nil {
		return err
	}
	page := AuditPage{Items: []AuditRow{}}
	for i := range found {
		if i == limit {
			page.NextCursor = cursor(found[i-1].Number)
			break
		}
		page.Items = append(page.Items, renderRow(&found[i]))
	}
	return rest.WriteJSON(w, http.StatusOK, page)
}

func readQuery(p *rest.Parameters) registry.AuditQuery {
	q := registry.AuditQuery{
		Action: p.Get("action"), Actor: p.Get("actor"), Resource: p.Get("resource"), Result: p.Get("result"),
		Since: readTime(p, "since"), Until: readTime(p, "until"), Limit: p.Limit(),
	}
	for _, name := range []string{"action", "actor", "resource", "result"} {
		if p.Has(name) && p.Get(name) == "" {
			p.Add("%s is empty; leave it out to ask for everything", name)
		} else if strings.ContainsRune(p.Get(name), 0) {
			p.Add("%s holds a NUL character", name)
		}
	}
	switch p.Get("order") {
	case oldest:
		q.Oldest = true
	case newest:
	default:
		if p.Has("order") {
			p.Add("order is %s or %s", newest, oldest)
		}
	}
	if p.Has("after") {
		n, err := strconv.ParseInt(p.Get("after"), 10, 64)
		if err != nil || n < 0 {
			p.Add("after is the number of a row, or 0")
		}
		q.After = n
	}
	if at := readCursor(p); at > 0 && q.Oldest {
		q.After = max(q.After, at)
	} else {
		q.Before = at
	}
	return q
}

func readTime(p *rest.Parameters, name string) time.Time {
	if !p.Has(name) {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, p.Get(name))
	if err != nil {
		p.Add("%s is a time of RFC 3339, such as 2026-03-01T12:00:00Z (a + has to be written %%2B)", name)
	}
	return t
}

// cursorVersion is the first byte of a cursor, so that the form can change.
const cursorVersion = "1"

// cursor says where a list goes on; callers are to take it as opaque.
func cursor(number int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorVersion + strconv.FormatInt(number, 10)))
}

// readCursor reads what cursor made; 0 without one.
func readCursor(p *rest.Parameters) int64 {
	if p.Get("cursor") == "" {
		return 0
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(p.Get("cursor"))
	if err == nil {
		text, ok := strings.CutPrefix(string(raw), cursorVersion)
		n, err := strconv.ParseInt(text, 10, 64)
		if ok && err == nil && n > 0 && text == strconv.FormatInt(n, 10) {
			return n
		}
	}
	p.Add("cursor is not a cursor of this list; start again without one")
	return 0
}

func (a *api) heads(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	p := rest.ReadQuery(r, "limit", "cursor")
	limit, after := p.Limit(), readCursor(p)
	if err := p.Err(); err != nil {
		return err
	}
	found, err := a.Registry.AuditHeads(r.Context(), after, limit+1)
	if err != nil {
		return err
	}
	page := AuditHeadPage{Items: []AuditHead{}}
	for i := range found {
		if i == limit {
			page.NextCursor = cursor(found[i-1].Number)
			break
		}
		page.Items = append(page.Items, renderHead(&found[i]))
	}
	return rest.WriteJSON(w, http.StatusOK, page)
}

func (a *api) verify(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	p := rest.ReadQuery(r, "head")
	known := readHeads(p)
	if err := p.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), verifyTimeout)
	defer cancel()
	report, err := a.Registry.VerifyAudit(ctx, known, nil)
	if err != nil {
		return err
	}
	return rest.WriteJSON(w, http.StatusOK, renderReport(&report))
}

func readHeads(p *rest.Parameters) []audit.Head {
	if !p.Has("head") {
		return nil
	}
	texts := strings.Split(p.Get("head"), ",")
	if len(texts) > maxHeads {
		p.Add("head names %d heads; at most %d are taken", len(texts), maxHeads)
		return nil
	}
	var all []audit.Head
	for _, text := range texts {
		h, err := audit.ParseHead(text)
		if err != nil {
			p.Add("head: %v", err)
		}
		all = append(all, h)
	}
	return all
}

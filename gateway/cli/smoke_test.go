package cli

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

const (
	goodHealth    = `{"status":"ok","db_schema":"ok","current":4,"expected":4,"version":"1.2.3"}`
	goodInfo      = `{"class":"result","type":"ExternalGraphSecurity","uuid":"` + idA + `","version":"1.2.3"}`
	goodMe        = `{"subject":"s","issuer":"i","groups":[]}`
	goodPage      = `{"items":[{"uuid":"` + idA + `"}],"nextCursor":""}`
	goodCatalogue = `{"openapi":"3.1.0","info":{"version":"1.2.3"},"paths":{"/api/health":{},"/api/version":{},"/api/me":{},"/api/workers":{},"/api/graph-model":{}}}`
	goodAnswer    = `{"result":{"nodes":[{"elementId":"smoke:node:1"},{"elementId":"smoke:node:2"}],"relationships":[{"elementId":"smoke:relationship:1",
"startNodeElementId":"smoke:node:1","endNodeElementId":"smoke:node:2"}]}}`
)

// smokable is a server that passes every check; what a test changes has to fail.
// Those of gateway/e2e run against a real gateway.
func smokable(t *testing.T) *gateway {
	g := newGateway(t)
	g.on("GET /api/health", http.StatusOK, goodHealth)
	g.on("GET /api/version", http.StatusOK, `{"version":"1.2.3"}`)
	g.on("GET /", http.StatusOK, goodInfo)
	g.me(goodMe)
	g.on("GET /api/workers?limit=1", http.StatusOK, goodPage)
	g.on("GET /api/openapi.json", http.StatusOK, goodCatalogue)
	g.filters(goodAnswer)
	return g
}

// me answers /api/me, and 401 without the right token.
func (g *gateway) me(body string) {
	g.with("GET /api/me", func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		if g.last().header.Get("Authorization") != "Bearer abc.def.ghi" {
			w.WriteHeader(http.StatusUnauthorized)
			body := `{"code":"invalid_token","detail":"no token"}`
			_, _ = w.Write([]byte(body)) // the caller has gone, if it fails
			return
		}
		_, _ = w.Write([]byte(body)) // as above
	})
}

// filters answers the filter.
func (g *gateway) filters(body string) {
	g.with("POST /api/graph-security/filter", func(w http.ResponseWriter) {
		for _, name := range []string{"Muster-Decision", "Muster-Revision", "Muster-Complete"} {
			w.Header().Set(name, "1")
		}
		_, _ = w.Write([]byte(body)) // the caller has gone, if it fails
	})
}

func TestSmoke(t *testing.T) {
	g := smokable(t)
	r := g.run("smoke")
	r.want(t, ExitOK, "health", "version", "worker", "login", "filter", "registry", "catalogue")
	if n := strings.Count(r.out, "ok    "); n != 7 || strings.Contains(r.out, "FAIL") {
		t.Errorf("%d are ok:\n%s", n, r.out)
	}
	// The address may be an argument, which comes first.
	run(t, []string{"MUSTER_URL=http://127.0.0.1:1", "MUSTER_TOKEN=abc.def.ghi"}, "smoke", g.server.URL).want(t, ExitOK)
	var doc struct {
		OK      bool
		Version string
		Checks  []smokeResult
	}
	if err := json.Unmarshal([]byte(g.run("smoke", "-o", "json").out), &doc); err != nil || !doc.OK || doc.Version != "1.2.3" || len(doc.Checks) != 7 {
		t.Errorf("%+v %v", doc, err)
	}
	run(t, nil, "smoke", "gateway:8080").want(t, ExitUsage)
	run(t, nil, "smoke", "http://a", "http://b").want(t, ExitUsage)
}

// Whatever is not as it has to be fails its own check, and that alone.
func TestSmokeFails(t *testing.T) {
	for name, c := range map[string]struct {
		check  string
		change func(g *gateway)
		why    string
	}{
		"unhealthy with 200": {"health", func(g *gateway) { g.on("GET /api/health", 200, strings.Replace(goodHealth, `"ok"`, `"unhealthy"`, 1)) }, `status "unhealthy"`},
		"mismatch": {"health", func(g *gateway) {
			g.on("GET /api/health", 503, strings.Replace(goodHealth, `"db_schema":"ok"`, `"db_schema":"mismatch"`, 1))
		}, "mismatch"},
		"ok with 503": {"health", func(g *gateway) { g.on("GET /api/health", 503, goodHealth) }, "says ok with status 503"},
		"another schema": {"health", func(g *gateway) {
			g.on("GET /api/health", 200, strings.Replace(goodHealth, `"current":4`, `"current":3`, 1))
		}, "not the expected one"},
		"no health":         {"health", func(g *gateway) { g.on("GET /api/health", 404, goodHealth) }, "answered 404"},
		"a page of a proxy": {"health", func(g *gateway) { g.on("GET /api/health", 502, "<html>") }, "no health, with status 502"},
		"another version":   {"version", func(g *gateway) { g.on("GET /api/version", 200, `{"version":"1.2.4"}`) }, "two versions"},
		"no version":        {"version", func(g *gateway) { g.on("GET /api/version", 200, `{}`) }, "tells no version"},
		"version not found": {"version", func(g *gateway) { g.on("GET /api/version", 404, `{"version":"1.2.3"}`) }, "answered 404"},
		"another worker": {"worker", func(g *gateway) {
			g.on("GET /", 200, strings.Replace(goodInfo, "ExternalGraphSecurity", "RuleTransformation", 1))
		}, "RuleTransformation"},
		"a worker's bad uuid": {"worker", func(g *gateway) { g.on("GET /", 200, strings.Replace(goodInfo, idA, "x", 1)) }, "uuid"},
		"anybody gets in":     {"login", func(g *gateway) { g.on("GET /api/me", 200, goodMe) }, "answers 200, not 401"},
		"nobody is known":     {"login", func(g *gateway) { g.me(`{"groups":[]}`) }, "who the token's owner is"},
		"me not found":        {"login", func(g *gateway) { g.on("GET /api/me", 404, `{}`) }, "answered 404"},
		"hides the lists":     {"filter", func(g *gateway) { g.filters(`{"result":{"nodes":[]}}`) }, "lacks result"},
		"a node of its own":   {"filter", func(g *gateway) { g.filters(`{"result":{"nodes":[{"elementId":"x"}],"relationships":[]}}`) }, "was not sent"},
		"a loose end": {"filter", func(g *gateway) {
			g.filters(strings.Replace(goodAnswer, `,{"elementId":"smoke:node:2"}`, "", 1))
		}, "without its ends"},
		"no headers": {"filter", func(g *gateway) { g.on("POST /api/graph-security/filter", 200, goodAnswer) }, "Muster-Decision"},
		"no security worker": {"filter", func(g *gateway) {
			g.on("POST /api/graph-security/filter", 503, `{"error":"no_security_worker","description":"none"}`)
		}, "no_security_worker"},
		"filter not found":  {"filter", func(g *gateway) { g.on("POST /api/graph-security/filter", 404, goodAnswer) }, "404"},
		"no page":           {"registry", func(g *gateway) { g.on("GET /api/workers?limit=1", 200, `{"items":null,"nextCursor":""}`) }, "lacks items"},
		"denied":            {"registry", func(g *gateway) { g.on("GET /api/workers?limit=1", 403, `{"code":"denied","detail":"no"}`) }, "denied"},
		"workers not found": {"registry", func(g *gateway) { g.on("GET /api/workers?limit=1", 404, goodPage) }, "404"},
		"half a catalogue": {"catalogue", func(g *gateway) {
			g.on("GET /api/openapi.json", 200, strings.Replace(goodCatalogue, `"/api/me":{},`, "", 1))
		}, "lacks /api/me"},
		"no catalogue": {"catalogue", func(g *gateway) { g.on("GET /api/openapi.json", 404, goodCatalogue) }, "404"},
		"an old catalogue": {"catalogue", func(g *gateway) {
			g.on("GET /api/openapi.json", 200, strings.Replace(goodCatalogue, "1.2.3", "1.0.0", 1))
		}, "two versions"},
	} {
		t.Run(name, func(t *testing.T) {
			g := smokable(t)
			c.change(g)
			r := g.run("smoke")
			r.want(t, ExitFailed, c.why)
			for line := range strings.Lines(r.out) {
				if failed := strings.HasPrefix(line, "FAIL"); failed != (strings.Fields(line)[1] == c.check) {
					t.Errorf("%s", line)
				}
			}
		})
	}
}

// A gateway that is not there fails every check, and a token that is not there fails
// those that need one.
func TestSmokeWithout(t *testing.T) {
	g := smokable(t)
	r := run(t, []string{"MUSTER_URL=" + g.server.URL}, "smoke")
	r.want(t, ExitFailed, "there was no token")
	g.server.Close()
	r = g.run("smoke")
	if n := strings.Count(r.out, "FAIL"); r.code != ExitFailed || n != 7 {
		t.Errorf("%d failed: %s", n, r.out)
	}
}

package workertest_test

import (
	"bytes"
	"net/http"
	"sync/atomic"

	"github.com/muster-fleet/muster/workers/workertest"
)

func wrongInfo(change func(doc)) func(http.Handler) http.Handler {
	info := doc{"class": "result", "type": "ExternalGraphSecurity", "uuid": testUUID, "version": "1.0.0"}
	change(info)
	return onInfo(info)
}

func infoMistakes() []wrong {
	var calls atomic.Int64
	return []wrong{
		{name: "missing version", caught: "core/info", make: wrongInfo(func(i doc) { delete(i, "version") })},
		{name: "version is a number", caught: "core/info", make: wrongInfo(func(i doc) { i["version"] = 1 })},
		{name: "capital letters", caught: "core/info", make: wrongInfo(func(i doc) { delete(i, "version"); i["Version"] = "1" })},
		{
			name: "another type than registered", caught: "core/info",
			make:   wrongInfo(func(i doc) { i["type"] = workertest.TypeTransformation }),
			change: func(o *workertest.Options) { o.Type = workertest.TypeGraphSecurity },
		},
		{name: "a type of its own", caught: "core/info", make: wrongInfo(func(i doc) { i["type"] = "GraphSecurity" })},
		{name: "uuid is a word", caught: "core/info", make: wrongInfo(func(i doc) { i["uuid"] = "my-worker" })},
		{name: "another uuid than registered", caught: "core/info", make: wrongInfo(func(i doc) { i["uuid"] = otherUUID })},
		{name: "info needs a token", caught: "core/info", make: func(good http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet && r.Header.Get("Authorization") == "" {
					send(rw, http.StatusUnauthorized, doc{"description": "no token", "error": "invalid_token"})
					return
				}
				good.ServeHTTP(rw, r)
			})
		}},
		{name: "info redirects", caught: "core/info", make: func(good http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/" {
					http.Redirect(rw, r, "/info", http.StatusFound)
					return
				}
				good.ServeHTTP(rw, r)
			})
		}},
		{name: "replicas make up their uuid", caught: "core/info-stable", make: func(good http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet {
					good.ServeHTTP(rw, r)
					return
				}
				id := []string{testUUID, otherUUID}[calls.Add(1)/3%2]
				send(rw, http.StatusOK, doc{"class": "result", "type": "ExternalGraphSecurity", "uuid": id, "version": "1"})
			})
		}, change: func(o *workertest.Options) { o.UUID = "" }},
		{name: "info tells too much", caught: "robust/info-four-keys", make: wrongInfo(func(i doc) { i["users"] = []string{"alice"} })},
	}
}

func shapeMistakes() []wrong {
	return []wrong{
		{name: "wrong key", caught: "core/relationships", make: onAnswer(func(_ doc, l []any, _ string) any { return result("nodes", l) })},
		{name: "both keys", caught: "core/nodes", make: onAnswer(func(_ doc, l []any, _ string) any {
			return doc{"result": doc{"nodes": l, "relationships": []any{}}}
		})},
		{name: "no result around", caught: "core/nodes", make: onAnswer(func(_ doc, l []any, k string) any { return doc{k: l} })},
		{name: "ids alone", caught: "core/nodes", make: onAnswer(func(_ doc, l []any, k string) any {
			ids := []any{}
			for _, e := range l {
				ids = append(ids, e.(doc)["elementId"])
			}
			return result(k, ids)
		})},
		{name: "adds an element", caught: "core/nodes", make: onAnswer(func(_ doc, l []any, k string) any {
			return result(k, append(l, doc{"elementId": "new", "labels": []string{}, "properties": doc{}}))
		})},
		{name: "duplicates an element", caught: "core/nodes", make: onAnswer(func(_ doc, l []any, k string) any {
			if len(l) > 0 {
				l = append(l, l[0])
			}
			return result(k, l)
		})},
		{name: "changes labels", caught: "core/nodes", make: each(func(e doc) {
			if l, ok := e["labels"].([]any); ok {
				e["labels"] = append(l, "Seen")
			}
		})},
		{name: "retypes", caught: "core/relationships", make: each(func(e doc) {
			if e["type"] == "REQUIRES" {
				e["type"] = "CONTAINS"
			}
		})},
		{name: "turns relationships round", caught: "core/relationships", make: each(func(e doc) {
			if e["type"] != nil {
				e["startNodeElementId"], e["endNodeElementId"] = e["endNodeElementId"], e["startNodeElementId"]
			}
		})},
		{name: "adds a property", caught: "core/nodes", make: each(func(e doc) { e["properties"].(doc)["checked"] = true })},
		{name: "masks without leave", caught: "core/nodes", make: each(func(e doc) {
			if p := e["properties"].(doc); p["name"] != nil {
				p["name"] = "***"
			}
		})},
		{name: "drops properties altogether", caught: "core/nodes", make: each(func(e doc) { delete(e, "properties") })},
		{name: "null for an empty list", caught: "core/empty-nodes", make: onAnswer(func(b doc, l []any, k string) any {
			if len(l) == 0 {
				return doc{"result": doc{k: nil}}
			}
			return b
		})},
		{name: "trailing bytes", caught: "core/nodes", make: raw(func(body []byte) []byte { return append(body, "\n{}"...) })},
		{name: "invalid JSON", caught: "core/nodes", make: raw(func(body []byte) []byte { return bytes.TrimSuffix(bytes.TrimSpace(body), []byte("}")) })},
		{name: "duplicate names", caught: "core/nodes", make: raw(func(body []byte) []byte {
			return bytes.Replace(body, []byte(`{"result":`), []byte(`{"result":{"nodes":[]},"result":`), 1)
		})},
	}
}

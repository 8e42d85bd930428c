package workertest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-fleet/muster/workers/worker"
	"github.com/muster-fleet/muster/workers/workertest"
)

const (
	testUUID  = "0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11"
	otherUUID = "7e0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c99"
)

// mild is the policy of the good workers in these tests.
func mild(_ context.Context, _ *worker.Principal, e worker.Element) worker.Verdict {
	if e.HasLabel("Secret") {
		return worker.Hide("secret")
	}
	return worker.Strip("ssn")
}

func newIssuer(t *testing.T) *workertest.Issuer {
	t.Helper()
	is, err := workertest.NewIssuer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := is.Close(); err != nil {
			t.Error(err)
		}
	})
	return is
}

// newWorker makes an SDK worker that trusts the issuer.
func newWorker(t *testing.T, is *workertest.Issuer, change func(*worker.Config)) *worker.Worker {
	t.Helper()
	cfg := worker.Config{
		UUID: testUUID, Version: "1.0.0", Judge: mild, Logger: slog.New(slog.DiscardHandler),
		Auth: worker.Auth{Issuer: is.URL(), Audience: workertest.Audience},
		Addr: "127.0.0.1:0", GRPCAddr: "127.0.0.1:0", DrainGrace: -1, DrainTimeout: 5 * time.Second,
	}
	if change != nil {
		change(&cfg)
	}
	w, err := worker.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// doc is a contract body as careless code sees it.
type doc = map[string]any

// onAnswer returns a worker whose filter answers are decoded, changed and encoded
// again. Numbers keep their digits.
func onAnswer(change func(body doc, list []any, key string) any) func(http.Handler) http.Handler {
	return func(good http.Handler) http.Handler {
		return onFilter(good, func(rw http.ResponseWriter, r *http.Request, _ []byte) {
			rec := httptest.NewRecorder()
			good.ServeHTTP(rec, r)
			if rec.Code != http.StatusOK {
				replay(rw, rec)
				return
			}
			d := json.NewDecoder(rec.Body)
			d.UseNumber()
			var body doc
			if err := d.Decode(&body); err != nil {
				http.Error(rw, err.Error(), http.StatusInternalServerError)
				return
			}
			result, _ := body["result"].(doc)
			for key, list := range result {
				l, _ := list.([]any)
				send(rw, http.StatusOK, change(body, l, key))
			}
		})
	}
}

func replay(rw http.ResponseWriter, rec *httptest.ResponseRecorder) {
	for k, v := range rec.Header() {
		rw.Header()[k] = v
	}
	rw.WriteHeader(rec.Code)
	_, _ = rw.Write(rec.Body.Bytes())
}

func send(rw http.ResponseWriter, status int, body any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(body)
}

// onFilter replaces what a worker does with POST; the body is read already and
// can be read again from r.
func onFilter(good http.Handler, f func(rw http.ResponseWriter, r *http.Request, body []byte)) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			good.ServeHTTP(rw, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		f(rw, r, body)
	})
}

func onInfo(info any) func(http.Handler) http.Handler {
	return func(good http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				send(rw, http.StatusOK, info)
				return
			}
			good.ServeHTTP(rw, r)
		})
	}
}

// each changes every element of an answer.
func each(change func(e doc)) func(http.Handler) http.Handler {
	return onAnswer(func(body doc, list []any, _ string) any {
		for _, e := range list {
			if e, ok := e.(doc); ok {
				change(e)
			}
		}
		return body
	})
}

func result(key string, list []any) doc { return doc{"result": doc{key: list}} }

// claimsOf reads a token's claims and checks nothing.
func claimsOf(r *http.Request) (header, claims doc, ok bool) {
	parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	if len(parts) != 3 {
		return nil, nil, false
	}
	for i, into := range []*doc{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(text, into) != nil {
			return nil, nil, false
		}
	}
	return header, claims, true
}

// careless wraps a verifier and takes, beside its good tokens, those that accept
// waves through.
func careless(is *workertest.Issuer, accept func(header, claims doc) bool) func(http.Handler) http.Handler {
	return func(good http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if header, claims, ok := claimsOf(r); ok && accept(header, claims) {
				t, err := is.Token("alice")
				if err != nil {
					http.Error(rw, err.Error(), http.StatusInternalServerError)
					return
				}
				r.Header.Set("Authorization", "Bearer "+t)
			}
			good.ServeHTTP(rw, r)
		})
	}
}

// byElement answers each request with the elements that show lets through, with
// their own bytes, after the good worker has approved of the request.
func byElement(show func(i int, raw json.RawMessage, all []json.RawMessage) bool) func(http.Handler) http.Handler {
	return func(good http.Handler) http.Handler {
		return onFilter(good, func(rw http.ResponseWriter, r *http.Request, body []byte) {
			rec := httptest.NewRecorder()
			good.ServeHTTP(rec, r)
			if rec.Code != http.StatusOK {
				replay(rw, rec)
				return
			}
			var in struct {
				Parameters struct{ Type string }
				Data       []json.RawMessage
			}
			if err := json.Unmarshal(body, &in); err != nil {
				http.Error(rw, err.Error(), http.StatusInternalServerError)
				return
			}
			kept := []json.RawMessage{}
			for i, e := range in.Data {
				if show(i, e, in.Data) {
					kept = append(kept, e)
				}
			}
			send(rw, http.StatusOK, doc{"result": doc{in.Parameters.Type: kept}})
		})
	}
}

// wrong is a worker that is wrong in one way, and the case that must catch it.
type wrong struct {
	name string
	make func(good http.Handler) http.Handler
	// caught is the case that is meant for it.
	caught string
	// change alters the options, if anything.
	change func(*workertest.Options)
	judge  worker.Func
}

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
		{name: "another type", caught: "core/info", make: wrongInfo(func(i doc) { i["type"] = "RuleTransformation" })},
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

// raw changes the bytes of good answers.
func raw(change func([]byte) []byte) func(http.Handler) http.Handler {
	return func(good http.Handler) http.Handler {
		return onFilter(good, func(rw http.ResponseWriter, r *http.Request, _ []byte) {
			rec := httptest.NewRecorder()
			good.ServeHTTP(rec, r)
			if rec.Code != http.StatusOK {
				replay(rw, rec)
				return
			}
			rw.Header().Set("Content-Type", "application/json")
			_, _ = rw.Write(change(rec.Body.Bytes()))
		})
	}
}

func protocolMistakes() []wrong {
	// instead answers f's way when it says so, and like the good worker otherwise.
	instead := func(f func(rw http.ResponseWriter, r *http.Request, body []byte) bool) func(http.Handler) http.Handler {
		return func(good http.Handler) http.Handler {
			return onFilter(good, func(rw http.ResponseWriter, r *http.Request, body []byte) {
				if !f(rw, r, body) {
					good.ServeHTTP(rw, r)
				}
			})
		}
	}
	return []wrong{
		{name: "no relationships at all", caught: "core/relationships", make: instead(func(rw http.ResponseWriter, _ *http.Request, body []byte) bool {
			if bytes.Contains(body, []byte(`"relationships"`)) {
				send(rw, http.StatusNotImplemented, doc{"description": "nodes only", "error": "not_implemented"})
				return true
			}
			return false
		})},
		{name: "fails on empty data", caught: "core/empty-nodes", make: instead(func(rw http.ResponseWriter, _ *http.Request, body []byte) bool {
			if bytes.HasSuffix(body, []byte(`"data":[]}`)) {
				send(rw, http.StatusBadRequest, doc{"description": "no data", "error": "invalid_request"})
				return true
			}
			return false
		})},
		{name: "redirects", caught: "core/nodes", make: instead(func(rw http.ResponseWriter, r *http.Request, _ []byte) bool {
			http.Redirect(rw, r, "/elsewhere", http.StatusTemporaryRedirect)
			return true
		})},
		{name: "gzip unasked", caught: "core/nodes", make: func(good http.Handler) http.Handler {
			return onFilter(good, func(rw http.ResponseWriter, r *http.Request, _ []byte) {
				rec := httptest.NewRecorder()
				good.ServeHTTP(rec, r)
				rw.Header().Set("Content-Encoding", "gzip")
				rw.WriteHeader(rec.Code)
				z := gzip.NewWriter(rw)
				_, _ = z.Write(rec.Body.Bytes())
				_ = z.Close()
			})
		}},
		{name: "errors with status 200", caught: "core/refuses-malformed-json", make: func(good http.Handler) http.Handler {
			return onFilter(good, func(rw http.ResponseWriter, r *http.Request, _ []byte) {
				rec := httptest.NewRecorder()
				good.ServeHTTP(rec, r)
				rec.Code = http.StatusOK
				replay(rw, rec)
			})
		}},
		{name: "errors without a body", caught: "core/refuses-malformed-json", make: func(good http.Handler) http.Handler {
			return onFilter(good, func(rw http.ResponseWriter, r *http.Request, _ []byte) {
				rec := httptest.NewRecorder()
				good.ServeHTTP(rec, r)
				if rec.Code != http.StatusOK {
					rw.WriteHeader(rec.Code)
					return
				}
				replay(rw, rec)
			})
		}},
		{name: "errors as HTML", caught: "core/token-missing", make: func(good http.Handler) http.Handler {
			return onFilter(good, func(rw http.ResponseWriter, r *http.Request, _ []byte) {
				if r.Header.Get("Authorization") == "" {
					http.Error(rw, "<h1>Unauthorized</h1>", http.StatusUnauthorized)
					return
				}
				good.ServeHTTP(rw, r)
			})
		}},
		{name: "an unknown type passes through", caught: "core/refuses-unknown-type", make: instead(func(rw http.ResponseWriter, _ *http.Request, body []byte) bool {
			if bytes.Contains(body, []byte(`"edges"`)) {
				send(rw, http.StatusOK, doc{"result": doc{"edges": []any{}}})
				return true
			}
			return false
		})},
		{name: "falls over bad JSON", caught: "core/refuses-malformed-json", make: instead(func(rw http.ResponseWriter, _ *http.Request, body []byte) bool {
			if !json.Valid(body) {
				send(rw, http.StatusInternalServerError, doc{"description": "Traceback", "error": "internal"})
				return true
			}
			return false
		})},
		{name: "body limit too small", caught: "robust/many-nodes", make: instead(func(rw http.ResponseWriter, _ *http.Request, body []byte) bool {
			if len(body) > 100<<10 {
				send(rw, http.StatusRequestEntityTooLarge, doc{"description": "too large", "error": "too_large"})
				return true
			}
			return false
		})},
		{name: "slow", caught: "robust/many-nodes", make: func(good http.Handler) http.Handler {
			return onFilter(good, func(rw http.ResponseWriter, r *http.Request, body []byte) {
				timer := time.NewTimer(time.Duration(len(body)) * 10 * time.Microsecond)
				defer timer.Stop()
				select {
				case <-timer.C:
					good.ServeHTTP(rw, r)
				case <-r.Context().Done():
				}
			})
		}, change: func(o *workertest.Options) { o.AnswerWithin = 1500 * time.Millisecond }},
		{name: "needs Content-Length", caught: "robust/body-without-length", make: func(good http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.ContentLength < 0 {
					send(rw, http.StatusLengthRequired, doc{"description": "length", "error": "length_required"})
					return
				}
				good.ServeHTTP(rw, r)
			})
		}},
		{name: "strict about the top level", caught: "robust/unknown-members", make: instead(func(rw http.ResponseWriter, _ *http.Request, body []byte) bool {
			if bytes.Contains(body, []byte(`"trace"`)) {
				send(rw, http.StatusBadRequest, doc{"description": "unknown member", "error": "invalid_request"})
				return true
			}
			return false
		})},
	}
}

func tokenMistakes(is *workertest.Issuer) []wrong {
	now := func() float64 { return float64(time.Now().Unix()) }
	own := func(h, c doc) bool { return h["alg"] == "RS256" && c["iss"] == is.URL() }
	return []wrong{
		{name: "no token needed", caught: "core/token-missing", make: func(good http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "" {
					t, err := is.Token("alice")
					if err != nil {
						http.Error(rw, err.Error(), http.StatusInternalServerError)
						return
					}
					r.Header.Set("Authorization", "Bearer "+t)
				}
				good.ServeHTTP(rw, r)
			})
		}},
		{name: "any token will do", caught: "core/token-garbage", make: func(good http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" {
					t, err := is.Token("alice")
					if err != nil {
						http.Error(rw, err.Error(), http.StatusInternalServerError)
						return
					}
					r.Header.Set("Authorization", "Bearer "+t)
				}
				good.ServeHTTP(rw, r)
			})
		}},
		{name: "takes expired tokens", caught: "core/token-expired", make: careless(is, func(h, c doc) bool {
			exp, _ := c["exp"].(float64)
			return own(h, c) && exp < now()
		})},
		{name: "takes alg none", caught: "core/token-alg-none", make: careless(is, func(h, _ doc) bool { return h["alg"] == "none" })},
		{name: "takes any issuer", caught: "core/token-wrong-issuer", make: careless(is, func(_, c doc) bool { return c["iss"] != is.URL() })},
		{name: "takes any signature", caught: "core/token-wrong-key", make: careless(is, func(h, c doc) bool {
			exp, _ := c["exp"].(float64)
			return own(h, c) && exp > now() && c["nbf"] == nil
		})},
		{name: "takes any audience", caught: "robust/token-wrong-audience", make: careless(is, func(h, c doc) bool {
			aud, _ := c["aud"].([]any)
			return own(h, c) && len(aud) == 1 && aud[0] != workertest.Audience
		})},
		{name: "takes tokens before their time", caught: "robust/token-not-yet-valid", make: careless(is, func(h, c doc) bool {
			nbf, _ := c["nbf"].(float64)
			return own(h, c) && nbf > now()
		})},
		{name: "takes HMAC with the public key", caught: "robust/token-public-key-as-secret", make: careless(is, func(h, _ doc) bool { return h["alg"] == "HS256" })},
		{name: "403 for a bad token", caught: "core/token-missing", make: func(good http.Handler) http.Handler {
			return onFilter(good, func(rw http.ResponseWriter, r *http.Request, _ []byte) {
				rec := httptest.NewRecorder()
				good.ServeHTTP(rec, r)
				if rec.Code == http.StatusUnauthorized {
					rec.Code = http.StatusForbidden
				}
				replay(rw, rec)
			})
		}},
		{name: "a refusal with the data", caught: "core/token-missing", make: func(good http.Handler) http.Handler {
			return onFilter(good, func(rw http.ResponseWriter, r *http.Request, body []byte) {
				if r.Header.Get("Authorization") == "" {
					send(rw, http.StatusUnauthorized, doc{"description": "no token for " + string(body), "error": "invalid_token"})
					return
				}
				good.ServeHTTP(rw, r)
			})
		}},
		{name: "guards nodes only", caught: "core/token-missing", make: func(good http.Handler) http.Handler {
			return onFilter(good, func(rw http.ResponseWriter, r *http.Request, body []byte) {
				if bytes.Contains(body, []byte(`"type":"relationships"`)) {
					t, err := is.Token("alice")
					if err != nil {
						http.Error(rw, err.Error(), http.StatusInternalServerError)
						return
					}
					r.Header.Set("Authorization", "Bearer "+t)
				}
				good.ServeHTTP(rw, r)
			})
		}},
	}
}

// throughFloats does to numbers what many JSON libraries do.
func throughFloats(e doc) {
	p, _ := e["properties"].(doc)
	for k, v := range p {
		if n, ok := v.(json.Number); ok {
			if f, err := n.Float64(); err == nil {
				p[k] = f
			}
		}
	}
}

func valueMistakes() []wrong {
	return []wrong{
		{name: "numbers through float64", caught: "robust/big-numbers", make: each(throughFloats)},
		{name: "numbers through float64, with leave to mask", caught: "robust/big-numbers", make: each(throughFloats),
			change: func(o *workertest.Options) { o.Mask = true }},
		{name: "loses unicode", caught: "robust/unicode", make: raw(func(b []byte) []byte {
			return bytes.Map(func(r rune) rune {
				if r > 0x7f {
					return '?'
				}
				return r
			}, b)
		})},
		{name: "drops nulls", caught: "robust/nested-values", make: each(func(e doc) {
			if p, ok := e["properties"].(doc); ok && p["probe"] == nil {
				delete(p, "probe")
			}
		})},
		{name: "flattens nested values", caught: "robust/nested-values", make: each(func(e doc) {
			if p, ok := e["properties"].(doc); ok {
				switch p["probe"].(type) {
				case []any, map[string]any:
					p["probe"] = fmt.Sprint(p["probe"])
				}
			}
		})},
		{name: "cuts long values", caught: "robust/long-values", make: each(func(e doc) {
			if p, ok := e["properties"].(doc); ok {
				if s, ok := p["probe"].(string); ok && len(s) > 4096 {
					p["probe"] = s[:4096]
				}
			}
		})},
		{name: "loses odd names", caught: "robust/odd-names", make: each(func(e doc) {
			if p, ok := e["properties"].(doc); ok && p["__proto__"] != nil {
				delete(p, "__proto__")
				p["proto"] = true
			}
		})},
		{name: "folds ids", caught: "robust/odd-ids", make: each(func(e doc) { e["elementId"] = strings.ToLower(e["elementId"].(string)) })},
	}
}

func loadMistakes() []wrong {
	var busy atomic.Int64
	var mu sync.Mutex
	var last []byte
	return []wrong{
		{name: "one caller at a time", caught: "robust/concurrent-callers", make: func(good http.Handler) http.Handler {
			return onFilter(good, func(rw http.ResponseWriter, r *http.Request, _ []byte) {
				if busy.Add(1) > 4 {
					busy.Add(-1)
					send(rw, http.StatusInternalServerError, doc{"description": "dictionary changed size", "error": "internal"})
					return
				}
				defer busy.Add(-1)
				good.ServeHTTP(rw, r)
			})
		}, judge: slowly},
		{name: "answers mixed up between callers", caught: "robust/concurrent-callers", make: func(good http.Handler) http.Handler {
			return onFilter(good, func(rw http.ResponseWriter, r *http.Request, body []byte) {
				if _, _, ok := claimsOf(r); !ok || !json.Valid(body) {
					good.ServeHTTP(rw, r)
					return
				}
				mu.Lock()
				last = body // shared by all requests
				mu.Unlock()
				timer := time.NewTimer(2 * time.Millisecond)
				defer timer.Stop()
				<-timer.C
				mu.Lock()
				mine := last
				mu.Unlock()
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(mine)), int64(len(mine))
				good.ServeHTTP(rw, r)
			})
		}, change: func(o *workertest.Options) { o.Elements = 200 }},
	}
}

// slowly is mild, and takes its time.
func slowly(ctx context.Context, p *worker.Principal, e worker.Element) worker.Verdict {
	timer := time.NewTimer(50 * time.Microsecond)
	defer timer.Stop()
	<-timer.C
	return mild(ctx, p, e)
}

func lawMistakes() []wrong {
	var calls atomic.Int64
	var seen sync.Map
	var mu sync.Mutex
	var firsts []bool
	return []wrong{
		{name: "shows every other element", caught: "laws/restriction", make: byElement(func(i int, _ json.RawMessage, _ []json.RawMessage) bool { return i%2 == 0 })},
		{name: "hides the last element", caught: "laws/restriction", make: byElement(func(i int, _ json.RawMessage, all []json.RawMessage) bool { return i < len(all)-1 || len(all) > 2000 })},
		{name: "quota of elements", caught: "laws/restriction", make: byElement(func(i int, _ json.RawMessage, _ []json.RawMessage) bool { return i < 20 })},
		{name: "hides large batches", caught: "laws/parts-of-many", make: byElement(func(_ int, _ json.RawMessage, all []json.RawMessage) bool { return len(all) < 2000 })},
		{name: "hides singles", caught: "laws/one-by-one", make: byElement(func(_ int, _ json.RawMessage, all []json.RawMessage) bool { return len(all) > 1 })},
		{name: "another answer each time", caught: "laws/repeatable", make: byElement(func(i int, _ json.RawMessage, _ []json.RawMessage) bool { return (calls.Add(1)+int64(i))%3 != 0 })},
		{name: "caches by position", caught: "laws/order-free", make: byElement(func(i int, e json.RawMessage, all []json.RawMessage) bool {
			if len(all) != 160 {
				return !bytes.Contains(e, []byte("Secret"))
			}
			mu.Lock()
			defer mu.Unlock()
			for len(firsts) <= i {
				firsts = append(firsts, !bytes.Contains(all[len(firsts)], []byte("Secret")))
			}
			return firsts[i]
		})},
		{name: "shows each element once", caught: "laws/repeatable", make: byElement(func(_ int, e json.RawMessage, _ []json.RawMessage) bool {
			_, again := seen.LoadOrStore(string(e), true)
			return !again
		})},
	}
}

func run(t *testing.T, o workertest.Options) *workertest.Report {
	t.Helper()
	r, err := workertest.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// find returns the outcome of a case, given as level/name.
func find(t *testing.T, r *workertest.Report, name string) workertest.Case {
	t.Helper()
	for _, c := range r.Cases {
		if string(c.Level)+"/"+c.Name == name {
			return c
		}
	}
	t.Fatalf("no case %s was run", name)
	return workertest.Case{}
}

func table(r *workertest.Report) string {
	var b strings.Builder
	if err := r.WriteTable(&b); err != nil {
		return err.Error()
	}
	return b.String()
}

func TestWrongWorkersAreCaught(t *testing.T) {
	is := newIssuer(t)
	var all []wrong
	for _, group := range [][]wrong{
		infoMistakes(), shapeMistakes(), protocolMistakes(), tokenMistakes(is), valueMistakes(), loadMistakes(), lawMistakes(),
	} {
		all = append(all, group...)
	}
	if len(all) < 25 {
		t.Fatalf("only %d wrong workers", len(all))
	}
	for _, w := range all {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			good := newWorker(t, is, func(c *worker.Config) {
				if w.judge != nil {
					c.Judge = w.judge
				}
			})
			s := httptest.NewServer(w.make(good.Handler()))
			defer s.Close()
			o := workertest.Options{
				URL: s.URL + worker.DefaultPath, UUID: testUUID, Tokens: is, Elements: 3000, Callers: 16, Seed: 7,
				AnswerWithin: 10 * time.Second,
			}
			o.Only = []string{w.caught}
			if w.change != nil {
				w.change(&o)
			}
			r := run(t, o)
			c := find(t, r, w.caught)
			if c.Status != workertest.Fail || c.Detail == "" {
				t.Fatalf("case %s is %s %q\n%s", w.caught, c.Status, c.Detail, table(r))
			}
			t.Log(c.Detail)
		})
	}
}

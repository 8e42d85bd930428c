package workertest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/muster-fleet/muster/workers/workertest"
)

// instead answers f's way when it says so, and like the good worker otherwise.
func instead(f func(rw http.ResponseWriter, r *http.Request, body []byte) bool) func(http.Handler) http.Handler {
	return func(good http.Handler) http.Handler {
		return onFilter(good, func(rw http.ResponseWriter, r *http.Request, body []byte) {
			if !f(rw, r, body) {
				good.ServeHTTP(rw, r)
			}
		})
	}
}

func protocolMistakes() []wrong {
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
	}
}

// troubleMistakes are workers that traffic breaks.
func troubleMistakes() []wrong {
	return []wrong{
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
				if r.Header.Get("Authorization") == "" && !asAlice(is, rw, r) {
					return
				}
				good.ServeHTTP(rw, r)
			})
		}},
		{name: "any token will do", caught: "core/token-garbage", make: func(good http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" && !asAlice(is, rw, r) {
					return
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

package workertest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
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
		return onGood(good, func(rw http.ResponseWriter, rec *httptest.ResponseRecorder, _ []byte) {
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
	maps.Copy(rw.Header(), rec.Header())
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

// onGood is onFilter with what the good worker answers: f is called when that is a
// verdict, and every refusal stands as it is.
func onGood(good http.Handler, f func(rw http.ResponseWriter, rec *httptest.ResponseRecorder, body []byte)) http.Handler {
	return onFilter(good, func(rw http.ResponseWriter, r *http.Request, body []byte) {
		rec := httptest.NewRecorder()
		good.ServeHTTP(rec, r)
		if rec.Code != http.StatusOK {
			replay(rw, rec)
			return
		}
		f(rw, rec, body)
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

// asAlice gives a request the token of alice, and reports whether it could.
func asAlice(is *workertest.Issuer, rw http.ResponseWriter, r *http.Request) bool {
	t, err := is.Token("alice")
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return false
	}
	r.Header.Set("Authorization", "Bearer "+t)
	return true
}

// careless wraps a verifier and takes, beside its good tokens, those that accept
// waves through.
func careless(is *workertest.Issuer, accept func(header, claims doc) bool) func(http.Handler) http.Handler {
	return func(good http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if header, claims, ok := claimsOf(r); ok && accept(header, claims) && !asAlice(is, rw, r) {
				return
			}
			good.ServeHTTP(rw, r)
		})
	}
}

// byElement answers each request with the elements that show lets through, with
// their own bytes, after the good worker has approved of the request.
func byElement(show func(i int, raw json.RawMessage, all []json.RawMessage) bool) func(http.Handler) http.Handler {
	return func(good http.Handler) http.Handler {
		return onGood(good, func(rw http.ResponseWriter, rec *httptest.ResponseRecorder, body []byte) {
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

// raw changes the bytes of good answers.
func raw(change func([]byte) []byte) func(http.Handler) http.Handler {
	return func(good http.Handler) http.Handler {
		return onGood(good, func(rw http.ResponseWriter, rec *httptest.ResponseRecorder, _ []byte) {
			rw.Header().Set("Content-Type", "application/json")
			_, _ = rw.Write(change(rec.Body.Bytes()))
		})
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
		infoMistakes(), shapeMistakes(), protocolMistakes(), troubleMistakes(), tokenMistakes(is), valueMistakes(), loadMistakes(), lawMistakes(),
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

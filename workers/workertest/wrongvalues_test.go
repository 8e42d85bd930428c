package workertest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/muster-fleet/muster/workers/worker"
	"github.com/muster-fleet/muster/workers/workertest"
)

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

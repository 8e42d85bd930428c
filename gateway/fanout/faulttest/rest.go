package faulttest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Verdict is what a test's worker says of one element.
type Verdict struct {
	Hide  bool
	Strip []string
	Mask  map[string]json.RawMessage
}

// Decide judges an element by its kind and id.
type Decide func(kind, id string) Verdict

// Calls counts what a worker got.
type Calls struct {
	mu       sync.Mutex
	headers  []http.Header
	elements map[string]int
}

// Headers returns the header fields (over gRPC: the metadata) of every call.
func (c *Calls) Headers() []http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]http.Header(nil), c.headers...)
}

// Elements returns how often each element was asked about.
func (c *Calls) Elements() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.elements)
}

func (c *Calls) note(h http.Header, ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h != nil {
		c.headers = append(c.headers, h)
	}
	if c.elements == nil {
		c.elements = map[string]int{}
	}
	for _, id := range ids {
		c.elements[id]++
	}
}

// REST serves a well-behaved worker over plain HTTP and returns its URL.
// Reformat makes it write its answer anew instead of echoing bytes.
func REST(t testing.TB, decide Decide, reformat bool) (url string, calls *Calls) {
	t.Helper()
	calls = &Calls{}
	srv := httptest.NewServer(Handler(decide, reformat, calls))
	t.Cleanup(srv.Close)
	return srv.URL + "/api/filter", calls
}

// Handler is the worker behind REST.
func Handler(decide Decide, reformat bool, calls *Calls) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Parameters struct {
				Type string `json:"type"`
			} `json:"parameters"`
			Data []json.RawMessage `json:"data"`
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, `{"error":"bad","description":"not JSON"}`, http.StatusBadRequest)
			return
		}
		var ids []string
		kept := []json.RawMessage{}
		for _, raw := range in.Data {
			id := idOf(raw)
			ids = append(ids, id)
			if v := decide(in.Parameters.Type, id); !v.Hide {
				kept = append(kept, rewrite(raw, v, reformat))
			}
		}
		calls.note(r.Header.Clone(), ids)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"result":{"` + in.Parameters.Type + `":[`))
		_, _ = w.Write(bytes.Join(rawSlices(kept), []byte(",")))
		_, _ = w.Write([]byte(`]}}`))
	})
}

func rawSlices(in []json.RawMessage) [][]byte {
	out := make([][]byte, len(in))
	for i := range in {
		out[i] = in[i]
	}
	return out
}

func idOf(raw []byte) string {
	var e struct {
		ElementID string `json:"elementId"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return ""
	}
	return e.ElementID
}

func rewrite(raw json.RawMessage, v Verdict, reformat bool) json.RawMessage {
	if len(v.Strip) == 0 && len(v.Mask) == 0 && !reformat {
		return raw
	}
	var e map[string]json.RawMessage
	if err := json.Unmarshal(raw, &e); err != nil {
		return raw
	}
	var props map[string]json.RawMessage
	if err := json.Unmarshal(e["properties"], &props); err != nil {
		return raw
	}
	for _, name := range v.Strip {
		delete(props, name)
	}
	for name, value := range v.Mask {
		if _, has := props[name]; has {
			props[name] = value
		}
	}
	e["properties"] = marshal(props)
	return marshal(e)
}

func marshal(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Raw serves connections by hand and returns host:port. serve gets each
// connection, which is closed when it returns or the test ends.
func Raw(t testing.TB, serve func(c net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		open = map[net.Conn]struct{}{}
		done bool
	)
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			if done {
				mu.Unlock()
				_ = c.Close()
				return
			}
			open[c] = struct{}{}
			mu.Unlock()
			wg.Go(func() {
				serve(c)
				_ = c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		done = true
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return ln.Addr().String()
}

// Take reads one HTTP request and returns its body.
func Take(c net.Conn) ([]byte, error) {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r.Body)
}

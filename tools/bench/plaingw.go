package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
)

// plainGo is the yardstick plain Go: the gateway that an afternoon makes, with
// net/http and encoding/json into maps. It merges, but it changes bytes on the
// way, takes duplicate names, and does not notice an invented id.
type plainGo struct {
	workers   []string
	transport *http.Transport
}

// ServeHTTP answers the nodes that every worker shows.
func (g *plainGo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var request map[string]any
	if err := json.Unmarshal(body, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	shown := make([]map[string]bool, len(g.workers))
	errs := make([]error, len(g.workers))
	var wg sync.WaitGroup
	for i, addr := range g.workers {
		wg.Go(func() { shown[i], errs[i] = g.ask(r.Context(), addr, body) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	kept := []any{}
	data, _ := request["data"].([]any)
	for _, element := range data {
		if seenByAll(shown, id(element)) {
			kept = append(kept, element)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	var out bytes.Buffer
	if err := json.NewEncoder(&out).Encode(map[string]any{"result": map[string]any{"nodes": kept}}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	// A failed write means that the client went away.
	_, _ = w.Write(out.Bytes())
}

// ask returns the ids that one worker shows.
func (g *plainGo) ask(ctx context.Context, addr string, body []byte) (map[string]bool, error) {
	resp, err := post(ctx, g.transport, addr, body)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or given up
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	result, _ := answer["result"].(map[string]any)
	nodes, _ := result["nodes"].([]any)
	for _, n := range nodes {
		ids[id(n)] = true
	}
	return ids, nil
}

func id(element any) string {
	m, _ := element.(map[string]any)
	s, _ := m["elementId"].(string)
	return s
}

func seenByAll(shown []map[string]bool, id string) bool {
	for _, s := range shown {
		if !s[id] {
			return false
		}
	}
	return true
}

package worker

import (
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func isOps(path string) bool {
	return path == "/livez" || path == "/readyz" || path == "/metrics"
}

// opsHandler answers /livez, /readyz and /metrics, without a token.
func (w *Worker) opsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(w.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(rw http.ResponseWriter, _ *http.Request) { writeReady(rw, nil) })
	mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, _ *http.Request) { writeReady(rw, w.notReady()) })
	return mux
}

// notReady names what keeps the worker from serving; empty when nothing does.
func (w *Worker) notReady() []string {
	var missing []string
	if w.stage.Load() != serving {
		missing = append(missing, "draining")
	}
	// A verifier of the author's own need not have keys.
	if v, ok := w.verifier.(interface{ KeysReady() bool }); ok && !v.KeysReady() {
		missing = append(missing, "keys")
	}
	return missing
}

func writeReady(rw http.ResponseWriter, missing []string) {
	status, word := http.StatusOK, "ok"
	if len(missing) > 0 {
		status, word = http.StatusServiceUnavailable, "unavailable"
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(status)
	// The status is out; a failed write means that the prober went away.
	_ = json.NewEncoder(rw).Encode(struct {
		Status  string   `json:"status"`
		Missing []string `json:"missing,omitempty"`
	}{word, missing})
}

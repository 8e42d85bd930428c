package edge

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is one condition of readiness.
type Check struct {
	Name string
	// Probe returns nil when the condition holds; its error's text is shown.
	Probe func(ctx context.Context) error
	// Degrades marks a condition that is told but keeps the gateway ready: it can
	// still answer filter requests.
	Degrades bool
	// Detail, when not nil, is shown beside the outcome, as JSON.
	Detail func() any
}

// checkTimeout bounds all readiness checks of one request together.
const checkTimeout = 2 * time.Second

// Ops is the handler of the operations listener: /metrics, /livez, /readyz and,
// when asked for, /debug/pprof. It takes no token and is meant for a port that
// only the platform reaches.
func Ops(gatherer prometheus.Gatherer, drain *Drain, checks []Check, withPprof bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { ready(w, r, drain, checks) })
	if withPprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return prompt(mux)
}

// readiness is the body of /readyz.
type readiness struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks"`
	// Details hold more of some checks.
	Details map[string]any `json:"details,omitempty"`
}

func ready(w http.ResponseWriter, r *http.Request, drain *Drain, checks []Check) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	out := readiness{Status: "ok", Checks: map[string]string{"serving": "ok"}}
	status := http.StatusOK
	fail := func(name, why string) {
		out.Status, out.Checks[name], status = "unavailable", why, http.StatusServiceUnavailable
	}
	if drain.Phase() != Serving {
		fail("serving", "shutting down")
	}
	for _, c := range checks {
		err := c.Probe(ctx)
		if c.Detail != nil {
			if out.Details == nil {
				out.Details = map[string]any{}
			}
			out.Details[c.Name] = c.Detail()
		}
		switch {
		case err == nil:
			out.Checks[c.Name] = "ok"
		case c.Degrades:
			out.Checks[c.Name] = "degraded: " + err.Error()
		default:
			fail(c.Name, err.Error())
		}
	}
	writeJSON(w, status, out)
}

// writeJSON answers with a JSON document. The status is out before the body, so
// a failed write can only mean that the caller went away.
func writeJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

package edge

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
)

// Header names of the filter endpoint.
const (
	headerRequestTimeout = "Request-Timeout"
	headerHops           = "Muster-Hops"
	headerDecision       = "Muster-Decision"
	headerRevision       = "Muster-Revision"
	headerComplete       = "Muster-Complete"
)

// requestTimeout returns how long a request may take: what its Request-Timeout
// header says (a Go duration such as 700ms, or decimal seconds), at most limit;
// def without the header.
func requestTimeout(h http.Header, def, limit time.Duration) (time.Duration, error) {
	values := h.Values(headerRequestTimeout)
	if len(values) == 0 {
		return min(def, limit), nil
	}
	if len(values) > 1 {
		return 0, fault.New(fault.Invalid, "invalid_request", "the header %s is there %d times; send it once", headerRequestTimeout, len(values))
	}
	d, ok := parseTimeout(values[0])
	if !ok {
		return 0, fault.New(fault.Invalid, "invalid_request",
			"the header %s is neither a duration such as 700ms nor decimal seconds above 0", headerRequestTimeout)
	}
	return min(d, limit), nil
}

// maxSeconds keeps a number of seconds within time.Duration.
const maxSeconds = 1e9

func parseTimeout(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if seconds, ok := decimalSeconds(s); ok {
		d := time.Duration(seconds * float64(time.Second))
		return d, d > 0
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d > 0
}

// decimalSeconds takes digits with at most one dot; ParseFloat alone would take
// hexadecimal, exponents, underscores, infinities and NaN as well.
func decimalSeconds(s string) (float64, bool) {
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, false
	}
	return min(f, maxSeconds), true
}

// hops returns how many gateways the request has been through.
func hops(h http.Header) (int, error) {
	values := h.Values(headerHops)
	if len(values) == 0 {
		return 0, nil
	}
	n, err := strconv.ParseUint(values[0], 10, 16)
	if err != nil || len(values) > 1 {
		return 0, fault.New(fault.Invalid, "invalid_request", "the header %s is not one small whole number", headerHops)
	}
	return int(n), nil
}

// checkMedia refuses a body that is not plain JSON. A missing Content-Type
// counts as JSON: the endpoint takes nothing else.
func checkMedia(h http.Header) error {
	if len(h.Values("Content-Encoding")) > 0 {
		return fault.New(fault.Unsupported, "unsupported_media_type", "the body must be sent as it is, without Content-Encoding")
	}
	ct := h.Get("Content-Type")
	if ct == "" {
		return nil
	}
	media, params, err := mime.ParseMediaType(ct)
	if err != nil || media != "application/json" {
		return fault.New(fault.Unsupported, "unsupported_media_type", "the body must be application/json")
	}
	if cs, ok := params["charset"]; ok && !strings.EqualFold(cs, "utf-8") {
		return fault.New(fault.Unsupported, "unsupported_media_type", "the body must be UTF-8")
	}
	return nil
}

// explainAsked reads ?explain=.
func explainAsked(r *http.Request) (bool, error) {
	if r.URL.RawQuery == "" {
		return false, nil
	}
	values := r.URL.Query()["explain"]
	switch {
	case len(values) == 0:
		return false, nil
	case len(values) == 1 && values[0] == "true":
		return true, nil
	case len(values) == 1 && values[0] == "false":
		return false, nil
	default:
		return false, fault.New(fault.Invalid, "invalid_request", "the query parameter explain is true or false, and there once")
	}
}

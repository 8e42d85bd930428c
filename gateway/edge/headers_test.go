package edge

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
)

func TestRequestTimeout(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{
		"700ms": 700 * time.Millisecond, "1.5": 1500 * time.Millisecond, "2": 2 * time.Second, ".5": 500 * time.Millisecond,
		"1m30s": 60 * time.Second, "60": time.Minute, "61": time.Minute, "999999999999999999999": time.Minute,
		" 3s ": 3 * time.Second,
		// not a time
		"": -1, "0": -1, "-1": -1, "-5s": -1, "0s": -1, "1e3": -1, "inf": -1, "NaN": -1, "0x10": -1, "1_000": -1, "soon": -1, "1.2.3": -1, ".": -1,
	} {
		got, err := requestTimeout(http.Header{headerRequestTimeout: {in}}, 10*time.Second, time.Minute)
		if want < 0 {
			if !fault.Is(err, "invalid_request") {
				t.Errorf("%q: got %v, %v; want invalid_request", in, got, err)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", in, got, err, want)
		}
	}
	if d, err := requestTimeout(http.Header{}, 10*time.Second, time.Minute); err != nil || d != 10*time.Second {
		t.Errorf("no header: %v, %v", d, err)
	}
	if _, err := requestTimeout(http.Header{headerRequestTimeout: {"1", "2"}}, time.Second, time.Minute); !fault.Is(err, "invalid_request") {
		t.Errorf("twice: %v, want invalid_request", err)
	}
}

func FuzzRequestTimeout(f *testing.F) {
	for _, s := range []string{"700ms", "1.5", "1e9", "9999999999h", "-1", "\x00", "1s2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := requestTimeout(http.Header{headerRequestTimeout: {s}}, time.Second, time.Minute)
		if err == nil && (d <= 0 || d > time.Minute) {
			t.Fatalf("%q became %v", s, d)
		}
	})
}

func TestHops(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{"0": 0, "8": 8, "9": 9, "65535": 65535, "": -1, "-1": -1, "1.0": -1, "65536": -1, "x": -1, "+1": -1} {
		got, err := hops(http.Header{headerHops: {in}})
		if want < 0 {
			if !fault.Is(err, "invalid_request") {
				t.Errorf("%q: %d, %v; want invalid_request", in, got, err)
			}
		} else if err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", in, got, err, want)
		}
	}
	if n, err := hops(http.Header{}); n != 0 || err != nil {
		t.Errorf("no header: %d, %v", n, err)
	}
}

func TestCheckMedia(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		h  http.Header
		ok bool
	}{
		{http.Header{}, true},
		{http.Header{"Content-Type": {"application/json"}}, true},
		{http.Header{"Content-Type": {"Application/JSON; charset=UTF-8"}}, true},
		{http.Header{"Content-Type": {"application/json; charset=latin1"}}, false},
		{http.Header{"Content-Type": {"text/plain"}}, false},
		{http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, false},
		{http.Header{"Content-Type": {"application/json; ="}}, false},
		{http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, false},
		{http.Header{"Content-Encoding": {"identity"}}, false},
	} {
		err := checkMedia(c.h)
		if (err == nil) != c.ok || (err != nil && fault.From(err).Kind != fault.Unsupported) {
			t.Errorf("%v: %v, want ok %v", c.h, err, c.ok)
		}
	}
}

func TestExplainAsked(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"": "false", "explain=true": "true", "explain=false": "false", "other=1": "false",
		"explain=1": "error", "explain=": "error", "explain=true&explain=true": "error",
	} {
		got, err := explainAsked(httptest.NewRequest(http.MethodPost, "/api/graph-security/filter?"+query, nil))
		switch {
		case want == "error":
			if !fault.Is(err, "invalid_request") {
				t.Errorf("%q: %v, %v; want invalid_request", query, got, err)
			}
		case err != nil || got != (want == "true"):
			t.Errorf("%q: %v, %v; want %s", query, got, err, want)
		}
	}
}

func TestBodyPoolClasses(t *testing.T) {
	t.Parallel()
	var p bodyPool
	for _, n := range []int64{0, 1, 4096, 4097, 1 << 20, 1<<20 + 1, 64 << 20, 64<<20 + 1} {
		b := p.get(n)
		if int64(cap(b)) < n || len(b) != 0 {
			t.Errorf("get(%d): len %d cap %d", n, len(b), cap(b))
		}
		p.put(b)
	}
	p.put(make([]byte, 0, 5000)) // of no class: dropped, not handed out too small
	if b := p.get(5000); cap(b) < 5000 {
		t.Errorf("got a buffer of %d for 5000", cap(b))
	}
}

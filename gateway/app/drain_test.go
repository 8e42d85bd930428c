package app_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/config"
	"github.com/muster-fleet/muster/workers/worker"
)

// get asks a listener without a token and returns the status, 0 when nobody
// answers.
func get(ctx context.Context, addr, path string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, http.NoBody)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// until polls until ok, and fails after five seconds.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func TestDrain(t *testing.T) {
	d := startDev(t, func(c *config.Config) {
		c.Drain = config.Drain{Grace: 700 * time.Millisecond, Timeout: 10 * time.Second}
	})
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	a := startWorker(t, d, restUUID, func(ctx context.Context, _ *worker.Principal, _ worker.Element) worker.Verdict {
		select {
		case asked <- struct{}{}:
		default: // told already
		}
		select {
		case <-answer:
		case <-ctx.Done():
		}
		return worker.Keep()
	})
	d.register(t, fmt.Sprintf(`{"url":"http://%s/api/filter","uuid":%q,"settings":{"timeout":"8s"}}`, a.REST, restUUID))
	alice := d.token(t, "alice")
	type outcome struct {
		status int
		body   string
	}
	slow := make(chan outcome, 1)
	go func() {
		resp, body := d.call(t, http.MethodPost, filterPath, alice, strings.Replace(twoNodes, `,
 {"elementId":"4:x:2","labels":[],"properties":{}}`, "", 1))
		slow <- outcome{resp.StatusCode, body}
	}()
	<-asked
	ctx := t.Context()
	if s := get(ctx, d.ops, "/readyz"); s != http.StatusOK {
		t.Fatalf("/readyz before the signal: %d", s)
	}
	signalled := time.Now()
	d.stop()
	until(t, "readiness goes off", func() bool { return get(ctx, d.ops, "/readyz") == http.StatusServiceUnavailable })
	if s := get(ctx, d.http, "/"); s != http.StatusOK && time.Since(signalled) < 500*time.Millisecond {
		t.Errorf("within the grace time GET / answers %d", s)
	}
	until(t, "new requests are refused", func() bool {
		resp, body := d.call(t, http.MethodPost, filterPath, alice, twoNodes, "Request-Timeout", "50ms")
		return resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(body, `"draining"`) && resp.Header.Get("Retry-After") != ""
	})
	if took := time.Since(signalled); took < 700*time.Millisecond {
		t.Errorf("refused after %v, within the grace time", took)
	}
	if s := get(ctx, d.ops, "/livez"); s != http.StatusOK {
		t.Errorf("the operations listener is gone while requests are in flight: %d", s)
	}
	close(answer)
	if o := <-slow; o.status != http.StatusOK {
		t.Errorf("the request in flight got %d %s", o.status, o.body)
	}
	d.end(t)
	if s := get(ctx, d.ops, "/livez"); s != 0 {
		t.Errorf("the operations listener still answers %d", s)
	}
}

package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/app"
	"github.com/muster-fleet/muster/gateway/config"
	"github.com/muster-fleet/muster/workers/worker"
)

const (
	restUUID = "11111111-1111-4111-8111-111111111111"
	grpcUUID = "22222222-2222-4222-8222-222222222222"
)

// startWorker runs a worker of the SDK until the test ends.
func startWorker(t *testing.T, d *dev, uuid string, judge worker.Func) worker.Addresses {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	listening := make(chan worker.Addresses, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- worker.Serve(ctx, worker.Config{
			UUID: uuid, Version: "1.0.0", Judge: judge, Masks: true,
			Auth: worker.Auth{Issuer: "http://" + d.issuer + "/realms/muster", Audience: worker.AudienceForward},
			Addr: "127.0.0.1:0", GRPCAddr: "127.0.0.1:0", DrainGrace: -1,
			Logger:    slog.New(slog.DiscardHandler),
			Listening: func(a worker.Addresses) { listening <- a },
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("worker: %v", err)
		}
	})
	select {
	case a := <-listening:
		return a
	case err := <-ended:
		ended <- err
		t.Fatalf("worker: %v", err)
		return worker.Addresses{}
	}
}

// register adds a worker and returns its record.
func (d *dev) register(t *testing.T, body string) map[string]any {
	t.Helper()
	resp, answer := d.call(t, http.MethodPost, "/api/workers", d.token(t, "admin"), body)
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("register: %d %s", resp.StatusCode, answer)
	}
	var rec map[string]any
	if err := json.Unmarshal([]byte(answer), &rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

// hideLabelFrom hides nodes of a label from everyone but one user.
func hideLabelFrom(label, user string) worker.Func {
	return func(_ context.Context, p *worker.Principal, e worker.Element) worker.Verdict {
		if p.Username == user {
			return worker.Keep()
		}
		if slices.Contains(e.Labels(), label) {
			return worker.Hide("label " + label)
		}
		return worker.Keep()
	}
}

func stripProperty(name string) worker.Func {
	return func(_ context.Context, _ *worker.Principal, e worker.Element) worker.Verdict {
		if _, ok := e.Property(name); ok {
			return worker.Strip(name)
		}
		return worker.Keep()
	}
}

const graph = `{"parameters":{"type":"graph"},"data":{"nodes":[
{"elementId":"1","labels":["Open"],"properties":{"name":"a","ssn":"1"}},
{"elementId":"2","labels":["Secret"],"properties":{"name":"b"}}],"relationships":[
{"elementId":"r1","type":"T","startNodeElementId":"1","endNodeElementId":"2","properties":{}},
{"elementId":"r2","type":"T","startNodeElementId":"1","endNodeElementId":"1","properties":{}},
{"elementId":"r3","type":"T","startNodeElementId":"1","endNodeElementId":"9","properties":{}}]}}`

func TestFleetOfRESTAndGRPCWorkers(t *testing.T) {
	d := startDev(t, nil)
	a := startWorker(t, d, restUUID, hideLabelFrom("Secret", "bob"))
	b := startWorker(t, d, grpcUUID, stripProperty("ssn"))
	d.register(t, fmt.Sprintf(`{"url":"http://%s/api/filter","uuid":"{%s}","name":"labels"}`, a.REST, strings.ToUpper(restUUID)))
	rec := d.register(t, fmt.Sprintf(`{"url":"grpc://%s","uuid":"%s","name":"strips"}`, b.GRPC, grpcUUID))
	if rec["transport"] != "grpc" || rec["version"] != "1.0.0" {
		t.Errorf("record %v", rec)
	}
	const (
		one    = `{"elementId":"1","labels":["Open"],"properties":{"name":"a"}}`
		two    = `{"elementId":"2","labels":["Secret"],"properties":{"name":"b"}}`
		r1     = `{"elementId":"r1","type":"T","startNodeElementId":"1","endNodeElementId":"2","properties":{}}`
		r2     = `{"elementId":"r2","type":"T","startNodeElementId":"1","endNodeElementId":"1","properties":{}}`
		answer = `{"result":{"nodes":[%s],"relationships":[%s]}}`
	)
	for user, want := range map[string]string{
		"alice": fmt.Sprintf(answer, one, r2),
		"bob":   fmt.Sprintf(answer, one+","+two, r1+","+r2),
	} {
		resp, body := d.call(t, http.MethodPost, filterPath, d.token(t, user), graph)
		if resp.StatusCode != http.StatusOK || compact(t, body) != want {
			t.Errorf("%s sees %d %s\nwant %s\n%s", user, resp.StatusCode, body, want, d.log)
		}
	}
	explained(t, d)
	paused(t, d)
}

// explained checks who hid what, for a caller who may know. admin is not bob.
func explained(t *testing.T, d *dev) {
	t.Helper()
	resp, body := d.call(t, http.MethodPost, filterPath+"?explain=true", d.token(t, "admin"), graph)
	var answer struct {
		Explain []struct {
			Kind, ElementID, Verdict string
			Properties               []string
			By                       []struct {
				Worker struct{ UUID, Name string }
				Rule   string
				Reason string
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("explain: %d %s", resp.StatusCode, body)
	}
	got := map[string]string{}
	for _, e := range answer.Explain {
		who := e.By[0].Worker.Name + e.By[0].Rule
		got[e.Kind+" "+e.ElementID] = e.Verdict + " by " + who + " " + strings.Join(e.Properties, ",")
	}
	for element, want := range map[string]string{
		"nodes 1": "stripped by strips ssn", "nodes 2": "hidden by labels ",
	} {
		if !strings.Contains(fmt.Sprint(got), want) {
			t.Errorf("%s: explanations %v, want %q", element, got, want)
		}
	}
	if len(answer.Explain) != 4 { // two nodes, and r1 and r3 by closure
		t.Errorf("%d explanations, want 4: %s", len(answer.Explain), body)
	}
}

// paused checks that a paused worker is not asked, from the next request on.
func paused(t *testing.T, d *dev) {
	t.Helper()
	admin := d.token(t, "admin")
	if resp, body := d.call(t, http.MethodPatch, "/api/workers/"+restUUID, admin, `{"active":false}`); resp.StatusCode != http.StatusOK {
		t.Fatalf("pause: %d %s", resp.StatusCode, body)
	}
	if _, body := d.call(t, http.MethodPost, filterPath, d.token(t, "alice"), graph); !strings.Contains(body, `"elementId":"2"`) {
		t.Errorf("with the labels worker paused alice still does not see 2: %s", body)
	}
	if resp, body := d.call(t, http.MethodDelete, "/api/workers/"+grpcUUID, admin, ""); resp.StatusCode/100 != 2 {
		t.Fatalf("delete: %d %s", resp.StatusCode, body)
	}
	if _, body := d.call(t, http.MethodPost, filterPath, d.token(t, "alice"), graph); !strings.Contains(body, `"ssn"`) {
		t.Errorf("with no worker left the input does not come back whole: %s", body)
	}
}

// serveBehind runs a second gateway that trusts the first one's issuer.
func serveBehind(t *testing.T, d *dev) *dev {
	t.Helper()
	cfg := config.Default()
	cfg.Rules.Enabled = false
	cfg.HTTP.Addr, cfg.GRPC.Addr, cfg.Ops.Addr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.Store = config.StoreURL("duckdb:" + filepath.Join(t.TempDir(), "outer.db"))
	cfg.Auth.Issuer, cfg.Auth.Audience = "http://"+d.issuer+"/realms/muster", "muster"
	cfg.Workers.AllowedCIDRs = append(cfg.Workers.AllowedCIDRs, netip.MustParsePrefix("127.0.0.0/8"))
	cfg.Drain = config.Drain{Grace: 10 * time.Millisecond, Timeout: 5 * time.Second}
	ctx, stop := context.WithCancel(t.Context())
	outer := &dev{issuer: d.issuer, log: &lockedBuffer{}, stop: stop, ended: make(chan error, 1)}
	out, w := io.Pipe()
	go func() {
		err := app.Serve(ctx, cfg, "outer", app.Streams{Out: w, Err: outer.log})
		_ = w.CloseWithError(io.EOF)
		outer.ended <- err
	}()
	t.Cleanup(func() { outer.end(t) })
	outer.readListening(t, out)
	return outer
}

func TestGatewayBehindAGateway(t *testing.T) {
	inner := startDev(t, nil)
	a := startWorker(t, inner, restUUID, hideLabelFrom("Secret", "bob"))
	inner.register(t, fmt.Sprintf(`{"url":"http://%s/api/filter","uuid":"%s","name":"labels"}`, a.REST, restUUID))
	_, info := inner.call(t, http.MethodGet, "/", "", "")
	var who struct{ UUID string }
	if err := json.Unmarshal([]byte(info), &who); err != nil {
		t.Fatal(err)
	}
	outer := serveBehind(t, inner)
	outer.register(t, fmt.Sprintf(`{"url":"http://%s%s","uuid":"%s","name":"cell"}`, inner.http, filterPath, who.UUID))
	const nodes = `{"parameters":{"type":"nodes"},"data":[{"elementId":"1","labels":["Open"],"properties":{}},{"elementId":"2","labels":["Secret"],"properties":{}}]}`
	for user, want := range map[string]string{
		"alice": `{"result":{"nodes":[{"elementId":"1","labels":["Open"],"properties":{}}]}}`,
		"bob":   `{"result":{"nodes":[{"elementId":"1","labels":["Open"],"properties":{}},{"elementId":"2","labels":["Secret"],"properties":{}}]}}`,
	} {
		resp, body := outer.call(t, http.MethodPost, filterPath, outer.token(t, user), nodes)
		if resp.StatusCode != http.StatusOK || body != want {
			t.Errorf("%s sees %d %s, want %s\n%s", user, resp.StatusCode, body, want, outer.log)
		}
	}
	t.Run("a loop ends", func(t *testing.T) { loops(t, inner, outer) })
	t.Run("itself", func(t *testing.T) {
		resp, body := inner.call(t, http.MethodPost, "/api/workers", inner.token(t, "admin"),
			fmt.Sprintf(`{"url":"http://%s%s","uuid":"%s"}`, inner.http, filterPath, who.UUID))
		if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, `"code":"self_registration"`) {
			t.Errorf("registering itself: %d %s", resp.StatusCode, body)
		}
	})
}

// loops registers the outer gateway with the inner one as well.
func loops(t *testing.T, inner, outer *dev) {
	t.Helper()
	_, info := outer.call(t, http.MethodGet, "/", "", "")
	var who struct{ UUID string }
	if err := json.Unmarshal([]byte(info), &who); err != nil {
		t.Fatal(err)
	}
	inner.register(t, fmt.Sprintf(`{"url":"http://%s%s","uuid":"%s","name":"a loop"}`, outer.http, filterPath, who.UUID))
	start := time.Now()
	resp, body := outer.call(t, http.MethodPost, filterPath, outer.token(t, "alice"), graph)
	if resp.StatusCode < 500 || time.Since(start) > 5*time.Second {
		t.Errorf("a loop of gateways: %d %s after %v", resp.StatusCode, body, time.Since(start))
	}
}

func TestWorkersWithoutTLSAreRefusedWhereItIsRequired(t *testing.T) {
	d := startDev(t, func(c *config.Config) { c.Workers.RequireTLS = true })
	for url, want := range map[string]string{
		"http://127.0.0.1:1/filter":  `"code":"bad_url"`,
		"grpc://127.0.0.1:1":         `"code":"bad_url"`,
		"https://127.0.0.1:1/filter": `"code":"unreachable"`,
		"grpcs://127.0.0.1:1":        `"code":"unreachable"`,
	} {
		resp, body := d.call(t, http.MethodPost, "/api/workers", d.token(t, "admin"), fmt.Sprintf(`{"url":%q,"uuid":%q}`, url, restUUID))
		if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want 422 %s", url, resp.StatusCode, body, want)
		}
	}
}

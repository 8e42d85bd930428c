package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/app"
	"github.com/muster-fleet/muster/gateway/config"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Idle connections of the tests' own HTTP client.
		goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"))
}

// dev is a running development gateway.
type dev struct {
	http, grpc, ops, issuer string
	log                     *lockedBuffer
	stop                    context.CancelFunc
	ended                   chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startDev runs a gateway on free ports until the test ends. change may alter
// the configuration.
func startDev(t *testing.T, change func(*config.Config)) *dev {
	t.Helper()
	cfg := config.Default()
	cfg.Rules.Enabled = false // most tests are about workers
	cfg.Drain = config.Drain{Grace: 50 * time.Millisecond, Timeout: 5 * time.Second}
	if change != nil {
		change(&cfg)
	}
	ctx, stop := context.WithCancel(t.Context())
	d := &dev{log: &lockedBuffer{}, stop: stop, ended: make(chan error, 1)}
	out, w := io.Pipe()
	go func() {
		err := app.Dev(ctx, cfg, app.DevOptions{
			DataDir: t.TempDir(), HTTP: "127.0.0.1:0", GRPC: "127.0.0.1:0", Ops: "127.0.0.1:0", Issuer: "127.0.0.1:0",
			Log: config.Log{Level: "debug", Format: "json"},
		}, "1.2.3-test", app.Streams{Out: w, Err: d.log})
		_ = w.CloseWithError(io.EOF)
		d.ended <- err
	}()
	t.Cleanup(func() { d.end(t) })
	d.readListening(t, out)
	return d
}

// readListening takes the addresses from the line on standard output.
func (d *dev) readListening(t *testing.T, out io.Reader) {
	t.Helper()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("no listening line: %v\n%s", err, d.log)
	}
	var l struct {
		Listening struct{ HTTP, GRPC, Ops, Issuer string }
	}
	if err := json.Unmarshal(line, &l); err != nil {
		t.Fatalf("listening line %q: %v", line, err)
	}
	d.http, d.grpc, d.ops = l.Listening.HTTP, l.Listening.GRPC, l.Listening.Ops
	if l.Listening.Issuer != "" {
		d.issuer = l.Listening.Issuer
	}
}

// end stops the gateway and demands an orderly end.
func (d *dev) end(t *testing.T) {
	t.Helper()
	d.stop()
	select {
	case err := <-d.ended:
		d.ended <- nil // for the next call
		if err != nil {
			t.Errorf("the gateway ended with %v\n%s", err, d.log)
		}
	case <-time.After(30 * time.Second):
		t.Errorf("the gateway does not end\n%s", d.log)
	}
}

// token logs a person in at the development issuer.
func (d *dev) token(t *testing.T, user string) string {
	t.Helper()
	resp, err := http.PostForm("http://"+d.issuer+"/realms/muster/protocol/openid-connect/token", url.Values{
		"grant_type": {"password"}, "client_id": {"muster-cli"}, "username": {user}, "password": {user},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || body.AccessToken == "" {
		t.Fatalf("token for %s: status %d, %v", user, resp.StatusCode, err)
	}
	return body.AccessToken
}

// call sends one request and returns the answer with its whole body.
func (d *dev) call(t *testing.T, method, path, token, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+d.http+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, string(data)
}

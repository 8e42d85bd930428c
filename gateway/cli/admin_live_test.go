package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// live is a gateway as "muster dev" runs it, with its own store and issuer.
type live struct {
	t           *testing.T
	url, issuer string
	tokens      map[string]string
	ids         map[string]string
}

// lockedBuffer takes what several goroutines write.
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

// startLive runs one until the test ends, with admin, alice and bob known to it.
func startLive(t *testing.T, environ ...string) *live {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	out, w := io.Pipe()
	errs, ended := &lockedBuffer{}, make(chan int, 1)
	go func() {
		code := Run(ctx, Process{
			Args: []string{
				"dev", "--data-dir", t.TempDir(), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--ops", "127.0.0.1:0",
				"--issuer", "127.0.0.1:0", "--log-level", "warn",
			},
			Environ: append([]string{"MUSTER_DRAIN_GRACE=0s"}, environ...), In: strings.NewReader(""), Out: w, Err: errs,
		})
		_ = w.Close() // a pipe's writer closes without failing
		ended <- code
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != ExitOK {
			t.Errorf("the gateway ended with %d: %s", code, errs)
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var said struct{ Listening map[string]string }
	if err != nil || json.Unmarshal(line, &said) != nil {
		t.Fatalf("the gateway said %q, %v: %s", line, err, errs)
	}
	g := &live{
		t: t, url: "http://" + said.Listening["http"], issuer: "http://" + said.Listening["issuer"],
		tokens: map[string]string{}, ids: map[string]string{},
	}
	for _, name := range []string{"admin", "alice", "bob"} {
		g.login(name)
	}
	return g
}

// login gets a token for somebody and waits until the gateway has stored who they
// are, which it does in the background.
func (g *live) login(name string) {
	g.t.Helper()
	got := run(g.t, nil, "dev", "token", name, "--issuer", g.issuer)
	got.want(g.t, ExitOK)
	g.tokens[name] = strings.TrimSpace(got.out)
	for deadline := time.Now().Add(30 * time.Second); g.ids[name] == ""; {
		var me struct {
			ID string `json:"user_id"`
		}
		r := g.as(name, "whoami", "-o", "json")
		r.want(g.t, ExitOK)
		if err := json.Unmarshal([]byte(r.out), &me); err != nil {
			g.t.Fatal(err)
		}
		if g.ids[name] = me.ID; me.ID == "" && time.Now().After(deadline) {
			g.t.Fatalf("%s never became known", name)
		}
	}
}

// as runs a command line with somebody's token, or with a token itself.
func (g *live) as(name string, args ...string) result {
	g.t.Helper()
	token, ok := g.tokens[name]
	if !ok {
		token = name
	}
	return run(g.t, []string{"MUSTER_URL=" + g.url, "MUSTER_TOKEN=" + token}, args...)
}

// admin runs a command of muster admin as the admin.
func (g *live) admin(args ...string) result {
	g.t.Helper()
	return g.as("admin", append([]string{"admin"}, args...)...)
}

// asked runs a command of muster admin on a terminal where somebody answers.
func (g *live) asked(answer string, args ...string) result {
	g.t.Helper()
	var out, errs bytes.Buffer
	code := Run(g.t.Context(), Process{
		Args: append([]string{"admin"}, args...), Environ: []string{"MUSTER_URL=" + g.url, "MUSTER_TOKEN=" + g.tokens["admin"]},
		In: strings.NewReader(answer), Out: &out, Err: &errs, Asks: true,
	})
	return result{code, out.String(), errs.String()}
}

// get is a member of a command's JSON.
func (r result) get(t *testing.T, member string) string {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil {
		t.Fatalf("%v in %s%s", err, r.out, r.err)
	}
	text, _ := doc[member].(string)
	return text
}

// lack demands that nothing of a command's output holds these.
func (r result) lack(t *testing.T, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(r.out+r.err, part) {
			t.Errorf("%q is in\nout: %s\nerr: %s", part, r.out, r.err)
		}
	}
}

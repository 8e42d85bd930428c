// Package examples runs the workers in other languages as they are deployed: as
// processes of their own, held against the contract.
package examples

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muster-fleet/muster/workers/workertest"
)

const testUUID = "0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11"

// languages are the example workers: how each is started once it is set up.
var languages = map[string]func(where string) []string{
	"python":     func(python string) []string { return []string{python, "python/worker.py"} },
	"typescript": func(script string) []string { return []string{"node", script} },
}

// command returns how a worker is started. Without its set-up the test fails, with
// the command to run: a suite that skips in silence proves nothing.
func command(t *testing.T, language string) []string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts child processes")
	}
	out, err := exec.CommandContext(t.Context(), "sh", language+"/setup.sh", "--where").Output()
	if err != nil {
		t.Fatal(err)
	}
	where := strings.TrimSpace(string(out))
	if _, err := os.Stat(where); err != nil {
		t.Fatalf("the %s worker is not set up; run: sh workers/examples/%s/setup.sh", language, language)
	}
	return languages[language](where)
}

// child is a running worker.
type child struct {
	cmd *exec.Cmd
	url string
}

// start runs a worker and waits for the line that tells where it listens.
func start(t *testing.T, language, issuer string) *child {
	t.Helper()
	args := command(t, language)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "HOST=127.0.0.1", "PORT=0",
		"WORKER_UUID=" + testUUID, "ISSUER=" + issuer, "AUDIENCE=" + workertest.Audience, "SECRET_GROUP=/cleared",
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Process.Kill()
		t.Fatalf("the worker ended before it listened: %v", errors.Join(err, cmd.Wait()))
	}
	var said struct{ Listening struct{ HTTP string } }
	if err := json.Unmarshal([]byte(line), &said); err != nil || said.Listening.HTTP == "" {
		_ = cmd.Process.Kill()
		t.Fatalf("not a listening line: %q", line)
	}
	c := &child{cmd: cmd, url: "http://" + said.Listening.HTTP + "/api/filter"}
	t.Cleanup(func() { c.stop(t) })
	return c
}

// stop asks the worker to end and expects that it does, cleanly.
func (c *child) stop(t *testing.T) {
	t.Helper()
	if c.cmd.ProcessState != nil {
		return
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	const patience = 30 * time.Second
	kill := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

func TestExamplesConform(t *testing.T) {
	for language := range languages {
		t.Run(language, func(t *testing.T) {
			is, err := workertest.NewIssuer(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer is.Close()
			c := start(t, language, is.URL())
			r := workertest.RunT(t, workertest.Options{URL: c.url, UUID: testUUID, Tokens: is, AnswerWithin: 30 * time.Second})
			if r.Level() != workertest.Laws {
				t.Errorf("level %s", r.Level())
			}
		})
	}
}

func post(t *testing.T, url, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// The policy of both: Secret for the cleared, ssn for nobody, every other byte as it came.
func TestExamplesPolicy(t *testing.T) {
	const (
		plain  = `{ "elementId" : "1", "labels":["A"], "properties":{"n":9007199254740993, "f":1.50,"e":1e400, "u":"\u00e9\ud83d\ude00"} }`
		secret = `{"elementId":"2","labels":["A","Secret"],"properties":{}}`
		ssn    = `{"elementId":"3","labels":[],"properties":{ "ssn":"1" , "a" : [1, 2.0] ,"b":{"ssn":"kept"} }}`
		less   = `{"elementId":"3","labels":[],"properties":{"a" : [1, 2.0],"b":{"ssn":"kept"}}}`
		only   = `{"elementId":"4","labels":[],"properties":{"s\u0073n":1}}`
		none   = `{"elementId":"4","labels":[],"properties":{}}`
	)
	for language := range languages {
		t.Run(language, func(t *testing.T) {
			is, err := workertest.NewIssuer(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer is.Close()
			c := start(t, language, is.URL())
			body := `{"parameters":{"type":"nodes"},"data":[` + strings.Join([]string{plain, secret, ssn, only}, " , ") + `]}`
			for _, who := range []struct {
				name   string
				groups []string
				want   []string
			}{
				{"alice", []string{"/cleared"}, []string{plain, secret, less, none}},
				{"bob", nil, []string{plain, less, none}},
			} {
				token, err := is.Token(who.name, who.groups...)
				if err != nil {
					t.Fatal(err)
				}
				status, got := post(t, c.url, token, body)
				if want := `{"result":{"nodes":[` + strings.Join(who.want, ",") + `]}}`; status != http.StatusOK || got != want {
					t.Errorf("%s: %d %s\nwant %s", who.name, status, got, want)
				}
			}
			token, err := is.Sign(map[string]any{"typ": "ID"})
			if err != nil {
				t.Fatal(err)
			}
			if status, got := post(t, c.url, token, body); status != http.StatusUnauthorized {
				t.Errorf("an ID token: %d %s", status, got)
			}
		})
	}
}

// An issuer that is down is no reason to show anything, nor to blame the token.
func TestExamplesWithoutIssuer(t *testing.T) {
	is, err := workertest.NewIssuer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token, err := is.Token("alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := is.Close(); err != nil {
		t.Fatal(err)
	}
	for language := range languages {
		t.Run(language, func(t *testing.T) {
			c := start(t, language, is.URL())
			status, got := post(t, c.url, token, `{"parameters":{"type":"nodes"},"data":[]}`)
			if status != http.StatusServiceUnavailable || !strings.Contains(got, "identity_unavailable") {
				t.Errorf("%d %s", status, got)
			}
		})
	}
}

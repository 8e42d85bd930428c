package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Enrol is a worker's wish to be in a gateway's registry. The call is repeated
// with growing pauses until the gateway takes the worker or the worker ends; a
// worker that is known already under the same URL counts as taken. The worker
// serves meanwhile.
type Enrol struct {
	// Gateway is the gateway's base URL, such as https://muster.example.org.
	Gateway string
	// URL is where the gateway reaches this worker: http(s)://host:port with Path,
	// or grpc(s)://host:port.
	URL string
	// Name is shown in the registry; empty leaves it to the gateway (host:port).
	Name string
	// Token returns a bearer token that may manage workers; it is called for every
	// attempt. See TokenFile. Tokens are never logged.
	Token func(ctx context.Context) (string, error)
	// Settings are sent as they are: the members of "settings" in the fleet API,
	// such as {"timeout": "2s", "mask": true}; nil leaves the gateway's defaults.
	Settings map[string]any
	// Client makes the calls; nil means one with a timeout of 15 s that follows no
	// redirects.
	Client *http.Client
	// FirstPause and MaxPause bound the pauses between attempts (1 s, 30 s).
	FirstPause, MaxPause time.Duration
}

// TokenFile returns an Enrol.Token that reads the token from a file each time, so
// that a rotated token is picked up.
func TokenFile(path string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read the token file: %w", err)
		}
		bearer := strings.TrimSpace(string(text))
		if bearer == "" {
			return "", fmt.Errorf("the token file %s is empty", path)
		}
		return bearer, nil
	}
}

// enrolsAt tells, in the line that every worker logs when it begins, whether it
// enrols: whoever has MUSTER_URL in his environment may not mean it to.
func (w *Worker) enrolsAt() slog.Attr {
	if w.cfg.Enrol == nil {
		return slog.String("enrolsAt", "nowhere")
	}
	return slog.String("enrolsAt", w.cfg.Enrol.Gateway)
}

func (e *Enrol) mistakes() []error {
	var bad []error
	if u, err := url.Parse(e.Gateway); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		// It is logged, and paths are appended to it.
		bad = append(bad, errors.New("Enrol.Gateway must be an absolute http or https URL without user information, query and fragment"))
	}
	if u, err := url.Parse(e.URL); err != nil || u.Host == "" {
		bad = append(bad, errors.New("Enrol.URL must be the absolute URL at which the gateway reaches this worker"))
	}
	if e.Token == nil {
		bad = append(bad, errors.New("Enrol.Token is missing; registering needs a token that may manage workers"))
	}
	return bad
}

// enrol registers the worker, trying until it is taken or ctx ends.
func (w *Worker) enrol(ctx context.Context) {
	e := w.cfg.Enrol
	pause, most := or(e.FirstPause, time.Second), or(e.MaxPause, 30*time.Second)
	for {
		err := e.register(ctx, w.cfg.UUID)
		if err == nil {
			w.metrics.enrolled.Set(1)
			w.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "enrolled at the gateway", slog.String("gateway", e.Gateway))
			return
		}
		if ctx.Err() != nil {
			return
		}
		// Half of the pause is jitter: replicas started together spread out.
		wait := pause/2 + rand.N(pause/2+1)
		w.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "not enrolled yet; trying again",
			slog.String("gateway", e.Gateway), slog.String("error", err.Error()), slog.Duration("in", wait))
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(pause*2, most)
	}
}

// registration is the body of POST /api/workers.
type registration struct {
	URL      string         `json:"url"`
	UUID     string         `json:"uuid"`
	Name     string         `json:"name,omitempty"`
	Settings map[string]any `json:"settings,omitempty"`
	// Enrols makes a repetition of what is registered already a success.
	Enrols bool `json:"enrols"`
}

func (e *Enrol) register(ctx context.Context, uuid string) error {
	bearer, err := e.Token(ctx)
	if err != nil {
		return fmt.Errorf("get a token: %w", err)
	}
	body, err := json.Marshal(registration{URL: e.URL, UUID: uuid, Name: e.Name, Settings: e.Settings, Enrols: true})
	if err != nil {
		return fmt.Errorf("encode the registration: %w", err)
	}
	target := strings.TrimSuffix(e.Gateway, "/") + "/api/workers"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.client().Do(req)
	if err != nil {
		return fmt.Errorf("call the gateway: %w", err)
	}
	defer resp.Body.Close()
	const most = 64 << 10
	answer, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusCreated {
		return nil
	}
	return refusal(resp.StatusCode, answer)
}

// refusal reads what a gateway says against a registration.
func refusal(status int, answer []byte) error {
	var p struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal(answer, &p); err != nil || p.Code == "" {
		return fmt.Errorf("the gateway answered %d", status)
	}
	return fmt.Errorf("the gateway answered %d %s: %s", status, p.Code, p.Detail)
}

func (e *Enrol) client() *http.Client {
	if e.Client != nil {
		return e.Client
	}
	const timeout = 15 * time.Second
	return &http.Client{
		Timeout: timeout,
		// A token must not follow a redirect to another address.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

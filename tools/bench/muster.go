package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// gateway is a running Muster with its workers registered.
type gateway struct {
	*child
	http, issuer, ops string
	client            *http.Client
}

// startMuster runs "muster dev" without rules, with its data in dir and env beside this
// process's environment, and waits until it is ready.
func startMuster(ctx context.Context, bin, dir string, env ...string) (*gateway, error) {
	issuer, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	c, err := start(ctx, "muster", bin, append([]string{"MUSTER_LOG_LEVEL=error", "MUSTER_RULES_ENABLED=false"}, env...), "dev", "--data-dir", dir,
		"--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--ops", "127.0.0.1:0", "--issuer", issuer)
	if err != nil {
		return nil, err
	}
	g := &gateway{child: c, issuer: issuer, client: &http.Client{Timeout: 30 * time.Second, Transport: newTransport()}}
	err = g.listening()
	if err == nil {
		err = g.untilReady(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("muster dev: %w", err), c.stop())
	}
	return g, nil
}

// listening reads the line that tells the addresses.
func (g *gateway) listening() error {
	for {
		line, err := g.lines.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("it ended without a listening line: %w", err)
		}
		var said struct {
			Listening struct {
				HTTP string `json:"http"`
				Ops  string `json:"ops"`
			} `json:"listening"`
		}
		if json.Unmarshal(line, &said) == nil && said.Listening.HTTP != "" {
			g.http, g.ops = said.Listening.HTTP, said.Listening.Ops
			g.addrs = []string{g.http}
			// What it prints later is not for us, but its pipe must not fill up.
			go func() { _, _ = io.Copy(io.Discard, g.lines) }()
			return nil
		}
	}
}

// untilReady waits for /readyz.
func (g *gateway) untilReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		_, err := g.send(ctx, http.MethodGet, "http://"+g.ops+"/readyz", "", "", nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		case <-again.C:
		}
	}
}

// token gets a token for a person of the development issuer, whose password is
// the name.
func (g *gateway) token(ctx context.Context, user string) (string, error) {
	form := url.Values{"grant_type": {"password"}, "client_id": {"muster-cli"}, "username": {user}, "password": {user}}
	body, err := g.send(ctx, http.MethodPost, "http://"+g.issuer+"/realms/muster/protocol/openid-connect/token", "",
		"application/x-www-form-urlencoded", []byte(form.Encode()))
	if err != nil {
		return "", err
	}
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return "", err
	}
	return got.AccessToken, nil
}

// register makes the fake workers at addrs known to the gateway.
func (g *gateway) register(ctx context.Context, transport string, addrs []string) error {
	admin, err := g.token(ctx, "admin")
	if err != nil {
		return err
	}
	for k, addr := range addrs {
		target := "http://" + addr + "/filter"
		if transport == "grpc" {
			target = "grpc://" + addr
		}
		body, err := json.Marshal(map[string]any{
			"url": target, "uuid": fakeUUID(k), "name": fmt.Sprintf("fake-%d", k), "transport": transport,
			"settings": map[string]any{"timeout": "30s"},
		})
		if err != nil {
			return err
		}
		if _, err := g.send(ctx, http.MethodPost, "http://"+g.http+"/api/workers", admin, "application/json", body); err != nil {
			return fmt.Errorf("register %s: %w", target, err)
		}
	}
	return nil
}

// target is where alice asks.
func (g *gateway) target(ctx context.Context) (target, error) {
	token, err := g.token(ctx, "alice")
	return target{addr: g.http, path: "/api/graph-security/filter", token: token}, err
}

// send does one call and returns the answer's body when the status is a good one.
func (g *gateway) send(ctx context.Context, method, to, token, contentType string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(answer)))
	}
	return answer, nil
}

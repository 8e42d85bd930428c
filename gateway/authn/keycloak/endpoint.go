package keycloak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/muster-fleet/muster/workers/token"
)

// tokenEndpoint is an issuer's, found by its discovery document and remembered
// until it fails. It is safe for concurrent use.
type tokenEndpoint struct {
	issuer, discoveryURL string
	client               *http.Client

	mu    sync.Mutex
	known string
}

// find returns the endpoint's address.
func (e *tokenEndpoint) find(ctx context.Context) (string, error) {
	e.mu.Lock()
	known := e.known
	e.mu.Unlock()
	if known != "" {
		return known, nil
	}
	meta, err := token.Discover(ctx, e.client, e.issuer, e.discoveryURL)
	if err != nil {
		return "", err
	}
	if meta.TokenEndpoint == "" {
		return "", errors.New("the issuer's discovery document has no token_endpoint")
	}
	e.set(meta.TokenEndpoint)
	return meta.TokenEndpoint, nil
}

func (e *tokenEndpoint) set(address string) {
	e.mu.Lock()
	e.known = address
	e.mu.Unlock()
}

// grant asks for a token as a client. The error is a *refusal when the issuer
// said no.
func (e *tokenEndpoint) grant(ctx context.Context, clientID, clientSecret string, form url.Values) (*answer, error) {
	address, err := e.find(ctx)
	if err != nil {
		return nil, err
	}
	a, err := e.post(ctx, address, clientID, clientSecret, form)
	var refused *refusal
	if err != nil && !errors.As(err, &refused) {
		// The address may have changed; it is looked up again next time.
		e.set("")
	}
	return a, err
}

func (e *tokenEndpoint) post(ctx context.Context, address, clientID, clientSecret string, form url.Values) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("ask the issuer: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	// RFC 6749 section 2.3.1 wants both form-encoded first.
	req.SetBasicAuth(url.QueryEscape(clientID), url.QueryEscape(clientSecret))
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the issuer: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the issuer's answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the issuer's answer is larger than %d bytes", maxAnswer)
	}
	a := &answer{}
	// What is not JSON leaves a empty; the status or the checks then refuse it.
	jsonErr := json.Unmarshal(body, a)
	switch {
	case resp.StatusCode >= 400 && resp.StatusCode < 500 && a.Error != "":
		return nil, &refusal{status: resp.StatusCode, code: words(a.Error), description: words(a.ErrorDescription)}
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the issuer's answer has status %d", resp.StatusCode)
	case jsonErr != nil:
		// The decoder's error may quote the answer, and with it a token.
		return nil, errors.New("the issuer's answer is not the JSON it should be")
	}
	return a, nil
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// provider is an identity provider as its discovery document describes it
// (OpenID Connect Discovery 1.0, RFC 8628 section 4).
type provider struct {
	Issuer     string `json:"issuer"`
	Token      string `json:"token_endpoint"`
	Device     string `json:"device_authorization_endpoint"`
	Revocation string `json:"revocation_endpoint"`

	client *http.Client
}

const (
	issuerTimeout = 15 * time.Second
	maxDiscovery  = 1 << 20
)

// issuerClient calls identity providers; it follows no redirect, which would
// carry a refresh token to another address.
func issuerClient() *http.Client {
	return &http.Client{
		Timeout: issuerTimeout,
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second, DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// checkIssuer refuses addresses that a token would travel to in the clear.
func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return usagef("give it as https://HOST/realms/REALM, by --issuer or MUSTER_ISSUER", "the issuer is not an http or https URL")
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); u.Scheme == "http" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return usagef("use its https address", "the issuer %s would be told secrets without encryption", quote(issuer))
	}
	return nil
}

// discover reads the discovery document of an issuer.
func discover(ctx context.Context, issuer string) (*provider, error) {
	if err := checkIssuer(issuer); err != nil {
		return nil, err
	}
	p := &provider{client: issuerClient()}
	where := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	status, body, err := p.get(ctx, where)
	if err != nil {
		return nil, &trouble{code: ExitUnavailable, what: "the issuer cannot be reached: " + reason(err), where: where, do: "check --issuer or MUSTER_ISSUER", cause: err}
	}
	if err := json.Unmarshal(body, p); err != nil || status != http.StatusOK || p.Token == "" {
		return nil, &trouble{code: ExitFailed, what: fmt.Sprintf("what answered (status %d) is no issuer", status), where: where, do: "check --issuer or MUSTER_ISSUER"}
	}
	if p.Issuer != strings.TrimSuffix(issuer, "/") && p.Issuer != issuer {
		return nil, &trouble{code: ExitFailed, what: "the issuer calls itself " + quote(clean(p.Issuer)), where: where, do: "give its own name as --issuer"}
	}
	for _, endpoint := range []string{p.Token, p.Device, p.Revocation} {
		if endpoint == "" {
			continue
		}
		if err := checkIssuer(endpoint); err != nil {
			return nil, &trouble{code: ExitFailed, what: "the issuer names an endpoint that is not safe to use", where: endpoint, do: "have it serve https"}
		}
	}
	return p, nil
}

func (p *provider) get(ctx context.Context, address string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxDiscovery))
	return resp.StatusCode, body, errors.Join(err, resp.Body.Close())
}

// config is the client's for golang.org/x/oauth2. A public client has no secret.
func (p *provider) config(clientID string) *oauth2.Config {
	return &oauth2.Config{ClientID: clientID, Scopes: []string{"openid"}, Endpoint: oauth2.Endpoint{
		TokenURL: p.Token, DeviceAuthURL: p.Device, AuthStyle: oauth2.AuthStyleInParams,
	}}
}

func (p *provider) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, p.client)
}

// refused makes an error of what the token endpoint said.
func (p *provider) refused(err error, do string) error {
	var answered *oauth2.RetrieveError
	if errors.As(err, &answered) && answered.ErrorCode != "" {
		// The rest of the error is the whole answer, which may hold more than words.
		text := clean(strings.TrimSuffix(answered.ErrorCode+": "+answered.ErrorDescription, ": "))
		return &trouble{code: ExitUnauthenticated, what: "the issuer refused: " + text, where: p.Issuer, do: do}
	}
	if errors.As(err, &answered) {
		return &trouble{code: ExitFailed, what: "the issuer answered " + answered.Response.Status, where: p.Issuer, do: do}
	}
	return &trouble{code: ExitUnavailable, what: "the issuer cannot be reached: " + reason(err), where: p.Issuer, do: do, cause: err}
}

// reason is an error without the request's address, whose form may hold a secret.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}

// revoke ends a login at the provider (RFC 7009).
func (p *provider) revoke(ctx context.Context, clientID, refreshToken string) error {
	form := url.Values{"client_id": {clientID}, "token": {refreshToken}, "token_type_hint": {"refresh_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Revocation, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxDiscovery))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the issuer answered %s", resp.Status)
	}
	return nil
}

package token

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const (
	discoveryPath = "/.well-known/openid-configuration"
	// maxDocument bounds a discovery document or a key set, in bytes.
	maxDocument = 1 << 20
)

// Metadata is what an issuer's discovery document says of its addresses.
type Metadata struct {
	Issuer        string
	JWKSURI       string
	TokenEndpoint string
}

// Discover fetches an issuer's discovery document (OpenID Connect Discovery 1.0
// section 4), below the issuer or, when it is not empty, at discoveryURL. Either
// way the document must name exactly that issuer; the addresses in it are taken
// as told. Errors are plain ones, without anything secret in them.
func Discover(ctx context.Context, client *http.Client, issuer, discoveryURL string) (*Metadata, error) {
	address := discoveryURL
	if address == "" {
		address = strings.TrimSuffix(issuer, "/") + discoveryPath
	}
	body, err := get(ctx, client, address)
	if err != nil {
		return nil, err
	}
	meta := &Metadata{}
	err = eachMember(body, func(m member) (err error) {
		switch m.name {
		case "issuer":
			meta.Issuer, err = m.text()
		case "jwks_uri":
			meta.JWKSURI, err = m.text()
		case "token_endpoint":
			meta.TokenEndpoint, err = m.text()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the discovery document at %s %w", address, err)
	}
	if meta.Issuer != issuer {
		return nil, fmt.Errorf("the discovery document at %s names the issuer %q; configured is %q", address, meta.Issuer, issuer)
	}
	if err := absoluteURL(meta.JWKSURI); err != nil {
		return nil, fmt.Errorf("the discovery document at %s has a jwks_uri that %w", address, err)
	}
	return meta, nil
}

// get fetches a small JSON document; nothing but 200 is good.
func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", address, err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", address, err)
	}
	defer func() {
		// The body has been read or given up; closing it cannot change that.
		_ = resp.Body.Close()
	}()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch %s: the answer has status %d", address, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", address, err)
	}
	if len(body) > maxDocument {
		return nil, fmt.Errorf("fetch %s: the answer is larger than %d bytes", address, maxDocument)
	}
	return body, nil
}

package keycloak

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/muster-fleet/muster/workers/token"
)

const (
	grantType       = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
	maxAnswer       = 64 << 10
	maxWords        = 200
)

// refusal is an error answer of the token endpoint (RFC 6749 section 5.2).
type refusal struct {
	status            int
	code, description string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the issuer answered %d %s: %s", r.status, r.code, r.description)
}

// answer is what the token endpoint says, in either case.
type answer struct {
	AccessToken      string  `json:"access_token"`
	IssuedTokenType  string  `json:"issued_token_type"`
	TokenType        string  `json:"token_type"`
	ExpiresIn        float64 `json:"expires_in"`
	Error            string  `json:"error"`
	ErrorDescription string  `json:"error_description"`
}

// ask exchanges one token at the issuer.
func (e *Exchanger) ask(ctx context.Context, subjectToken, audience string) (issued, error) {
	asked := e.config.Clock()
	a, err := e.endpoint.grant(ctx, e.config.ClientID, e.secret.value(), url.Values{
		"grant_type":           {grantType},
		"subject_token":        {subjectToken},
		"subject_token_type":   {accessTokenType},
		"requested_token_type": {accessTokenType},
		"audience":             {audience},
	})
	if err != nil {
		return issued{}, err
	}
	if err := a.check(audience); err != nil {
		return issued{}, err
	}
	lifetime := time.Duration(a.ExpiresIn * float64(time.Second))
	return issued{token: a.AccessToken, until: asked.Add(lifetime - min(maxMargin, lifetime/5))}, nil
}

// words cuts text of the issuer to what may stand in a log line.
func words(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == '\x7f' || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), maxWords)]
}

// check refuses a good answer that does not hold what was asked for. A token for
// another audience than the worker's would be the caller's own in disguise.
func (a *answer) check(audience string) error {
	if err := a.checkToken(); err != nil {
		return err
	}
	switch {
	case a.IssuedTokenType != accessTokenType:
		return errors.New("the issuer's answer is not an access token")
	case !(a.ExpiresIn > 0 && a.ExpiresIn < 1<<31):
		return errors.New("the issuer's answer does not say how long the token lives")
	case !slices.Equal(audienceOf(a.AccessToken), []string{audience}):
		return errors.New("the issuer gave a token that is not for the audience that was asked for, or not for it alone")
	}
	return nil
}

// checkToken refuses an answer without a bearer token.
func (a *answer) checkToken() error {
	if _, err := token.FromValues([]string{"Bearer " + a.AccessToken}); err != nil {
		return errors.New("the issuer's answer holds no usable access_token")
	}
	if !strings.EqualFold(a.TokenType, "Bearer") {
		return errors.New("the issuer's answer is not a bearer token")
	}
	return nil
}

// audienceOf reads aud without verifying the token: it came from the issuer
// itself. It is empty when there is none.
func audienceOf(raw string) []string {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	var one struct {
		Aud string `json:"aud"`
	}
	if json.Unmarshal(payload, &one) == nil && one.Aud != "" {
		return []string{one.Aud}
	}
	var many struct {
		Aud []string `json:"aud"`
	}
	if json.Unmarshal(payload, &many) != nil {
		return nil
	}
	return many.Aud
}

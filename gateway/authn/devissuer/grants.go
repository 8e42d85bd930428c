package devissuer

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

const (
	grantPassword = "password"
	grantClient   = "client_credentials"
	grantRefresh  = "refresh_token"
	grantDevice   = "urn:ietf:params:oauth:grant-type:device_code"
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
)

// refusal is an error answer of RFC 6749 section 5.2, in Keycloak's words.
type refusal struct {
	status      int
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

func refuse(status int, code, description string) *refusal {
	return &refusal{status: status, Code: code, Description: description}
}

// grant is a good answer of the token endpoint.
type grant struct {
	AccessToken     string `json:"access_token"`
	ExpiresIn       int64  `json:"expires_in"`
	RefreshToken    string `json:"refresh_token,omitempty"`
	RefreshExpires  int64  `json:"refresh_expires_in,omitempty"`
	TokenType       string `json:"token_type"`
	IssuedTokenType string `json:"issued_token_type,omitempty"`
	SessionState    string `json:"session_state,omitempty"`
	Scope           string `json:"scope"`
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		i.writeRefusal(w, refuse(http.StatusBadRequest, "invalid_request", "the form cannot be read"))
		return
	}
	answer, refused, err := i.answer(r)
	switch {
	case err != nil:
		i.config.Logger.Error("the development issuer cannot issue a token", "error", err)
		i.writeRefusal(w, refuse(http.StatusInternalServerError, "server_error", "the token cannot be signed"))
	case refused != nil:
		i.writeRefusal(w, refused)
	default:
		i.writeJSON(w, http.StatusOK, answer)
	}
}

func (i *Issuer) answer(r *http.Request) (*grant, *refusal, error) {
	c, refused := authenticateClient(r)
	if refused != nil {
		return nil, refused, nil
	}
	kind := r.PostForm.Get("grant_type")
	if kind == "" {
		return nil, refuse(http.StatusBadRequest, "invalid_request", "Missing form parameter: grant_type"), nil
	}
	if !slices.Contains(c.grants, kind) {
		if kind == grantExchange {
			return nil, refuse(http.StatusBadRequest, "invalid_request", "Standard token exchange is not enabled for the requested client"), nil
		}
		return nil, refuse(http.StatusBadRequest, "unauthorized_client", "Client not allowed for this grant type"), nil
	}
	switch kind {
	case grantPassword:
		a, ok := login(r.PostForm.Get("username"), r.PostForm.Get("password"))
		if !ok {
			return nil, refuse(http.StatusUnauthorized, "invalid_grant", "Invalid user credentials"), nil
		}
		return i.issue(newSession(a, c.id))
	case grantClient:
		return i.issue(newSession(serviceAccount(c), c.id))
	case grantRefresh:
		s, ok := i.logins.takeRefresh(r.PostForm.Get("refresh_token"), c.id)
		if !ok {
			return nil, refuse(http.StatusBadRequest, "invalid_grant", "Invalid refresh token"), nil
		}
		return i.issue(s)
	case grantDevice:
		s, refused := i.logins.poll(r.PostForm.Get("device_code"), c.id)
		if refused != nil {
			return nil, refused, nil
		}
		return i.issue(s)
	default:
		return i.exchange(r, c)
	}
}

// authenticateClient takes HTTP Basic or the form, as Keycloak does.
func authenticateClient(r *http.Request) (client, *refusal) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	c, ok := clientByID(id)
	switch {
	case !ok:
		return client{}, refuse(http.StatusUnauthorized, "invalid_client", "Invalid client or Invalid client credentials")
	case c.secret != "" && c.secret != secret:
		return client{}, refuse(http.StatusUnauthorized, "unauthorized_client", "Invalid client or Invalid client credentials")
	}
	return c, nil
}

// login: a person's password is the name.
func login(name, password string) (account, bool) {
	a, ok := person(name)
	return a, ok && password == a.name
}

func (i *Issuer) issue(s session) (*grant, *refusal, error) {
	access, err := i.keys.sign(nil, i.claims(s))
	if err != nil {
		return nil, nil, err
	}
	g := &grant{
		AccessToken: access, ExpiresIn: int64(i.config.Lifetime.Seconds()),
		TokenType: "Bearer", Scope: "email profile",
	}
	if s.account.client == "" {
		g.RefreshToken = i.logins.keepRefresh(s)
		g.RefreshExpires = int64(refreshLifetime.Seconds())
		g.SessionState = s.sid
	}
	return g, nil, nil
}

// exchange is the standard token exchange (RFC 8693) of Keycloak 26.2: of an
// access token that names the requester's service, for one other audience.
func (i *Issuer) exchange(r *http.Request, c client) (*grant, *refusal, error) {
	form := r.PostForm
	if form.Get("subject_token_type") != typeAccessToken {
		return nil, refuse(http.StatusBadRequest, "invalid_request", "subject_token_type must be "+typeAccessToken), nil
	}
	subject, refused := i.subject(form.Get("subject_token"))
	if refused != nil {
		return nil, refused, nil
	}
	audience := form.Get("audience")
	if !i.mayExchangeFor(audience) {
		return nil, refuse(http.StatusBadRequest, "invalid_client", "Audience not found"), nil
	}
	claims := i.exchanged(subject, audience, c.id)
	access, err := i.keys.sign(nil, claims)
	if err != nil {
		return nil, nil, err
	}
	expires, ok := claims["exp"].(int64)
	if !ok {
		return nil, nil, errors.New("development issuer: the exchanged token has no exp")
	}
	return &grant{
		AccessToken: access, ExpiresIn: expires - i.config.Clock().Unix(), TokenType: "Bearer",
		IssuedTokenType: typeAccessToken, Scope: "email profile",
	}, nil, nil
}

// subject reads the token that is to be exchanged.
func (i *Issuer) subject(raw string) (jwt.MapClaims, *refusal) {
	claims, err := i.readOwn(raw)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "invalid_request", "Invalid token")
	}
	if audiences, err := claims.GetAudience(); err != nil || !slices.Contains(audiences, Audience) {
		return nil, refuse(http.StatusForbidden, "access_denied", "Client is not within the token audience")
	}
	return claims, nil
}

// readOwn verifies a token of this issuer.
func (i *Issuer) readOwn(raw string) (jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	_, err := jwt.NewParser(
		jwt.WithValidMethods([]string{signingAlg}), jwt.WithIssuer(i.URL()),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(i.config.Clock),
	).ParseWithClaims(raw, claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		return i.keys.verifier(kid)
	})
	return claims, err
}

func (r *keyring) verifier(kid string) (*rsa.PublicKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.keys {
		if k.kid == kid && k.published {
			return &k.private.PublicKey, nil
		}
	}
	return nil, errors.New("unknown key")
}

func (i *Issuer) writeRefusal(w http.ResponseWriter, r *refusal) { i.writeJSON(w, r.status, r) }

func (i *Issuer) writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		i.config.Logger.Debug("the development issuer's answer was not taken", "error", err)
	}
}

package devissuer

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// session is what a refresh token stands for.
type session struct {
	account account
	client  string
	sid     string
}

func newSession(a account, clientID string) session {
	return session{account: a, client: clientID, sid: uuid.NewString()}
}

// claims are those of an access token as Keycloak 26 shapes them.
func (i *Issuer) claims(s session) map[string]any {
	now := i.config.Clock()
	a := s.account
	c := map[string]any{
		"iss": i.URL(), "sub": a.subject(), "typ": "Bearer", "azp": s.client,
		"iat": now.Unix(), "exp": now.Add(i.config.Lifetime).Unix(), "jti": uuid.NewString(),
		"aud": audienceOf(s.client), "scope": "email profile", "acr": "1",
		"preferred_username": a.name, "email_verified": a.client == "",
		"realm_access": map[string]any{"roles": append([]string{"default-roles-" + Realm, "offline_access"}, a.roles...)},
	}
	// Keycloak's group mapper leaves the claim out when there is no group.
	if len(a.groups) > 0 {
		c["groups"] = a.groups
	}
	if a.client != "" {
		c["client_id"] = a.client
		return c
	}
	c["sid"] = s.sid
	c["email"] = a.email
	c["name"] = a.given + " " + a.family
	c["given_name"], c["family_name"] = a.given, a.family
	return c
}

// audienceOf is what the client scopes of the shipped realm give. Keycloak
// writes a single audience as a string.
func audienceOf(clientID string) any {
	if clientID == ClientCLI || clientID == ClientAirflow {
		return []string{Audience, ManagementAudience}
	}
	return Audience
}

// Issue returns a token for a person as muster-cli gets it, or for a client's
// service account. Members of changes replace claims; nil removes one.
func (i *Issuer) Issue(name string, changes map[string]any) (string, error) {
	var s session
	if a, ok := person(name); ok {
		s = newSession(a, ClientCLI)
	} else if c, ok := clientByID(name); ok && c.secret != "" {
		s = newSession(serviceAccount(c), c.id)
	} else {
		return "", fmt.Errorf("development issuer: %q is neither of %v nor a client with a service account", name, names())
	}
	claims := i.claims(s)
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return i.keys.sign(nil, claims)
}

// Sign returns a token with exactly these claims, signed by the newest key;
// members of header replace the usual ones. It is for tests.
func (i *Issuer) Sign(header, claims map[string]any) (string, error) {
	return i.keys.sign(header, claims)
}

// exchanged are the claims of a token exchanged for an audience.
func (i *Issuer) exchanged(subject map[string]any, audience, requester string) map[string]any {
	c := maps.Clone(subject)
	now := i.config.Clock()
	exp := now.Add(i.config.Lifetime)
	if old, ok := subject["exp"].(float64); ok && time.Unix(int64(old), 0).Before(exp) {
		exp = time.Unix(int64(old), 0)
	}
	c["aud"], c["azp"] = audience, requester
	c["iat"], c["exp"], c["jti"] = now.Unix(), exp.Unix(), uuid.NewString()
	return c
}

func (i *Issuer) mayExchangeFor(audience string) bool {
	return audience != "" && (i.config.WorkerAudiences == nil || slices.Contains(i.config.WorkerAudiences, audience))
}

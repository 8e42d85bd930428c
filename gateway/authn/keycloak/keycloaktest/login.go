package keycloaktest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
)

// Reply is an answer of the token endpoint.
type Reply struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
	DeviceCode   string `json:"device_code"`
	Complete     string `json:"verification_uri_complete"`
	Error        string `json:"error"`
}

// Ask posts a form to an endpoint and reads the answer, whatever its status.
func (s *Server) Ask(t *testing.T, address string, form url.Values) Reply {
	t.Helper()
	status, body := s.Call(t, http.MethodPost, address, "", form)
	var r Reply
	if err := json.Unmarshal(body, &r); err != nil {
		t.Fatalf("%d %s", status, body)
	}
	return r
}

// Form makes a form of names and values in turn.
func Form(pairs ...string) url.Values {
	f := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return f
}

// Login logs a person in by the command line's client.
func (s *Server) Login(t *testing.T, name string) Reply {
	t.Helper()
	r := s.Ask(t, s.Endpoint()+"/token", Form("grant_type", "password", "client_id", "muster-cli",
		"username", name, "password", name, "scope", "openid"))
	if r.AccessToken == "" {
		t.Fatalf("%s cannot log in: %s", name, r.Error)
	}
	return r
}

// ServiceToken returns a token of a client's service account.
func (s *Server) ServiceToken(t *testing.T, client string) string {
	t.Helper()
	r := s.Ask(t, s.Endpoint()+"/token", Form("grant_type", "client_credentials", "client_id", client, "client_secret", client))
	if r.AccessToken == "" {
		t.Fatalf("%s cannot log in: %s", client, r.Error)
	}
	return r.AccessToken
}

// Admin returns a token for Keycloak's own admin endpoints, below
// Base/admin/realms/muster.
func (s *Server) Admin(t *testing.T) string {
	t.Helper()
	return s.Ask(t, s.Base+"/realms/master/protocol/openid-connect/token",
		Form("grant_type", "password", "client_id", "admin-cli", "username", adminName, "password", adminName)).AccessToken
}

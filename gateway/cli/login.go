package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/oauth2"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
)

// refreshMargin is how long before its end a kept token is renewed.
const refreshMargin = 20 * time.Second

func (s *shell) loginCommand() *cobra.Command {
	var issuer, clientID string
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Log in with a browser, on this or on another machine",
		Long: `Log in at the identity provider by the device flow (RFC 8628): the command
shows an address and a code, you open the address in any browser, and the
command goes on when you have logged in there.

The login is kept for this gateway (--url) in MUSTER_LOGIN_FILE or
~/.config/muster/login.json, which nobody but you can read, and is renewed by
itself while the provider allows it. MUSTER_TOKEN and --token-file come before
it. muster logout ends it.`,
		Example: `  muster login --issuer https://keycloak.example.org/realms/muster
  muster whoami
  muster logout`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.login(cmd.Context(), issuer, clientID) },
	}
	cmd.Flags().StringVar(&issuer, "issuer", "", "address of the identity provider's realm (MUSTER_ISSUER; default that of the last login at this gateway)")
	cmd.Flags().StringVar(&clientID, "client-id", devissuer.ClientCLI, "public client that may use the device flow")
	return cmd
}

// gatewayAddress is how a gateway is named in the file of logins.
func (s *shell) gatewayAddress() (string, error) {
	base, err := s.address()
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(base.String(), "/"), nil
}

func (s *shell) login(ctx context.Context, issuer, clientID string) error {
	gateway, err := s.gatewayAddress()
	if err != nil {
		return err
	}
	path := s.keptPath()
	if path == "" {
		return usagef("set MUSTER_LOGIN_FILE or HOME", "there is no place to keep the login")
	}
	if issuer == "" {
		issuer = s.env["MUSTER_ISSUER"]
	}
	if issuer == "" {
		kept, err := readKept(path)
		if err != nil {
			return err
		}
		if kept != nil {
			issuer = kept.Gateways[gateway].Issuer
		}
	}
	if issuer == "" {
		return usagef("give it by --issuer or MUSTER_ISSUER; muster dev prints its own", "which identity provider is not known yet")
	}
	p, err := discover(ctx, issuer)
	if err != nil {
		return err
	}
	got, err := s.deviceLogin(ctx, p, clientID)
	if err != nil {
		return err
	}
	err = changeKept(path, func(k *keptFile) error {
		k.Gateways[gateway] = keptLogin{
			Issuer: issuer, ClientID: clientID, AccessToken: got.AccessToken, RefreshToken: got.RefreshToken, Expires: got.Expiry.UTC(),
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.say("logged in at %s for %s; kept in %s", issuer, gateway, path)
	return nil
}

func (s *shell) deviceLogin(ctx context.Context, p *provider, clientID string) (*oauth2.Token, error) {
	const do = "check --client-id, and that the realm lets it use the device flow"
	if p.Device == "" {
		return nil, &trouble{code: ExitFailed, what: "the issuer offers no device flow", where: p.Issuer, do: do}
	}
	config, ctx := p.config(clientID), p.context(ctx)
	begun, err := config.DeviceAuth(ctx)
	if err != nil {
		return nil, p.refused(err, do)
	}
	address := begun.VerificationURIComplete
	if address == "" {
		address = begun.VerificationURI
	}
	until := ""
	if !begun.Expiry.IsZero() {
		until = fmt.Sprintf(" within %s", time.Until(begun.Expiry).Round(time.Minute))
	}
	s.say("open %s in a browser%s; the code is %s", address, until, begun.UserCode)
	stop := s.progress("waiting for the login in the browser")
	got, err := config.DeviceAccessToken(ctx, begun)
	stop()
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, &trouble{code: ExitUnauthenticated, what: "nobody logged in before the code ran out", where: p.Issuer, do: "run muster login again"}
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, p.refused(err, "run muster login again")
	}
	if _, err := checkToken(got.AccessToken, "the issuer's answer"); err != nil {
		return nil, err
	}
	return got, nil
}

// keptToken returns the token of a kept login for a gateway, renewed when it is
// about to end; empty when nobody has logged in there.
func (s *shell) keptToken(ctx context.Context, gateway string) (string, error) {
	path := s.keptPath()
	if path == "" {
		return "", nil
	}
	kept, err := readKept(path)
	if err != nil || kept == nil {
		return "", err
	}
	login, is := kept.Gateways[gateway]
	if !is {
		return "", nil
	}
	if time.Until(login.Expires) > refreshMargin || login.RefreshToken == "" {
		return login.AccessToken, nil
	}
	err = changeKept(path, func(k *keptFile) error {
		now, is := k.Gateways[gateway]
		if !is || time.Until(now.Expires) > refreshMargin { // another command was first
			login = now
			return nil
		}
		login, err = s.refresh(ctx, now)
		k.Gateways[gateway] = login
		return err
	})
	return login.AccessToken, err
}

func (s *shell) refresh(ctx context.Context, old keptLogin) (keptLogin, error) {
	p, err := discover(ctx, old.Issuer)
	if err != nil {
		return old, err
	}
	got, err := p.config(old.ClientID).TokenSource(p.context(ctx), &oauth2.Token{RefreshToken: old.RefreshToken}).Token()
	if err != nil {
		return old, p.refused(err, "the login has ended: run muster login")
	}
	return keptLogin{
		Issuer: old.Issuer, ClientID: old.ClientID, AccessToken: got.AccessToken, RefreshToken: got.RefreshToken, Expires: got.Expiry.UTC(),
	}, nil
}

func (s *shell) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "End the login at this gateway, here and at the identity provider",
		Long: `End the login that muster login has kept for this gateway: the refresh token is
revoked at the identity provider and both tokens are removed from the file. An
access token that was copied elsewhere is good until it ends, within minutes.`,
		Example: `  muster logout`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return s.logout(cmd.Context()) },
	}
}

func (s *shell) logout(ctx context.Context) error {
	gateway, err := s.gatewayAddress()
	if err != nil {
		return err
	}
	path := s.keptPath()
	var login keptLogin
	found := false
	if path != "" {
		kept, err := readKept(path)
		if err != nil {
			return err
		}
		if kept != nil {
			_, found = kept.Gateways[gateway]
		}
	}
	if !found {
		s.say("nobody is logged in for %s", gateway)
		return nil
	}
	err = changeKept(path, func(k *keptFile) error {
		login = k.Gateways[gateway]
		delete(k.Gateways, gateway)
		return nil
	})
	if err != nil {
		return err
	}
	s.say("logged out from %s", gateway)
	if login.RefreshToken == "" {
		return nil
	}
	p, err := discover(ctx, login.Issuer)
	if err == nil && p.Revocation != "" {
		err = p.revoke(ctx, login.ClientID, login.RefreshToken)
	}
	if err != nil {
		return &trouble{code: ExitFailed, what: "the login is removed here, but could not be ended at the identity provider: " + reason(err),
			where: login.Issuer, do: "it ends there by itself; an administrator can end it at once", cause: err}
	}
	return nil
}

// caller is what /api/me answers.
type caller struct {
	Username string `json:"username"`
	Email    string `json:"email"`
	Issuer   string `json:"issuer"`
	Subject  string `json:"subject"`
	UserID   string `json:"user_id"`
	IsAdmin  bool   `json:"is_admin"`
	Groups   []struct {
		Name string `json:"group_name"`
	} `json:"groups"`
}

func (s *shell) whoamiCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "whoami",
		Short: "Show who the gateway takes you for, and your groups",
		Example: `  muster whoami
  muster whoami -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.whoami(cmd.Context()) },
	}
}

func (s *shell) whoami(ctx context.Context) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	defer c.close()
	a, err := c.call(ctx, request{method: http.MethodGet, path: "/api/me", query: url.Values{}})
	if err != nil {
		return err
	}
	var me caller
	if err := json.Unmarshal(a.body, &me); err != nil {
		return fmt.Errorf("the gateway answered with something that is no principal: %w", err)
	}
	return s.print(json.RawMessage(a.body), func(w io.Writer) error {
		admin := "no"
		if me.IsAdmin {
			admin = "yes"
		}
		var groups []string
		for _, g := range me.Groups {
			groups = append(groups, g.Name)
		}
		for _, line := range [][]string{
			{"user", me.Username}, {"e-mail", me.Email}, {"id", me.UserID}, {"issuer", me.Issuer}, {"subject", me.Subject},
			{"admin", admin}, {"groups", strings.Join(groups, ", ")},
		} {
			if err := row(w, line...); err != nil {
				return err
			}
		}
		return nil
	})
}

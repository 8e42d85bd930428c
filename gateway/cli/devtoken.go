package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
)

func (s *shell) devTokenCommand() *cobra.Command {
	var issuer string
	cmd := &cobra.Command{
		Use:   "token USER",
		Short: "Print a token of the development issuer",
		Long: `Print a token of the development issuer for alice, bob or admin, or for the
service account of the client graph-service or rule-loader.`,
		Example: `  export MUSTER_TOKEN=$(muster dev token admin)
  muster dev token alice --issuer http://127.0.0.1:8180`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: []cobra.Completion{"alice", "bob", "admin", devissuer.ClientGraph, devissuer.ClientLoader},
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.devToken(cmd.Context(), issuer, args[0])
		},
	}
	cmd.Flags().StringVar(&issuer, "issuer", "http://"+devissuer.DefaultAddr, "address of the issuer")
	return cmd
}

// tokenEndpoint returns the token endpoint of an issuer given with or without
// its realm, or as a bare HOST:PORT.
func tokenEndpoint(issuer string) (string, error) {
	if !strings.Contains(issuer, "://") {
		issuer = "http://" + issuer
	}
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil {
		return "", usagef("give it as http://127.0.0.1:8180", "--issuer is not an http or https URL")
	}
	realm := "/realms/" + devissuer.Realm
	path := strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), realm)
	u.Path = path + realm + "/protocol/openid-connect/token"
	return u.String(), nil
}

func (s *shell) devToken(ctx context.Context, issuer, user string) error {
	endpoint, err := tokenEndpoint(issuer)
	if err != nil {
		return err
	}
	form := url.Values{"grant_type": {"password"}, "client_id": {devissuer.ClientCLI}, "username": {user}, "password": {user}}
	if user == devissuer.ClientGraph || user == devissuer.ClientLoader {
		form = url.Values{"grant_type": {"client_credentials"}, "client_id": {user}, "client_secret": {user}}
	}
	status, body, err := postForm(ctx, endpoint, form)
	if err != nil {
		return err
	}
	var got struct {
		AccessToken string `json:"access_token"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal(body, &got); err != nil || (got.AccessToken == "" && got.Error == "") {
		return &trouble{code: ExitFailed, what: fmt.Sprintf("what answered (status %d) is no issuer", status), where: endpoint,
			do: "check --issuer; muster dev prints its issuer's address"}
	}
	if got.AccessToken == "" {
		return &trouble{code: ExitUnauthenticated, what: strings.TrimSpace(got.Error + ": " + got.Description), where: endpoint,
			do: "the development issuer knows alice, bob, admin, " + devissuer.ClientGraph + " and " + devissuer.ClientLoader}
	}
	return s.print(json.RawMessage(body), func(w io.Writer) error {
		_, err := fmt.Fprintln(w, got.AccessToken)
		return err
	})
}

// postForm posts to a token endpoint and returns at most 1 MiB of the answer.
func postForm(ctx context.Context, endpoint string, form url.Values) (status int, body []byte, err error) {
	bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(bounded, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	httpClient := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := httpClient.Do(req)
	if err == nil {
		// The body has been read as far as it is wanted; a failed close changes nothing.
		defer func() { _ = resp.Body.Close() }()
		status = resp.StatusCode
		body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	}
	if err != nil {
		return 0, nil, &trouble{code: ExitUnavailable, what: "the issuer cannot be reached: " + err.Error(), where: endpoint,
			do: "start it with muster dev, and check --issuer", cause: err}
	}
	return status, body, nil
}

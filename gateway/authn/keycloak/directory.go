package keycloak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

const (
	// DefaultPageSize is how many users, groups or clients are asked for at once.
	DefaultPageSize = 500
	// maxPage bounds one page of an admin endpoint, in bytes.
	maxPage = 32 << 20
	// pageTimeout bounds one page.
	pageTimeout = 30 * time.Second
	// adminMargin is how long before its expiry the admin's token is renewed.
	adminMargin = 10 * time.Second
	// serviceAccountPrefix begins the user names of service accounts.
	serviceAccountPrefix = "service-account-"
)

// DirectoryConfig configures a Directory. Issuer is required; without ClientID
// the directory gives tokens of other clients but reads nothing.
type DirectoryConfig struct {
	// Issuer is the exact issuer, .../realms/REALM; its discovery document, below
	// it or at DiscoveryURL, names the token endpoint, beside which the admin
	// endpoints lie.
	Issuer       string
	DiscoveryURL string
	// ClientID is a client whose service account has the roles view-users,
	// view-clients and query-groups of realm-management.
	ClientID string
	// ClientSecret is its secret; ClientSecretFile, when set, is read instead,
	// anew for each token.
	ClientSecret     string
	ClientSecretFile string
	// PageSize is how many entries are asked for at once; 0 means DefaultPageSize.
	PageSize int
	// CAFile holds authorities trusted for the issuer beside the system's;
	// HTTPClient, when set, makes it meaningless.
	CAFile     string
	HTTPClient *http.Client
	// Logger takes refusals of the issuer; nil discards them.
	Logger *slog.Logger
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
}

// Directory reads who there is in a realm through Keycloak's admin API, and gets
// tokens of clients. It is safe for concurrent use; Close ends it.
type Directory struct {
	config   DirectoryConfig
	secret   *secret // nil without ClientID
	endpoint *tokenEndpoint

	mu    sync.Mutex
	admin issued
}

// NewDirectory returns a Directory. It does not call the issuer. The error lists
// every mistake of the configuration.
func NewDirectory(c DirectoryConfig) (*Directory, error) {
	d := &Directory{}
	var errs []error
	if c.Issuer == "" {
		errs = append(errs, errors.New("the issuer is missing"))
	}
	var err error
	if c.ClientID != "" {
		d.secret, err = newSecret(c.ClientSecret, c.ClientSecretFile)
		errs = append(errs, err)
	}
	if c.HTTPClient == nil {
		c.HTTPClient, err = token.NewHTTPClient(c.CAFile)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("keycloak's admin API: %w", err)
	}
	if c.PageSize <= 0 {
		c.PageSize = DefaultPageSize
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	d.config = c
	d.endpoint = &tokenEndpoint{issuer: c.Issuer, discoveryURL: c.DiscoveryURL, client: c.HTTPClient}
	return d, nil
}

// Close gives idle connections back. Calls under way end with their contexts.
func (d *Directory) Close() { d.config.HTTPClient.CloseIdleConnections() }

// ClientToken returns a fresh access token of a client by its credentials. A
// failure is a *fault.Error, 503 identity_unavailable, unless ctx ended.
func (d *Directory) ClientToken(ctx context.Context, clientID, clientSecret string) (string, error) {
	got, err := d.clientToken(ctx, clientID, clientSecret)
	return got.token, err
}

func (d *Directory) clientToken(ctx context.Context, clientID, clientSecret string) (issued, error) {
	asked := d.config.Clock()
	a, err := d.endpoint.grant(ctx, clientID, clientSecret, url.Values{"grant_type": {"client_credentials"}})
	if err == nil {
		err = a.checkToken()
	}
	if err != nil {
		return issued{}, d.failed(ctx, "a token of the client "+strconv.Quote(clientID), err)
	}
	return issued{token: a.AccessToken, until: asked.Add(time.Duration(a.ExpiresIn*float64(time.Second)) - adminMargin)}, nil
}

// adminToken returns a token for the admin endpoints.
func (d *Directory) adminToken(ctx context.Context) (string, error) {
	if d.secret == nil {
		return "", unavailable("this gateway may not read Keycloak's users, groups and clients: configure auth.clientID")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.admin.token == "" || !d.config.Clock().Before(d.admin.until) {
		got, err := d.clientToken(ctx, d.config.ClientID, d.secret.value())
		if err != nil {
			return "", err
		}
		d.admin = got
	}
	return d.admin.token, nil
}

func (d *Directory) forgetAdmin() {
	d.mu.Lock()
	d.admin = issued{}
	d.mu.Unlock()
}

// failed makes the fault of what could not be had: the issuer's own words go to
// the log, its error code to the caller.
func (d *Directory) failed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	var refused *refusal
	if errors.As(err, &refused) {
		d.config.Logger.WarnContext(ctx, "the issuer refused "+what,
			"status", refused.status, "error", refused.code, "description", refused.description)
		return unavailable("the issuer refused %s (%s): look at the client, its secret and its roles", what, refused.code).Wrap(err)
	}
	d.config.Logger.WarnContext(ctx, "the issuer did not answer as it should", "asked_for", what, "error", err.Error())
	return unavailable("the issuer did not give %s: it cannot be reached, or did not answer as it should", what).Wrap(err)
}

// adminBase is the address of the realm's admin endpoints: they lie beside its
// token endpoint, which may be reached by another name than the issuer's.
func (d *Directory) adminBase(ctx context.Context) (string, error) {
	address, err := d.endpoint.find(ctx)
	if err != nil {
		return "", err
	}
	// .../realms/REALM/protocol/openid-connect/token
	const marker = "/realms/"
	i := strings.LastIndex(address, marker)
	realm, _, ok := strings.Cut(address[max(i, 0)+min(len(marker), len(address)):], "/")
	if i < 0 || !ok || realm == "" {
		return "", errors.New("the issuer's token endpoint is not a Keycloak realm's")
	}
	return address[:i] + "/admin/realms/" + realm, nil
}

// get reads one page of an admin endpoint into to. A token that has ended before
// its time is replaced once.
func (d *Directory) get(ctx context.Context, path string, query url.Values, to any) error {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	base, err := d.adminBase(ctx)
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		bearer, err := d.adminToken(ctx)
		if err != nil {
			return err
		}
		status, body, err := d.page(ctx, base+path+"?"+query.Encode(), bearer)
		switch {
		case err != nil:
			d.endpoint.set("") // the address may have changed
			return err
		case status == http.StatusUnauthorized && first:
			d.forgetAdmin()
		case status == http.StatusUnauthorized || status == http.StatusForbidden:
			return &refusal{status: status, code: "status " + strconv.Itoa(status), description: "GET " + path}
		case status == http.StatusNotFound:
			return fmt.Errorf("the admin endpoint %s answered 404: %w", path, errAbsent)
		case status != http.StatusOK:
			return fmt.Errorf("the admin endpoint %s answered %d", path, status)
		default:
			if err := json.Unmarshal(body, to); err != nil {
				// The decoder's error may quote the answer.
				return fmt.Errorf("the admin endpoint %s did not answer the JSON that it should", path)
			}
			return nil
		}
	}
}

func (d *Directory) page(ctx context.Context, address, bearer string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("ask the admin endpoint: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Accept", "application/json")
	resp, err := d.config.HTTPClient.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("ask the admin endpoint: %w", err)
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return 0, nil, fmt.Errorf("read the admin endpoint's answer: %w", err)
	}
	if len(body) > maxPage {
		return 0, nil, fmt.Errorf("a page of the admin endpoint is larger than %d bytes", maxPage)
	}
	return resp.StatusCode, body, nil
}

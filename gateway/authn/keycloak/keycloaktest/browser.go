package keycloaktest

import (
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var (
	formAction  = regexp.MustCompile(`<form[^>]*\saction="([^"]+)"`)
	hiddenInput = regexp.MustCompile(`<input[^>]*type="hidden"[^>]*>`)
	attribute   = regexp.MustCompile(`\s(name|value)="([^"]*)"`)
)

// Browser follows a person through Keycloak's pages.
type Browser struct {
	client *http.Client
	// Page is the text of the page that it shows.
	Page string
	at   *url.URL
}

// NewBrowser returns a browser with cookies of its own.
func NewBrowser(t *testing.T) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &Browser{client: &http.Client{Jar: jar}}
	t.Cleanup(b.client.CloseIdleConnections)
	return b
}

func (b *Browser) load(t *testing.T, resp *http.Response, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d", resp.Request.URL, resp.StatusCode)
	}
	b.Page, b.at = string(body), resp.Request.URL
}

// Open shows an address.
func (b *Browser) Open(t *testing.T, address string) {
	t.Helper()
	resp, err := b.client.Get(address)
	b.load(t, resp, err)
}

// Submit sends the page's form with its hidden fields and the given ones.
func (b *Browser) Submit(t *testing.T, fields ...string) {
	t.Helper()
	found := formAction.FindStringSubmatch(b.Page)
	if found == nil {
		t.Fatalf("no form on %s:\n%s", b.at, b.Page)
	}
	action, err := b.at.Parse(html.UnescapeString(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	values := Form(fields...)
	for _, input := range hiddenInput.FindAllString(b.Page, -1) {
		pair := map[string]string{}
		for _, m := range attribute.FindAllStringSubmatch(input, -1) {
			pair[m[1]] = html.UnescapeString(m[2])
		}
		if pair["name"] != "" && !values.Has(pair["name"]) {
			values.Set(pair["name"], pair["value"])
		}
	}
	resp, err := b.client.PostForm(action.String(), values)
	b.load(t, resp, err)
}

// ApproveDevice logs somebody in, whose password is their name, at the address
// that a device login shows, and lets the device have its token.
func (b *Browser) ApproveDevice(t *testing.T, address, name string) {
	t.Helper()
	b.Open(t, address)
	b.Submit(t, "username", name, "password", name)
	b.Submit(t, "accept", "Yes")
	if !strings.Contains(b.Page, "Device Login Successful") {
		t.Fatalf("the last page is\n%s", b.Page)
	}
}

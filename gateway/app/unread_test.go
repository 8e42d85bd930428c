package app_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/config"
)

// exchange sends bytes over a connection of its own, closes the sending side when
// half is true, and returns the answer.
func (d *dev) exchange(t *testing.T, addr, request string, half bool) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	if half {
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// Whoever announces a body and does not send it is answered all the same, also
// without a token: an answer that waited for the body would never come, and its
// connection would be held for good.
func TestAnswersDoNotWaitForBodiesThatNobodyReads(t *testing.T) {
	d := startDev(t, nil)
	alice, admin := d.token(t, "alice"), d.token(t, "admin")
	for name, c := range map[string]struct {
		addr, line, token, more string
		status                  int
	}{
		"filter without a token":   {d.http, "POST " + filterPath, "x", "", 401},
		"filter with a bad header": {d.http, "POST " + filterPath, alice, "Content-Encoding: gzip\r\n", 415},
		"filter by PUT":            {d.http, "PUT " + filterPath, alice, "", 405},
		"filter too long":          {d.http, "POST " + filterPath, alice, "Request-Timeout: 100ms\r\n", 504},
		"registry without a token": {d.http, "POST /api/workers", "x", "", 401},
		"registry denied":          {d.http, "POST /api/workers", alice, "", 403},
		"registry, body not read":  {d.http, "GET /api/workers", admin, "", 200},
		"unknown path":             {d.http, "POST /api/nothing", alice, "", 404},
		"who are you":              {d.http, "GET /", "x", "", 200},
		"operations":               {d.ops, "GET /livez", "x", "", 200},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := d.exchange(t, c.addr, c.line+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer "+
				c.token+"\r\n"+c.more+"Content-Length: 100\r\n\r\n{", false)
			if resp.StatusCode != c.status || body == "" {
				t.Errorf("got %d %q, want %d", resp.StatusCode, body, c.status)
			}
			if !resp.Close {
				t.Error("the connection is kept, so that the rest of the body would be read as a request")
			}
		})
	}
}

// A body that has come but is not read does not cost the caller its connection.
func TestRefusalsKeepConnectionsWhoseBodyHasCome(t *testing.T) {
	d := startDev(t, nil)
	resp, _ := d.exchange(t, d.http, "POST "+filterPath+" HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nnull", false)
	if resp.StatusCode != http.StatusUnauthorized || resp.Close {
		t.Errorf("got %d, closing %v", resp.StatusCode, resp.Close)
	}
}

// A caller that closes its sending side still reads: it gets an error, never an
// empty 200, which would say that nothing is visible.
func TestCallersThatCloseTheirSideGetAnError(t *testing.T) {
	d := startDev(t, nil)
	head := "POST " + filterPath + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer " + d.token(t, "alice") + "\r\n"
	for name, rest := range map[string]string{
		"sized":   "Content-Length: 100\r\n\r\n{",
		"chunked": "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"par",
	} {
		resp, body := d.exchange(t, d.http, head+rest, true)
		if code, _ := contractError(t, body); resp.StatusCode != http.StatusBadRequest || code != "invalid_request" {
			t.Errorf("%s: got %d %q, want 400 invalid_request", name, resp.StatusCode, body)
		}
	}
}

// Everything but GET / needs a token, also to learn what is not there.
func TestUnknownPathsNeedAToken(t *testing.T) {
	d := startDev(t, nil)
	for _, c := range []string{"GET /api/nothing", "POST /", "GET /metrics", "GET " + filterPath} {
		method, path, _ := strings.Cut(c, " ")
		resp, body := d.call(t, method, path, "", "")
		if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: got %d %s, want 401", c, resp.StatusCode, body)
		}
	}
}

// A client that sends its whole body before it reads gets its refusal, however
// long the body is.
func TestRefusalsReachClientsThatSendFirst(t *testing.T) {
	d := startDev(t, func(c *config.Config) { c.Limits.MaxBody = 1 << 20 })
	const size = 16 << 20
	for token, want := range map[string]int{"x": http.StatusUnauthorized, d.token(t, "alice"): http.StatusRequestEntityTooLarge} {
		for _, framing := range []string{
			"Content-Length: " + strconv.Itoa(size) + "\r\n\r\n" + strings.Repeat(" ", size),
			"Transfer-Encoding: chunked\r\n\r\n1000000\r\n" + strings.Repeat(" ", size) + "\r\n0\r\n\r\n",
		} {
			resp, body := d.exchange(t, d.http, "POST "+filterPath+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+"\r\n"+framing, false)
			if resp.StatusCode != want {
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, want)
			}
		}
	}
}

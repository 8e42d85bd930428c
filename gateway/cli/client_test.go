package cli

import (
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/muster-fleet/muster/proto/fault"
)

const secretToken = "s3cr3t.to.ken"

// at runs worker list against an address, with a token that no output may hold.
func at(t *testing.T, address string, args ...string) result {
	t.Helper()
	r := run(t, []string{"MUSTER_URL=" + address, "MUSTER_TOKEN=" + secretToken}, append([]string{"worker", "list"}, args...)...)
	if strings.Contains(r.out+r.err, "s3cr3t") {
		t.Errorf("%s: the output holds a secret: %s%s", address, r.out, r.err)
	}
	return r
}

func TestAddressesThatAreNone(t *testing.T) {
	for _, bad := range []string{
		"gateway:8080", "127.0.0.1:8080", "ftp://h", "http://", "http://admin:s3cr3t@h", "http://h?x=s3cr3t", "http://h#f", "://", "http://[::1",
	} {
		at(t, bad).want(t, ExitUsage, "not an http or https URL", "http://HOST:PORT")
	}
	at(t, "http://127.0.0.1:1").want(t, ExitUnavailable, "cannot be reached", "GET http://127.0.0.1:1/api/workers", "check that it runs there")
}

// A base address with a path is one behind an ingress.
func TestAddressWithAPath(t *testing.T) {
	g := newGateway(t)
	g.on("GET /muster/api/workers", http.StatusOK, `{"items":[],"nextCursor":""}`)
	at(t, g.server.URL+"/muster/").want(t, ExitOK)
	at(t, g.server.URL+"/muster").want(t, ExitOK)
}

// The token goes to the address that it was meant for, and nowhere else.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	g := newGateway(t)
	for _, status := range []int{301, 302, 307, 308} {
		g.with("GET /api/workers", func(w http.ResponseWriter) {
			w.Header().Set("Location", thief.URL+"/api/workers")
			w.WriteHeader(status)
		})
		at(t, g.server.URL).want(t, ExitFailed, fmt.Sprint(status), "not in Muster's words")
	}
	if stolen.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// What answers in a gateway's place is told from a gateway.
func TestOthersThatAnswer(t *testing.T) {
	g := newGateway(t)
	for status, code := range map[int]int{502: ExitFailed, 503: ExitUnavailable, 404: ExitNotFound, 401: ExitUnauthenticated, 403: ExitDenied} {
		for _, body := range []string{"<html>s3cr3t</html>", "", "{}", `"text"`, `{"message":"s3cr3t"}`} {
			g.on("GET /api/workers", status, body)
			at(t, g.server.URL).want(t, code, "not in Muster's words", "nothing in front of it answers")
		}
	}
	for _, body := range []string{"<html></html>", "", `{"items":7}`} {
		g.on("GET /api/workers", http.StatusOK, body)
		if r := at(t, g.server.URL); r.code == ExitOK {
			t.Errorf("%q was taken for a list: %s", body, r.out)
		}
	}
}

// A connection that breaks within the answer is no list that is empty.
func TestBrokenAnswers(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"items\":[]")
			_ = c.Close()
		}
	}()
	at(t, "http://"+ln.Addr().String()).want(t, ExitUnavailable, "the connection broke")
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	<-ended
}

func TestCertificates(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"items":[],"nextCursor":""}`)
	}))
	s.Config.ErrorLog = nil
	s.StartTLS()
	defer s.Close()
	at(t, s.URL).want(t, ExitUnavailable, "certificate is not trusted", "--ca-file")
	ca := file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	at(t, s.URL, "--ca-file", ca).want(t, ExitOK)
	at(t, s.URL, "--ca-file", file(t, "no PEM")).want(t, ExitUsage, "holds no certificate")
	at(t, s.URL, "--ca-file", "/does/not/exist").want(t, ExitUsage, "--ca-file cannot be read")
}

// A gateway that refuses a large body before it is sent is heard.
func TestLargeBodiesAreAskedFor(t *testing.T) {
	var expected atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		expected.Store(r.Header.Get("Expect"))
		fault.New(fault.TooLarge, "too_large", "the body is larger than 1 byte").WriteContract(w)
	}))
	defer s.Close()
	env := []string{"MUSTER_URL=" + s.URL, "MUSTER_TOKEN=a.b.c"}
	large := `{"parameters":{"type":"nodes"},"data":[]}` + strings.Repeat(" ", 8<<20)
	run(t, env, "filter", file(t, large)).want(t, ExitFailed, "too_large")
	if expected.Load() != "100-continue" {
		t.Errorf("a large body was sent with Expect %q", expected.Load())
	}
	run(t, env, "filter", file(t, "{}")).want(t, ExitFailed, "too_large")
	if expected.Load() != "" {
		t.Errorf("a small body was sent with Expect %q", expected.Load())
	}
}

// All mistakes of a body are told, each with its place, in the words of the API.
func TestViolationsAreListed(t *testing.T) {
	g := newGateway(t)
	e := fault.New(fault.Unprocessable, "bad_url", "two things are wrong")
	e.Violations = []fault.Violation{
		{Code: "bad_url", Pointer: "/url", Detail: "not absolute"}, {Code: "bad_settings", Pointer: "/settings/timeout", Detail: "evil\x1b[2J"},
	}
	g.refuse("POST /api/workers", e)
	r := g.run("worker", "register", "http://w/x", "--uuid", idA)
	r.want(t, r.code, "/url bad_url: not absolute", `/settings/timeout bad_settings: evil\x1b[2J`)
	if r.code == ExitOK || strings.ContainsRune(r.err, '\x1b') {
		t.Errorf("code %d: %q", r.code, r.err)
	}
}

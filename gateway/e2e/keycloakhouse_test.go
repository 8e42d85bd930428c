package e2e_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/authn/keycloak/keycloaktest"
	"github.com/muster-fleet/muster/workers/client"
	"github.com/muster-fleet/muster/workers/worker"
)

// house is a real Keycloak with the shipped realm, the gateway's binary, and a
// worker on the Go SDK that serves TLS by an authority of the house's own.
type house struct {
	keycloak *keycloaktest.Server
	gateway  string // host:port
	log      *syncBuffer
	secrets  string
	source   *source
	// url is the worker's; cert and key are what it shows.
	url, cert, key string
	// schedulers is the group of those who start runs, scheduler the user who does.
	schedulers, scheduler string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{keycloak: keycloaktest.Start(t), log: &syncBuffer{}, secrets: t.TempDir(), source: &source{}}
	h.secret(t, "rule-loader", "rule-loader")
	h.secret(t, "gateway", "muster-gateway")
	ca, cert, key := certificates(t, t.TempDir())
	h.cert, h.key = cert, key
	h.serve(t, ca)
	h.url = h.work(t, cert, key, "muster", transformerUUID)
	return h
}

func (h *house) secret(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.secrets, name), []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serve runs the gateway until the test ends.
func (h *house) serve(t *testing.T, ca string) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(filepath.Join(bin, "muster"), "serve")
	cmd.Dir = dir
	cmd.Env = []string{
		"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "MUSTER_STORE=duckdb:" + filepath.Join(dir, "muster.db"),
		"MUSTER_HTTP_ADDR=127.0.0.1:0", "MUSTER_GRPC_ADDR=127.0.0.1:0", "MUSTER_OPS_ADDR=127.0.0.1:0",
		"MUSTER_AUTH_ISSUER=" + h.keycloak.Issuer(), "MUSTER_AUTH_AUDIENCE=muster", "MUSTER_AUTH_MANAGEMENTAUDIENCE=muster-admin",
		"MUSTER_AUTH_CLIENTID=muster-gateway", "MUSTER_AUTH_CLIENTSECRETFILE=" + filepath.Join(h.secrets, "gateway"),
		"MUSTER_TRANSFORMATIONS_SECRETSDIR=" + h.secrets, "MUSTER_WORKERS_ALLOWEDCIDRS=127.0.0.0/8", "MUSTER_WORKERS_CAFILE=" + ca,
		`MUSTER_ACCESS_ROLEMAPPING={"role:muster-admin":"Admin","role:muster-rules-write":"rule-writers"}`,
	}
	cmd.Stderr = h.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("the gateway had ended by itself: %v", err)
		}
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("the gateway said:\n%s", h.log)
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var said struct{ Listening struct{ HTTP string } }
	if err != nil || json.Unmarshal(line, &said) != nil || said.Listening.HTTP == "" {
		t.Fatalf("the gateway said %q, not where it listens:\n%s", line, h.log)
	}
	h.gateway = said.Listening.HTTP
}

// work runs a worker that takes tokens for an audience, until the test ends.
func (h *house) work(t *testing.T, cert, key, audience, uuid string) (url string) {
	t.Helper()
	files, err := worker.LoadTLS(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	listening, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- worker.Serve(ctx, worker.Config{
			UUID: uuid, Version: "1", Auth: worker.Auth{Issuer: h.keycloak.Issuer(), Audience: audience},
			Addr: "127.0.0.1:0", TLS: files, Gateway: "http://" + h.gateway, GatewayHTTP: &http.Client{Transport: h.source},
			Transform: h.source.transform, DrainGrace: -1, Logger: slog.New(slog.DiscardHandler),
			Listening: func(a worker.Addresses) { listening <- "https://" + a.REST + worker.DefaultTransformPath },
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case url = <-listening:
		return url
	case err := <-ended:
		ended <- err
		t.Fatal(err)
		return ""
	}
}

// source is the permission system that the worker reads, and what the worker saw.
type source struct {
	mu sync.Mutex
	// users, groups and clients may see benchmarks.
	users, groups, clients []string
	given                  worker.TransformRequest
	who                    *worker.Principal
	bearer                 string
}

// transform makes one rule of each of those who may see something and are there.
func (s *source) transform(ctx context.Context, t *worker.Transformation) error {
	s.mu.Lock()
	s.given, s.who = t.TransformRequest, t.Principal
	users, groups, clients := s.users, s.groups, s.clients
	s.mu.Unlock()
	g, err := t.Rules.NewGeneration()
	if err != nil {
		return err
	}
	sees := func(name string) client.AccessRule {
		return client.AccessRule{Name: "loader: " + name, Entities: []client.EntityGrant{{ID: 414, Properties: []int64{5303}}}}
	}
	for _, u := range users {
		if r := sees(u); slices.Contains(t.Users, u) {
			r.Users = []string{u}
			if err := g.Add(ctx, r); err != nil {
				return err
			}
		}
	}
	for _, one := range groups {
		if r := sees(one); slices.Contains(t.Groups, one) {
			r.Groups = []string{one}
			if err := g.Add(ctx, r); err != nil {
				return err
			}
		}
	}
	for _, c := range clients {
		if r := sees(c); slices.Contains(t.Clients, c) {
			r.Clients = []string{c}
			if err := g.Add(ctx, r); err != nil {
				return err
			}
		}
	}
	_, err = g.Commit(ctx)
	return err
}

// RoundTrip implements http.RoundTripper: it keeps the token that rules are posted
// with.
func (s *source) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.bearer = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Unlock()
	return http.DefaultTransport.RoundTrip(r)
}

func (s *source) may(users, groups, clients []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users, s.groups, s.clients = users, groups, clients
}

// saw is what the worker was given last, and the token that it used.
func (s *source) saw() (worker.TransformRequest, *worker.Principal, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given, s.who, s.bearer
}

// group makes a group of Muster's with a grant and returns its id.
func (h *house) group(t *testing.T, admin, name, typ, resource string) string {
	t.Helper()
	var made struct{ ID string }
	body := h.must(t, http.StatusCreated, http.MethodPost, "/api/admin/groups", admin, fmt.Sprintf(`{"name":%q}`, name))
	if err := json.Unmarshal([]byte(body), &made); err != nil {
		t.Fatal(err)
	}
	h.must(t, http.StatusCreated, http.MethodPost, "/api/admin/grants", admin,
		fmt.Sprintf(`{"group_id":%q,"resource_type":%q,"resource_id":%q}`, made.ID, typ, resource))
	return made.ID
}

// user waits until somebody who has been here is stored, and returns their id.
func (h *house) user(t *testing.T, token string) string {
	t.Helper()
	var me struct {
		ID string `json:"user_id"`
	}
	for deadline := time.Now().Add(30 * time.Second); me.ID == ""; {
		if err := json.Unmarshal([]byte(h.must(t, http.StatusOK, http.MethodGet, "/api/me", token, "")), &me); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("who was here is not stored")
		}
	}
	return me.ID
}

// call makes one call of the gateway.
func (h *house) call(t *testing.T, method, path, bearer, body string, header ...string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+h.gateway+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (h *house) must(t *testing.T, want int, method, path, bearer, body string, header ...string) string {
	t.Helper()
	status, answer := h.call(t, method, path, bearer, body, header...)
	if status != want {
		t.Fatalf("%s %s: %d, want %d: %s", method, path, status, want, answer)
	}
	return answer
}

// certificates writes an authority, and a certificate for 127.0.0.1 that it signed.
func certificates(t *testing.T, dir string) (caFile, certFile, keyFile string) {
	t.Helper()
	make509 := func(tmpl, parent *x509.Certificate, by *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if by == nil {
			by = key
		}
		tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		return der, key
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the house"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, caKey := make509(authority, authority, nil)
	leafDER, leafKey := make509(&x509.Certificate{
		SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, authority, caKey)
	keyDER, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	caFile, certFile, keyFile = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for file, block := range map[string]*pem.Block{
		caFile: {Type: "CERTIFICATE", Bytes: caDER}, certFile: {Type: "CERTIFICATE", Bytes: leafDER}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return caFile, certFile, keyFile
}

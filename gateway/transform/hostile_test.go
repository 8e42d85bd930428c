package transform_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/muster-fleet/muster/gateway/certs"
	"github.com/muster-fleet/muster/gateway/transform"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
)

// TestSecretsAreFilesOfTheDirectory tries what a step's author or somebody who
// writes into the directory could: nothing else is read, and nothing is waited for.
func TestSecretsAreFilesOfTheDirectory(t *testing.T) {
	h := newHouse(t, false)
	r := h.start(transform.Config{})
	w := newWorker(t, answer(http.StatusOK, ""))
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("rule-loader"), 0o600); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(h.secrets, name) }
	for _, err := range []error{
		os.Symlink(outside, in("link")), os.Symlink(filepath.Dir(outside), in("dir-link")), os.Symlink("loader", in("good-link")),
		os.Symlink("loop", in("loop")), os.Mkdir(in("directory"), 0o700), syscall.Mkfifo(in("pipe"), 0o600),
		os.WriteFile(in("huge"), make([]byte, 1<<20), 0o600), os.WriteFile(in("empty"), []byte("\n"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r.setUp(t, w.URL, nil)
	for file, says := range map[string]string{
		"link": "escapes", "dir-link/outside": "escapes", "loop": "too many", "directory": "no regular file", "pipe": "no regular file",
		"huge": "larger than", "empty": "empty", "missing": "no such file", "loader/x": "not a directory",
	} {
		r.put(t, "nightly", func(in *registry.StepInput) { in.Client.SecretFile = file })
		got := r.ended(t, r.begin(t, "nightly"))
		a := got.Last()
		if got.State != run.Failed || a.Code != "secret_unreadable" || !strings.Contains(a.Message, says) || strings.Contains(a.Message, h.secrets) {
			t.Errorf("%s: %+v", file, got)
		}
	}
	if n, _, _ := w.count(); n != 0 {
		t.Errorf("the worker was called %d times", n)
	}
	// A link that stays inside is how Kubernetes mounts secrets; a file is read anew.
	r.put(t, "nightly", func(in *registry.StepInput) { in.Client.SecretFile = "good-link" })
	if got := r.ended(t, r.begin(t, "nightly")); got.State != run.Succeeded {
		t.Errorf("%+v", got)
	}
	h.secret(t, "loader", "changed under way")
	if got := r.ended(t, r.begin(t, "nightly")); got.State != run.Failed || got.Last().Code != "identity_unavailable" {
		t.Errorf("%+v", got)
	}
}

// TestAWorkerThatTalks: its words leave room in the log for what the gateway says.
func TestAWorkerThatTalks(t *testing.T) {
	h := newHouse(t, false)
	r := h.start(transform.Config{})
	s, url := newStreamer(t)
	const words = 1500
	s.do = func(_ *workerv1.TransformRequest, out grpc.ServerStreamingServer[workerv1.TransformResponse]) error {
		for n := range words {
			if err := out.Send(&workerv1.TransformResponse{Message: fmt.Sprintf("word %d \x1b[31m%s", n, strings.Repeat("x", 3000))}); err != nil {
				return err
			}
		}
		return nil
	}
	r.setUp(t, url, nil)
	of := r.begin(t, "nightly")
	got := r.ended(t, of)
	text := r.text(t, of)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if got.State != run.Succeeded || got.Lines >= run.MaxLines || !strings.Contains(text, "the worker goes on to talk") ||
		!strings.HasPrefix(lines[len(lines)-1], fmt.Sprintf("attempt 1 succeeded: word %d", words-1)) {
		t.Errorf("%d lines, the last %.80q; %.200s", got.Lines, lines[len(lines)-1], got.Message())
	}
	if strings.ContainsRune(text, '\x1b') {
		t.Error("control characters are in the log")
	}
}

// TestAWorkerThatDoesNotStop streams answers and headers without end: only the
// step's timeout, or a bound, ends it.
func TestAWorkerThatDoesNotStop(t *testing.T) {
	h := newHouse(t, false)
	r := h.start(transform.Config{})
	second := "1s"
	w := newWorker(t, nil)
	r.setUp(t, w.URL, func(in *registry.StepInput) { in.Timeout = &second })
	for name, c := range map[string]struct {
		do   http.HandlerFunc
		code string
	}{
		"drips": {func(rw http.ResponseWriter, req *http.Request) {
			for req.Context().Err() == nil {
				_, _ = rw.Write([]byte("x"))
				_ = http.NewResponseController(rw).Flush()
				select {
				case <-req.Context().Done():
				case <-time.After(10 * time.Millisecond):
				}
			}
		}, "timeout"},
		"floods": {func(rw http.ResponseWriter, req *http.Request) {
			for req.Context().Err() == nil {
				if _, err := rw.Write([]byte(strings.Repeat("<garbage>", 10_000))); err != nil {
					return
				}
			}
		}, ""},
		"headers": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("X", strings.Repeat("x", 1<<20))
		}, "worker_unreachable"},
	} {
		w.mu.Lock()
		w.do = c.do
		w.mu.Unlock()
		got := r.ended(t, r.begin(t, "nightly"))
		if a := got.Last(); a.Code != c.code || len(a.Message) > 4*run.MaxMessage {
			t.Errorf("%s: %.300v", name, got)
		}
	}
}

// authority makes a certificate for 127.0.0.1 that signs itself, and the file to
// trust it by.
func authority(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// trusting makes the settings that workers.caFile gives.
func trusting(t *testing.T, file string) func() *tls.Config {
	t.Helper()
	c, err := certs.Client(certs.ClientFiles{CA: file}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c.Config
}

// TestWorkersOverTLS calls workers whose certificates are of an authority of their
// own, which the gateway knows, and then another one that it does not.
func TestWorkersOverTLS(t *testing.T) {
	cert, file := authority(t)
	_, other := authority(t)
	rest := &worker{do: answer(http.StatusOK, "over https")}
	rest.Server = httptest.NewUnstartedServer(http.HandlerFunc(rest.serve))
	rest.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	rest.StartTLS()
	t.Cleanup(rest.Close)
	s, url := newStreamer(t, grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	s.do = send(&workerv1.TransformResponse{Strategy: replaceAll, Rules: rules("x", 2), Message: "over grpcs"})
	for address, says := range map[string]string{rest.URL: "over https", "grpcs" + strings.TrimPrefix(url, "grpc"): "over grpcs"} {
		h := newHouse(t, false)
		h.tls = trusting(t, file)
		r := h.start(transform.Config{})
		r.setUp(t, address, nil)
		if got := r.ended(t, r.begin(t, "nightly")); got.State != run.Succeeded || got.Message() != says {
			t.Errorf("%s: %+v", address, got)
		}
		r.stop()
		h.tls = trusting(t, other)
		r = h.start(transform.Config{})
		got := r.ended(t, r.begin(t, "nightly"))
		if a := got.Last(); got.State != run.Failed || a.Code != "worker_untrusted" || !strings.Contains(a.Message, `"loader"`) ||
			!strings.Contains(a.Message, address) || !strings.Contains(a.Message, "workers.caFile") {
			t.Errorf("%s: %+v", address, got)
		}
		r.stop()
	}
}

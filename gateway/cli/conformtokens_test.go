package cli

import (
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/workers/worker"
	"github.com/muster-fleet/muster/workers/workertest"
)

// freeAddr is a loopback address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// The suite can be the issuer that a worker was told of, and then proves what one
// token cannot.
func TestConformIsTheIssuer(t *testing.T) {
	addr := freeAddr(t)
	// The worker starts first: its issuer is down, which must not end it.
	w, err := worker.New(t.Context(), worker.Config{
		UUID: idA, Version: "1.2.3", Auth: worker.Auth{Issuer: "http://" + addr + "/realms/muster", Audience: workertest.Audience},
		Logger: slog.New(slog.DiscardHandler), Judge: keep,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	server := httptest.NewServer(w.Handler())
	defer server.Close()
	url := server.URL + "/api/filter"
	r := run(t, nil, "conform", url, "--level", "core", "--issuer", addr)
	r.want(t, ExitOK, "level core", "0 not proved", "issuing tokens as http://"+addr+"/realms/muster for the audience muster")
	if strings.Contains(r.err, "warning") {
		t.Errorf("warned: %s", r.err)
	}
	// It has let go of the address, and takes no token beside its own.
	run(t, []string{"MUSTER_TOKEN=not.a.good.one"}, "conform", url, "--level", "core", "--issuer", addr).want(t, ExitOK, "level core")
}

func TestConformTokenMistakes(t *testing.T) {
	url, good := workerOf(t, keep)
	env := []string{"MUSTER_TOKEN=" + good}
	for _, bad := range []string{"0.0.0.0:0", "example.org:80", "8180", "127.0.0.1:99999"} {
		run(t, nil, "conform", url, "--issuer", bad).want(t, ExitUsage, "--issuer", "loopback HOST:PORT")
	}
	stale := file(t, good)
	run(t, env, "conform", url, "--issuer", "127.0.0.1:0", "--expired-token-file", stale).want(t, ExitUsage, "both set")
	run(t, nil, "conform", url, "--expired-token-file", stale).want(t, ExitUsage, "needs a good token")
	run(t, env, "conform", url, "--expired-token-file", "/does/not/exist").want(t, ExitUsage, "--expired-token-file cannot be read")
	run(t, env, "conform", url, "--expired-token-file", file(t, "two words")).want(t, ExitUsage, "holds no token")
	r := run(t, env, "conform", url, "--expired-token-file", stale)
	r.want(t, ExitUsage, "it is good until", "until it expired")
	if strings.Contains(r.err, good) {
		t.Error("the error quotes the token")
	}
	run(t, env, "conform", url, "--wait", "-1s").want(t, ExitUsage, "Wait")
}

func TestConformTakesAnExpiredToken(t *testing.T) {
	is, err := workertest.NewIssuer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer is.Close()
	w, err := worker.New(t.Context(), worker.Config{
		UUID: idA, Version: "1.2.3", Auth: worker.Auth{Issuer: is.URL(), Audience: workertest.Audience},
		Logger: slog.New(slog.DiscardHandler), Judge: keep,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	server := httptest.NewServer(w.Handler())
	defer server.Close()
	sign := func(age time.Duration) string {
		s, err := is.Sign(map[string]any{"exp": time.Now().Add(-age).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	env := []string{"MUSTER_TOKEN=" + sign(-time.Hour)}
	// exp is proven by it; iss is still open.
	run(t, env, "conform", server.URL+"/api/filter", "--level", "core", "--expired-token-file", file(t, sign(time.Second)+"\n")).
		want(t, ExitOK, "level core", "1 not proved")
}

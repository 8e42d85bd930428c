package cli

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	rulesclient "github.com/muster-fleet/muster/workers/client"
	"github.com/muster-fleet/muster/workers/worker"
	"github.com/muster-fleet/muster/workers/workertest"
)

// transformer is a worker that grants every user every entity, and posts to a
// gateway.
func transformer(t *testing.T, gateway string) (url, token string) {
	t.Helper()
	is, err := workertest.NewIssuer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w, err := worker.New(t.Context(), worker.Config{
		UUID: "5f0c5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11", Version: "1.0.0", Gateway: gateway, Logger: slog.New(slog.DiscardHandler),
		Auth: worker.Auth{Issuer: is.URL(), Audience: workertest.Audience},
		Transform: func(ctx context.Context, tr *worker.Transformation) error {
			g, err := tr.Rules.NewGeneration()
			if err != nil {
				return err
			}
			for _, u := range tr.Users {
				for _, e := range tr.Entities {
					if err := g.Add(ctx, rulesclient.AccessRule{Name: "all-" + u + e.Title, Users: []string{u}, Entities: []rulesclient.EntityGrant{{ID: e.ID}}}); err != nil {
						return err
					}
				}
			}
			_, err = g.Commit(ctx)
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(w.Handler())
	t.Cleanup(func() {
		s.Close()
		w.Close()
		_ = is.Close()
	})
	if token, err = is.Token("alice"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL + worker.DefaultTransformPath, file
}

// The suite is chosen by the worker's own type.
func TestConformOfATransformation(t *testing.T) {
	addr := freeAddr(t)
	url, token := transformer(t, "http://"+addr)
	run(t, nil, "conform", url, "--token-file", token, "--sink", addr, "--prefix", "all-").
		want(t, ExitOK, "laws/revoked", "level laws")
	run(t, nil, "conform", url, "--token-file", token, "--sink", addr, "--prefix", "other-").
		want(t, ExitFailed, "does not begin with")
	// Without a sink of the suite's own nothing is proven of the rules.
	elsewhere, err := workertest.NewRuleSink(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	run(t, nil, "conform", url, "--token-file", token).want(t, ExitFailed, "needs a rule sink")
	run(t, nil, "conform", url, "--type", "ExternalGraphSecurity", "--level", "core", "--token-file", token).want(t, ExitFailed, "RuleTransformation")
	if err := elsewhere.Close(); err != nil {
		t.Fatal(err)
	}
	request := filepath.Join(t.TempDir(), "request.json")
	if err := os.WriteFile(request, []byte(`{"users":["bob"],"entities":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "conform", url, "--token-file", token, "--sink", addr, "--samples", request).
		want(t, ExitFailed, "posted no rule for the request")
	run(t, nil, "conform", url, "--token-file", token, "--sink", "nowhere:-1").want(t, ExitUsage, "--sink", "HOST:PORT")
}

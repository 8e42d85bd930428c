package worker_test

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/muster-fleet/muster/workers/worker"
)

// A complete worker. It serves REST on :8080 and gRPC on :8081 until SIGTERM.
func ExampleServe() {
	err := worker.Serve(context.Background(), worker.Config{
		UUID:    os.Getenv("WORKER_UUID"),
		Version: "1.0.0",
		Auth:    worker.Auth{Issuer: "https://sso.example.org/realms/muster", Audience: worker.AudienceForward},
		Judge: func(_ context.Context, p *worker.Principal, e worker.Element) worker.Verdict {
			if e.HasLabel("Secret") && p.Username != "alice" {
				return worker.Hide("secret")
			}
			return worker.Strip("ssn")
		},
	})
	fmt.Println(err != nil)
	// Output: true
}

// A worker's function is tested without a server.
func ExampleParseElement() {
	judge := func(e worker.Element) worker.Verdict {
		if level, ok := e.Property("level"); ok {
			if n, ok := level.Int(); ok && n <= 2 {
				return worker.Keep()
			}
		}
		return worker.Hide("level")
	}
	for _, text := range []string{
		`{"elementId":"1","labels":["Document"],"properties":{"level":2}}`,
		`{"elementId":"2","labels":["Document"],"properties":{"level":"2"}}`,
	} {
		e, err := worker.ParseElement(worker.Nodes, []byte(text))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(e.ID(), judge(e).Visible())
	}
	// Output:
	// 1 true
	// 2 false
}

// A worker that asks an outside source asks once per batch, and fails rather than
// guesses when the source is down.
func ExampleConfig_judgeBatch() {
	clearance := func(_ context.Context, ids []string) (map[string]bool, error) {
		return map[string]bool{"1": true}, nil // a call to the source
	}
	cfg := worker.Config{
		UUID: "0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11", Version: "1.0.0",
		Auth: worker.Auth{Issuer: "https://sso.example.org/realms/muster", Audience: worker.AudienceForward},
		JudgeBatch: func(ctx context.Context, _ *worker.Principal, b worker.Batch) ([]worker.Verdict, error) {
			ids := make([]string, b.Len())
			for i, e := range b.All() {
				ids[i] = e.ID()
			}
			cleared, err := clearance(ctx, ids)
			if err != nil {
				return nil, err // 503: nothing is shown
			}
			verdicts := make([]worker.Verdict, b.Len()) // the zero Verdict hides
			for i, id := range ids {
				if cleared[id] {
					verdicts[i] = worker.Keep()
				}
			}
			return verdicts, nil
		},
	}
	w, err := worker.New(context.Background(), cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	var _ http.Handler = w.Handler()
	fmt.Println("ready")
	// Output: ready
}

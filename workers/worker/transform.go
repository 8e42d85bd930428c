package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/client"
	"github.com/muster-fleet/muster/workers/token"
)

const transformType = "RuleTransformation"

// The defaults of a Config with Transform.
const (
	DefaultTransformPath    = "/api/transform"
	DefaultTransformTimeout = time.Hour
)

// transformBodyTime bounds how long the body of a transformation may take to
// arrive: it holds the one place that there is.
const transformBodyTime = time.Minute

// TransformFunc reads who may see what from an outside source and posts rules that
// say so, by Transformation.Rules. nil is answered 200; an error is answered with
// its own text as the description, which whoever started the run will read: a
// *fault.Error with its status and code, any other with 500 transform_failed. A
// panic is answered 500 without its text.
//
// ctx ends with the caller's deadline or when the caller goes away. Runs are
// repeated, so two of them over the same source must leave the same rules.
type TransformFunc func(ctx context.Context, t *Transformation) error

// Transformation is one run.
type Transformation struct {
	TransformRequest
	// Principal is whose token the run was started with: the step's own client.
	Principal *Principal
	// Rules posts with the run's own token, so the rules belong to the run's step.
	// It must not be used after the function has returned.
	Rules *client.Rules
	// Message, when set, is the answer's member "message": one line of what was done,
	// which the gateway keeps with the run.
	Message string

	result json.RawMessage
}

// Report puts a value into the answer's member "result", for people and logs, such
// as how many rows were read. It must hold no property values. The last one counts.
func (t *Transformation) Report(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("worker: encode the report: %w", err)
	}
	t.result = text
	return nil
}

func (c Config) withTransformDefaults() Config {
	const one = 1
	c.GRPCAddr = Off
	c.Path = or(c.Path, DefaultTransformPath)
	c.MaxConcurrent = or(c.MaxConcurrent, one)
	c.MaxTimeout = or(c.MaxTimeout, DefaultTransformTimeout)
	return c
}

func (c *Config) transformMistakes() (bad []error) {
	if c.Gateway == "" {
		return []error{errors.New("Gateway is empty; give the base URL that rules are posted to, such as https://muster.example.org")}
	}
	r, err := client.NewRules(client.RulesConfig{Gateway: c.Gateway, Token: noToken})
	if err != nil {
		return []error{fmt.Errorf("Gateway %q: %w", c.Gateway, err)}
	}
	r.Close()
	return nil
}

func noToken(context.Context) (string, error) { return "", errors.New("no token") }

func (w *Worker) typeName() string {
	if w.cfg.Transform != nil {
		return transformType
	}
	return workerType
}

// serveTransform answers one run and measures it.
func (w *Worker) serveTransform(rw http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	code := "ok"
	defer func() { w.metrics.request("rest", code, time.Since(begun)) }()
	t, err := w.runTransform(rw, r)
	if err != nil {
		f := fault.From(err)
		code = f.Code
		boundUnread(rw)
		f.WriteContract(rw)
		return
	}
	h := rw.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	rw.WriteHeader(http.StatusOK) // 200 exactly
	// A failed write means that the caller went away.
	_ = json.NewEncoder(rw).Encode(struct {
		Message string          `json:"message,omitempty"`
		Result  json.RawMessage `json:"result,omitempty"`
	}{t.Message, t.result})
}

// runTransform does the steps in their order. The place is taken after the token
// was checked: there is but one, and a stranger must not hold it.
func (w *Worker) runTransform(rw http.ResponseWriter, r *http.Request) (*Transformation, error) {
	ctx, cancel, err := w.deadline(r)
	if err != nil {
		return nil, err
	}
	defer cancel()
	w.limitTransfer(ctx, rw)
	raw, err := token.FromHeader(r.Header)
	if err != nil {
		return nil, err
	}
	principal, err := w.verifier.Verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	release, err := w.admit()
	if err != nil {
		return nil, err
	}
	defer release()
	c := http.NewResponseController(rw)
	// As in limitTransfer: not every server supports deadlines.
	_ = c.SetReadDeadline(time.Now().Add(transformBodyTime))
	body, err := w.readBody(rw, r)
	if err != nil {
		return nil, err
	}
	if until, ok := ctx.Deadline(); ok {
		// The server goes on reading, to see the caller go away. It takes a read that
		// times out for just that, so its deadline lies behind the run's own.
		_ = c.SetReadDeadline(until.Add(time.Minute))
	}
	t := &Transformation{Principal: principal}
	if t.TransformRequest, err = ParseTransformRequest(body); err != nil {
		return nil, err
	}
	if err := w.transform(ctx, t, raw); err != nil {
		return nil, err
	}
	return t, nil
}

// transform calls the author's function; its error is a *fault.Error.
func (w *Worker) transform(ctx context.Context, t *Transformation, raw string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			w.logPanic(ctx, r)
			err = fault.New(fault.Internal, "internal", "the worker's function failed; the worker's log has it")
		}
	}()
	t.Rules, err = client.NewRules(client.RulesConfig{
		Gateway: w.cfg.Gateway, HTTP: w.cfg.GatewayHTTP,
		Token: func(context.Context) (string, error) { return raw, nil },
	})
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	defer t.Rules.Close()
	if err := w.cfg.Transform(ctx, t); err != nil {
		return w.transformFailure(ctx, t, err)
	}
	// A function that ends well although its caller has gone, or its time is up, may
	// have posted nothing; whoever started it is told that it did not end in time.
	return contextFault(ctx)
}

// transformFailure turns an author's error into the answer, and logs it.
func (w *Worker) transformFailure(ctx context.Context, t *Transformation, err error) *fault.Error {
	if ctx.Err() != nil {
		return fault.From(ctx.Err())
	}
	var f *fault.Error
	if !errors.As(err, &f) {
		f = fault.New(fault.Internal, "transform_failed", "%s", err).Wrap(err)
	} else {
		f = t.refused(f)
	}
	w.cfg.Logger.LogAttrs(ctx, slog.LevelError, "the transformation failed",
		slog.String("code", f.Code), slog.String("error", err.Error()), causeAttr(f))
	return f
}

// refused tells what a gateway said against the rules apart from what this worker
// says against the request: its 401 or 400 would blame whoever started the run. A
// conflict stays one: the run has ended, or a newer one has begun.
func (t *Transformation) refused(f *fault.Error) *fault.Error {
	if !errors.Is(f, client.ErrRefused) || f.Kind == fault.Conflict {
		return f
	}
	parts := []string{"the gateway refused the rules: " + f.Detail}
	for i, v := range f.Violations {
		const most = 10
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(f.Violations)-most))
			break
		}
		parts = append(parts, v.Pointer+" "+v.Detail)
	}
	detail := strings.Join(parts, "; ")
	if e := t.Principal.Expires; f.Kind == fault.Unauthenticated && !e.IsZero() && time.Now().After(e) {
		detail = fmt.Sprintf("the run's token expired at %s, before its rules were posted; give the step's client longer access tokens",
			e.UTC().Format(time.RFC3339))
	}
	kind := fault.BadWorker
	if f.Kind == fault.Unavailable || f.Kind == fault.Timeout {
		kind = f.Kind
	}
	return fault.New(kind, f.Code, "%s", detail).Wrap(f)
}

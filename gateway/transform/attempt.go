package transform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/muster-fleet/muster/gateway/probe"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
	"github.com/muster-fleet/muster/workers/token"
)

// The codes of attempts that failed; that of a worker's refusal is its own.
const (
	codeWorkerMissing     = "worker_missing"
	codeWorkerPaused      = "worker_paused"
	codeWorkerQuarantined = "worker_quarantined"
	codeWorkerUnreachable = "worker_unreachable"
	codeWorkerStatus      = "worker_status"
	codeWorkerBroke       = "worker_broke"
	codeAddressRefused    = "address_refused"
	codeSecret            = "secret_unreadable"
	codeToken             = "token_refused"
	codeTimeout           = "timeout"
	codeInternal          = "internal"
)

// attempt is one attempt of a run, being carried out.
type attempt struct {
	engine *Engine
	run    run.Run
	step   run.Step
	number int
	log    *slog.Logger
}

// failure is why an attempt failed, for people; cause is for the log alone.
type failure struct {
	code, message string
	status        int
	cause         error
}

func (f *failure) Error() string { return f.code + ": " + f.message }
func (f *failure) Unwrap() error { return f.cause }

func fail(code, format string, args ...any) *failure {
	return &failure{code: code, message: fmt.Sprintf(format, args...)}
}

func (f *failure) because(cause error) *failure {
	f.cause = cause
	return f
}

// carryOut does all of an attempt and says how it ended.
func (a *attempt) carryOut(ctx context.Context) run.Outcome {
	a.line(ctx, "attempt %d of at most %d begins", a.number, a.run.Retries+1)
	bounded, stop := context.WithTimeoutCause(ctx, a.step.Timeout, errTimedOut)
	message, err := a.try(bounded)
	cause := context.Cause(bounded)
	stop()
	var o run.Outcome
	switch {
	case err == nil:
		o = run.Outcome{State: run.Succeeded, Status: 200, Message: message}
	case errors.Is(cause, errCancelled):
		o = run.Outcome{State: run.Cancelled, Code: run.CodeCancelled, Message: "the run was cancelled"}
	case errors.Is(cause, errLost):
		o = run.Outcome{State: run.Interrupted, Code: run.CodeInterrupted, Message: "the gateway lost touch with the store"}
	case errors.Is(cause, errTimedOut):
		o = run.Outcome{State: run.Failed, Code: codeTimeout, Message: "the worker did not end within the step's timeout of " + a.step.Timeout.String()}
	case ctx.Err() != nil:
		o = run.Outcome{State: run.Interrupted, Code: run.CodeInterrupted, Message: "the gateway was shut down"}
	default:
		o = a.failed(ctx, err)
	}
	o.Message = shorten(o.Message)
	a.line(ctx, "attempt %d %s%s", a.number, o.State, after(": ", o.Message))
	return o
}

func after(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}

func (a *attempt) failed(ctx context.Context, err error) run.Outcome {
	var f *failure
	if errors.As(err, &f) {
		if f.cause != nil {
			a.log.InfoContext(ctx, "an attempt of a rule transformation failed", "code", f.code, "cause", f.cause)
		}
		return run.Outcome{State: run.Failed, Status: f.status, Code: f.code, Message: f.message}
	}
	told := fault.From(err)
	if told.Kind == fault.Internal {
		a.log.ErrorContext(ctx, "an attempt of a rule transformation failed", "error", err)
		return run.Outcome{State: run.Failed, Code: codeInternal, Message: "an internal error of the gateway; its log has it"}
	}
	return run.Outcome{State: run.Failed, Code: told.Code, Message: mistakes(told)}
}

// mistakes is a fault's detail with those of its violations, as far as they fit.
func mistakes(e *fault.Error) string {
	if len(e.Violations) < 2 {
		return e.Detail
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%d mistakes:", len(e.Violations))
	for _, v := range e.Violations {
		text.WriteString(" " + v.Detail + ";")
		if text.Len() > run.MaxMessage {
			break
		}
	}
	return strings.TrimSuffix(text.String(), ";")
}

// try does the attempt; the message is the worker's.
func (a *attempt) try(ctx context.Context) (message string, err error) {
	if _, err := a.worker(); err != nil {
		return "", err // not after Keycloak was asked for thousands of users
	}
	given, err := a.gather(ctx)
	if err != nil {
		return "", err
	}
	bearer, who, err := a.token(ctx)
	if err != nil {
		return "", err
	}
	// The worker may have been paused, moved or quarantined meanwhile, and a token
	// goes only to one that is not.
	w, err := a.worker()
	if err != nil {
		return "", err
	}
	a.line(ctx, "calling worker %s at %s", w, w.URL)
	if w.Transport == registry.TransportGRPC {
		return a.callGRPC(ctx, w, given, bearer, who)
	}
	return a.callREST(ctx, w, given, bearer)
}

// worker is the step's worker, if it may be called.
func (a *attempt) worker() (*registry.Worker, error) {
	w := a.engine.deps.Registry.Snapshot().Worker(registry.WorkerID(a.step.Worker))
	switch {
	case w == nil:
		return nil, fail(codeWorkerMissing, "the step's worker %s is not registered any more; register it, or change the step", a.step.Worker)
	case w.Class != registry.ClassResult || w.Type != registry.TypeRuleTransformation:
		return nil, fail(codeWorkerMissing, "the step's worker %s is of type %s now", w, probe.Printable(w.Type, 60))
	case !w.ActiveAt(time.Now()):
		return nil, fail(codeWorkerPaused, "the step's worker %s is paused; resume it", w)
	case w.Quarantined != nil:
		return nil, fail(codeWorkerQuarantined, "the step's worker %s is in quarantine; mend it and probe it", w)
	}
	return w, nil
}

// token gets a fresh token of the step's own client and notes it as this
// attempt's, before anybody else sees it.
func (a *attempt) token(ctx context.Context) (string, *token.Principal, error) {
	e := a.engine
	secret, err := readSecret(e.cfg.SecretsDir, a.step.Client.SecretFile)
	if err != nil {
		return "", nil, err
	}
	bearer, err := e.deps.Realm.ClientToken(ctx, a.step.Client.ID, secret)
	if err != nil {
		return "", nil, err
	}
	who, err := e.deps.Verifier.Verify(ctx, bearer)
	if err != nil {
		return "", nil, fail(codeToken, "this gateway would not take a token of the client %q itself: %s; "+
			"the worker could not post its rules. Give the client the scope with this gateway's audience",
			a.step.Client.ID, fault.From(err).Detail).because(err)
	}
	return bearer, who, a.hold(ctx, bearer)
}

// hold notes a token as this attempt's, when the store is busy with a change that
// takes long, as soon as it can.
func (a *attempt) hold(ctx context.Context, bearer string) error {
	e := a.engine
	for {
		err := e.deps.Registry.HoldToken(ctx, e.owner, a.run.ID, a.number, run.DigestOf(bearer))
		switch {
		case registry.Lost(err):
			e.give(ctx, a.run.ID)
			return err
		case !fault.Is(err, "store_unavailable"):
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(endRetry):
		}
	}
}

// give ends an attempt that turned out to be no longer this gateway's, or to be
// cancelled: what the next look at the runs would do.
func (e *Engine) give(ctx context.Context, id run.ID) {
	if open, _, err := e.deps.Registry.OpenRuns(ctx); err == nil {
		e.cancelWanted(open)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if cancel := e.active[id]; cancel != nil {
		cancel(errLost) // does nothing when it has been cancelled already
	}
}

// line writes a line of the run's log.
func (a *attempt) line(ctx context.Context, format string, args ...any) {
	a.engine.line(ctx, a.run.ID, format, args...)
}

func (e *Engine) line(ctx context.Context, id run.ID, format string, args ...any) {
	storing, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := e.deps.Registry.LogRun(storing, id, run.Line{Text: shorten(fmt.Sprintf(format, args...))}); err != nil {
		e.log.WarnContext(ctx, "a line of a run's log could not be stored", "run", id, "error", err)
	}
}

// shorten makes text fit to be kept and shown.
func shorten(s string) string { return probe.Printable(strings.TrimSpace(s), run.MaxMessage) }

package fanout

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// row is a line of the table "what a worker may answer, and what follows".
type row uint8

const (
	rowViolation row = iota
	rowRefusedToken
	rowDenied
	rowError
	rowUnreachable
	rowTimeout
	rowQuarantined
	rowCircuitOpen
	rowBusy
	rowAddressRefused
	rowIdentity
	rowLoginRequired
	rowCancelled // not a failure of the worker: the request ended before it
)

// rows gives each line its kind, its code, and what it means for the worker's
// standing and its breaker.
var rows = [...]struct {
	kind    fault.Kind
	code    string
	observe bool
	result  Result
	breaker settlement
}{
	rowViolation:      {fault.BadWorker, "worker_violation", true, Violated, settleNothing},
	rowRefusedToken:   {fault.Unauthenticated, "", true, Succeeded, settleSuccess},
	rowDenied:         {fault.Denied, "", true, Succeeded, settleSuccess},
	rowError:          {fault.BadWorker, "worker_error", true, Failed, settleFailure},
	rowUnreachable:    {fault.Unavailable, "worker_unreachable", true, Failed, settleFailure},
	rowTimeout:        {fault.Timeout, "worker_timeout", true, Failed, settleFailure},
	rowQuarantined:    {fault.Unavailable, "worker_quarantined", false, Failed, settleNothing},
	rowCircuitOpen:    {fault.Unavailable, "worker_circuit_open", false, Failed, settleNothing},
	rowBusy:           {fault.Unavailable, "worker_busy", false, Failed, settleNothing},
	rowAddressRefused: {fault.Unavailable, "worker_address_refused", true, Failed, settleFailure},
	rowIdentity:       {fault.Unavailable, "identity_unavailable", false, Failed, settleNothing},
	rowLoginRequired:  {fault.Denied, "login_token_required", false, Failed, settleNothing},
	rowCancelled:      {fault.Cancelled, "cancelled", false, Failed, settleNothing},
}

// failure is how a call to a worker failed, before it is known how the worker's
// failures are to be answered.
type failure struct {
	row row
	// reason is the metric's label: from a small closed set.
	reason string
	// detail says what happened, in the gateway's words.
	detail string
	// said is the worker's own text, cleaned. It goes to the caller and never into
	// a log: a worker may repeat the token or a property's value in it.
	said string
	// code is the worker's own error, where the row passes it on.
	code  string
	retry time.Duration
	cause error // for the log
	// again is true when the call may be made once more: the connection failed
	// before a byte was answered.
	again bool
	// early is true when the caller's deadline, not the worker's, ran out; that
	// says nothing about the worker.
	early bool
}

// Error is for logs: without what the worker said.
func (f *failure) Error() string {
	if f.cause != nil {
		return f.reason + ": " + f.detail + ": " + f.cause.Error()
	}
	return f.reason + ": " + f.detail
}

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.cause }

// fault returns the error that the caller sees, blaming w.
func (f *failure) fault(w *registry.Worker) *fault.Error {
	r := rows[f.row]
	code, detail := r.code, f.detail
	if f.row == rowRefusedToken || f.row == rowDenied {
		// The contract's words: the worker's own, prefixed by its name.
		code, detail = f.code, clean(w.Name)+": "+f.said
	} else if f.row != rowLoginRequired {
		detail = "worker " + clean(w.Name) + ": " + f.detail
		if f.said != "" {
			detail += ": " + f.said
		}
	}
	return fault.New(r.kind, code, "%s", detail).
		By(string(w.ID), clean(w.Name)).After(f.retry).Wrap(f)
}

func violation(v *verdict.Violation) *failure {
	return &failure{
		row: rowViolation, reason: v.Reason, cause: v,
		detail: "its answer breaks the worker contract; nothing of it was used",
	}
}

func workerError(reason, detail string, cause error) *failure {
	return &failure{row: rowError, reason: reason, detail: detail, cause: cause}
}

// asFailure returns the failure in err's chain; anything else is a defect of
// ours and counts as the worker's error, so that nothing is shown.
func asFailure(err error) *failure {
	var f *failure
	var v *verdict.Violation
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &v):
		return violation(v)
	default:
		return workerError("internal", "the call failed in the gateway", err)
	}
}

// maxText is how much of a worker's own error text is passed on, in bytes.
const maxText = 1 << 10

// Clean makes text that came from a worker, or names one, fit to be shown; see
// clean.
func Clean(s string) string { return clean(s) }

// clean makes a worker's text fit to be shown: control characters escaped,
// invalid UTF-8 replaced, cut to 1 KiB.
func clean(s string) string {
	if len(s) <= maxText && isPlain(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		piece := string(r)
		if isControl(r) {
			piece = fmt.Sprintf(`\u%04x`, r)
		}
		if b.Len()+len(piece) > maxText {
			break
		}
		b.WriteString(piece)
	}
	return b.String()
}

// cleanCode is clean for text that also stands in a header's quoted string.
func cleanCode(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '"' {
			return '\''
		}
		return r
	}, clean(s))
}

// loggable returns a worker's error code where it is a short word, and nothing
// where it may be anything: logs hold neither tokens nor values of properties.
func loggable(code string) string {
	if len(code) > maxLoggable || strings.Trim(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-") != "" {
		return ""
	}
	return code
}

// maxLoggable is the longest code that is logged, in bytes.
const maxLoggable = 32

func isPlain(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if isControl(r) {
			return false
		}
	}
	return true
}

// isControl also counts line separators and the characters that turn text
// around: they can make a log line or a terminal lie.
func isControl(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 ||
		r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/muster-fleet/muster/gateway/config"
	"github.com/muster-fleet/muster/proto/fault"
)

// The exit codes.
const (
	ExitOK              = 0
	ExitFailed          = 1
	ExitUsage           = 2
	ExitNotFound        = 3
	ExitUnauthenticated = 4
	ExitUnavailable     = 5
	ExitDenied          = 6
)

// trouble is an error for people: what is wrong, where, and what to do.
type trouble struct {
	code  int
	what  string
	where string
	do    string
	cause error
}

func (t *trouble) Error() string {
	s := t.what
	if t.where != "" {
		s += " (" + t.where + ")"
	}
	return s
}

func (t *trouble) Unwrap() error { return t.cause }

// usageOf makes an error of a wrong command line.
func usageOf(cmd *cobra.Command, err error) error {
	var t *trouble
	if errors.As(err, &t) {
		return err
	}
	return &trouble{
		code: ExitUsage, what: err.Error(), cause: err,
		do: cmd.CommandPath() + " --help shows what it takes",
	}
}

// usagef makes an error of a wrong command line, with advice.
func usagef(do, format string, args ...any) error {
	return &trouble{code: ExitUsage, what: fmt.Sprintf(format, args...), do: do}
}

// errQuietFailure ends a command with code 1 after it has said everything itself.
var errQuietFailure = errors.New("failed")

func exitCode(err error) int {
	var t *trouble
	var mistakes *config.Error
	var f *fault.Error
	switch {
	case errors.As(err, &t):
		return t.code
	case errors.As(err, &mistakes):
		return ExitUsage
	case errors.As(err, &f):
		return codeOfKind(f.Kind)
	default:
		return ExitFailed
	}
}

// codeOfKind maps what a gateway answered to an exit code.
func codeOfKind(k fault.Kind) int {
	switch k {
	case fault.NotFound:
		return ExitNotFound
	case fault.Unauthenticated:
		return ExitUnauthenticated
	case fault.Denied:
		return ExitDenied
	case fault.Unavailable, fault.Timeout:
		return ExitUnavailable
	default:
		return ExitFailed
	}
}

// report writes an error to standard error: as text, or, when the log is JSON,
// as log lines.
func (s *shell) report(err error) {
	if errors.Is(err, errQuietFailure) {
		return
	}
	if s.log != nil {
		s.reportJSON(err)
		return
	}
	var t *trouble
	if !errors.As(err, &t) {
		if errors.Is(err, context.Canceled) {
			err = errors.New("interrupted")
		}
		s.say("%s", err.Error())
		return
	}
	text := t.what
	if t.where != "" {
		text += "\n  where: " + t.where
	}
	if t.do != "" {
		text += "\n  do:    " + t.do
	}
	s.say("%s", text)
}

func (s *shell) reportJSON(err error) {
	var mistakes *config.Error
	var t *trouble
	switch {
	case errors.As(err, &mistakes):
		for _, m := range mistakes.Mistakes {
			s.log.Error("configuration mistake", "where", m.Where, "key", m.Key, "problem", m.Problem, "allowed", m.Allowed)
		}
	case errors.As(err, &t):
		s.log.Error(t.what, "where", t.where, "do", t.do)
	default:
		s.log.Error(err.Error())
	}
}

// say writes one message to standard error. Control characters are escaped, as
// part of it may come from a worker.
func (s *shell) say(format string, args ...any) {
	lines := strings.Split(fmt.Sprintf(format, args...), "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	// Standard error is where a failed write would be reported.
	_, _ = fmt.Fprintln(s.Err, "muster: "+strings.Join(lines, "\n"))
}

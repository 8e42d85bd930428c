package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// yesFlag adds --yes to a command that confirms.
func yesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask; nobody is asked but on a terminal")
}

// confirm asks on a terminal whether to go on. Where there is none, a script has
// said what it wants by running the command.
func (s *shell) confirm(ctx context.Context, question string, yes bool) error {
	if yes || !s.Asks {
		return nil
	}
	// What fails to reach standard error cannot be reported anywhere.
	_, _ = fmt.Fprintf(s.Err, "%s [y/N] ", clean(question))
	answered := make(chan string, 1)
	broken := make(chan error, 1)
	// An interrupt ends the command while the terminal is read; the reader goes with
	// the process.
	go func() {
		line, err := bufio.NewReader(s.In).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			broken <- err
			return
		}
		answered <- line
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-broken:
		return fmt.Errorf("the answer cannot be read: %w", err)
	case line := <-answered:
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			return nil
		default:
			return &trouble{code: ExitFailed, what: "nothing was changed", do: "answer y, or give --yes"}
		}
	}
}

// Package cli is the command line of Muster: one command per thing that an
// operator, a developer or a worker's author does. Commands talk to a gateway
// over its public API alone, and serve and dev start one.
//
// What a command found goes to standard output, in the form that --output asks
// for; everything else (warnings, progress, errors, the log) goes to standard
// error. Exit codes are in exit.go.
package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
)

// Process is what a command has of the process that it runs in.
type Process struct {
	// Args are the command line without the program's name.
	Args []string
	// Environ is the environment, "NAME=value" each.
	Environ  []string
	In       io.Reader
	Out, Err io.Writer
	// Terminal tells that Err is a terminal: progress is shown on no other.
	Terminal bool
	// Asks tells that In and Err are a terminal: somebody is there to answer.
	Asks bool
	// Version is what the release calls itself; empty for other builds.
	Version string
}

// shell is one run of the command line.
type shell struct {
	Process
	env map[string]string

	output    string
	url       string
	token     string
	tokenFile string
	caFile    string
	// log, when set, is where errors go as well: serve and dev with log.format
	// json, whose every line is a JSON object.
	log *slog.Logger
}

// Run runs one command line and returns the exit code. It returns when the
// command has ended; ctx ends it early, and a serving gateway in order.
func Run(ctx context.Context, p Process) int {
	s := &shell{Process: p, env: map[string]string{}}
	for _, pair := range p.Environ {
		if name, value, ok := strings.Cut(pair, "="); ok {
			s.env[name] = value
		}
	}
	root := s.rootCommand()
	root.SetArgs(p.Args)
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	s.report(err)
	return exitCode(err)
}

func (s *shell) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "muster",
		Short: "Registry and gateway for a fleet of workers",
		Long: `Muster keeps the register of a fleet of workers and asks all of them what a
caller may see.

Commands that talk to a gateway find it by --url or MUSTER_URL and show it a
token from --token-file, MUSTER_TOKEN or MUSTER_TOKEN_FILE, or that of muster
login.

Exit codes: 0 ok, 1 failed, 2 wrong usage or configuration, 3 not found,
4 no valid token, 5 unavailable, 6 denied.`,
		Example: `  muster dev
  muster dev token admin
  muster worker list -o json
  muster filter graph.json`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		s.logFor(cmd)
		return usageOf(cmd, err)
	})
	flags := root.PersistentFlags()
	flags.StringVarP(&s.output, "output", "o", formTable, "form of what is printed: table, json or yaml")
	flags.StringVar(&s.url, "url", "", "address of the gateway (MUSTER_URL; default "+defaultURL+")")
	flags.StringVar(&s.token, "token", "", "bearer token; a command line can be read by others: prefer --token-file or MUSTER_TOKEN")
	flags.StringVar(&s.tokenFile, "token-file", "", "file with the bearer token (MUSTER_TOKEN_FILE)")
	flags.StringVar(&s.caFile, "ca-file", "", "certificates that sign the gateway's, in place of the system's")
	s.complete(root, "output", formTable, formJSON, formYAML)
	root.AddCommand(
		s.serveCommand(), s.devCommand(), s.workerCommand(), s.modelCommand(), s.ruleCommand(), s.transformCommand(), s.filterCommand(),
		s.conformCommand(), s.adminCommand(), s.migrateCommand(), s.smokeCommand(), s.configCommand(), s.loginCommand(), s.logoutCommand(), s.whoamiCommand(),
		s.versionCommand(), s.completionCommand(),
	)
	s.group(root)
	s.strict(root)
	return root
}

// complete offers fixed values for a flag.
func (s *shell) complete(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // a flag that the command does not have: a defect that any test finds
	}
}

// group makes a command that only holds others refuse what it does not know.
func (s *shell) group(cmd *cobra.Command) {
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			// What fails to reach standard error cannot be reported anywhere.
			_, _ = io.WriteString(s.Err, cmd.UsageString()+"\n")
			return usageOf(cmd, errors.New("say which command"))
		}
		text := quote(args[0]) + " is not a command of " + cmd.CommandPath()
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			text += "; " + strings.Join(near, " or ") + " is the nearest one"
		}
		return usageOf(cmd, errors.New(text))
	}
}

// strict turns wrong arguments of every command into wrong usage and checks
// --output before anything is done.
func (s *shell) strict(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				s.logFor(cmd)
				return usageOf(cmd, err)
			}
			return nil
		}
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := s.checkOutput(cmd); err != nil {
				return usageOf(cmd, err)
			}
			return run(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		s.strict(sub)
	}
}

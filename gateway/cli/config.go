package cli

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/muster-fleet/muster/gateway/config"
)

// configFlags adds a flag for every configuration name that has one, except
// those left out. A flag can also be written as the name
// itself (--http.addr) or, for an address, without its ending (--http).
func configFlags(cmd *cobra.Command, without ...string) {
	flags := cmd.Flags()
	known := map[string]bool{}
	for _, f := range config.Fields() {
		if f.Flag == "" || slices.Contains(without, f.Key) {
			continue
		}
		known[f.Flag] = true
		usage := f.Doc + " (" + f.Env + ")"
		if f.Bool {
			flags.Bool(f.Flag, false, usage)
			continue
		}
		flags.String(f.Flag, "", usage)
	}
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if known[name+"-addr"] {
			name += "-addr"
		}
		if dashed := strings.ReplaceAll(name, ".", "-"); known[dashed] {
			name = dashed
		}
		return pflag.NormalizedName(name)
	})
}

// fileFlag adds --config.
func fileFlag(cmd *cobra.Command) {
	cmd.Flags().String("config", "", "configuration file, in YAML")
}

// configGiven returns the file and the flags that were given.
func configGiven(cmd *cobra.Command) (file string, given []config.FlagValue) {
	flags := cmd.Flags()
	if f := flags.Lookup("config"); f != nil {
		file = f.Value.String()
	}
	for _, field := range config.Fields() {
		if field.Flag != "" && flags.Lookup(field.Flag) != nil && flags.Changed(field.Flag) {
			given = append(given, config.FlagValue{
				Name: "--" + field.Flag, Key: field.Key, Value: flags.Lookup(field.Flag).Value.String(),
			})
		}
	}
	return file, given
}

func (s *shell) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Look at the configuration",
		Example: "  muster config check --config muster.yaml",
	}
	cmd.AddCommand(s.configCheckCommand())
	s.group(cmd)
	return cmd
}

func (s *shell) configCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and show what is in force, with the place that decided",
		Long: `Check the configuration that muster serve would start with, from the file, the
environment and the flags, and show what is in force, with the place that
decided. Every mistake is listed; exit code 2 when there is any. Secrets are not
shown. Nothing is started, and neither the store nor the issuer is called.`,
		Example: `  muster config check --config muster.yaml
  MUSTER_LIMITS_MAXBODY=4MiB muster config check -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, flags := configGiven(cmd)
			loaded, err := config.Load(file, s.Environ, flags)
			for _, w := range loaded.Warnings {
				s.say("warning: %s", w)
			}
			if err != nil {
				return err
			}
			return s.print(map[string]any{"ok": true, "warnings": append([]string{}, loaded.Warnings...), "settings": loaded.Settings},
				func(w io.Writer) error { return settingsTable(w, loaded.Settings) })
		},
	}
	fileFlag(cmd)
	configFlags(cmd)
	return cmd
}

func settingsTable(w io.Writer, all []config.Setting) error {
	if err := row(w, "NAME", "VALUE", "FROM"); err != nil {
		return err
	}
	for _, set := range all {
		value := set.Value
		if strings.ContainsAny(value, " \t") {
			value = strconv.Quote(value)
		}
		if err := row(w, set.Key, value, set.Source); err != nil {
			return err
		}
	}
	return nil
}

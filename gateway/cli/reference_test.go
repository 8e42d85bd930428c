package cli

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write docs/reference/cli.md anew")

const (
	referenceFile = "../../docs/reference/cli.md"
	begin         = "<!-- commands: begin -->"
	end           = "<!-- commands: end -->"
)

// reference describes a command and those below it.
func reference(b *strings.Builder, cmd *cobra.Command) {
	if cmd.Hidden || cmd.Name() == "help" {
		return
	}
	if cmd.HasParent() && !cmd.HasSubCommands() || cmd.Name() == "dev" {
		text := cmd.Long
		if text == "" {
			text = cmd.Short + "."
		}
		fmt.Fprintf(b, "### %s\n\n%s\n\n```\n%s\n```\n\n", cmd.CommandPath(), text, cmd.UseLine())
		if usage := cmd.NonInheritedFlags().FlagUsages(); usage != "" {
			fmt.Fprintf(b, "```\n%s```\n\n", usage)
		}
		fmt.Fprintf(b, "```sh\n%s\n```\n\n", strings.ReplaceAll(strings.TrimSpace(cmd.Example), "\n  ", "\n"))
	}
	for _, sub := range cmd.Commands() {
		reference(b, sub)
	}
}

func TestReferenceIsTheCode(t *testing.T) {
	got, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(got), begin+"\n")
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has lost its markers", referenceFile)
	}
	var b strings.Builder
	root := (&shell{env: map[string]string{}}).rootCommand()
	reference(&b, root)
	fmt.Fprintf(&b, "### Flags of every command\n\n```\n%s```\n", root.PersistentFlags().FlagUsages())
	want := before + begin + "\n" + b.String() + end + after
	if *update {
		if err := os.WriteFile(referenceFile, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if string(got) != want {
		t.Errorf("%s is not what the commands say; go test ./cli -run Reference -update writes it", referenceFile)
	}
}

// Every command says what it does, shows it, and completes without a gateway.
func TestCommandsAreDescribed(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Name() == "help" {
			return
		}
		if cmd.Short == "" || cmd.Example == "" || cmd.RunE == nil || cmd.Args == nil {
			t.Errorf("%s lacks a description, an example, or its arguments", cmd.CommandPath())
		}
		if strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: its short description is no sentence", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit((&shell{env: map[string]string{}}).rootCommand())
}

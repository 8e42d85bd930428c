package cli

import (
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type versions struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Dirty   bool   `json:"dirty"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// versions tells what the program was built from: what the release says, and
// what the Go tool recorded.
func (s *shell) versions() versions {
	v := versions{Version: s.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		if v.Version == "" {
			v.Version = info.Main.Version
		}
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				v.Commit = setting.Value
			case "vcs.modified":
				v.Dirty = setting.Value == "true"
			}
		}
	}
	if v.Version == "" {
		v.Version = "(devel)"
	}
	return v
}

func (s *shell) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show what this program was built from",
		Example: "  muster version -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := s.versions()
			return s.print(v, func(w io.Writer) error {
				commit := v.Commit
				if v.Dirty {
					commit += " with changes"
				}
				for _, line := range [][]string{
					{"version", v.Version}, {"commit", commit}, {"go", v.Go}, {"platform", v.OS + "/" + v.Arch},
				} {
					if err := row(w, line...); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

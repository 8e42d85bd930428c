// Command tidycheck keeps the go.mod files of the workspace in step: every
// module replaces every sibling that it needs, directly or through another, by
// the sibling's directory; nothing else is replaced; the go line is the same
// everywhere and no toolchain line stands; the DuckDB driver has one version;
// and every go.mod of the tree is known. It changes nothing.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

const prefix = "github.com/muster-fleet/muster/"

// apart are the modules that stay outside go.work on purpose: the tools.
var apart = []string{"tools", "tools/lint", "tools/bench"}

// oneVersion are the dependencies of which two versions must never meet: they
// write and read the same files.
var oneVersion = []string{"github.com/duckdb/duckdb-go/v2"}

func main() {
	top := flag.String("root", ".", "directory of go.work")
	flag.Parse()
	if err := run(*top, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tidycheck:", err)
		os.Exit(1)
	}
}

// run checks the workspace at top and reports every fault that it finds in one
// error.
func run(top string, out io.Writer) error {
	work, err := readWork(filepath.Join(top, "go.work"))
	if err != nil {
		return err
	}
	mods := map[string]*modfile.File{}
	for _, dir := range slices.Concat(work.dirs, apart) {
		mod, err := readMod(filepath.Join(top, dir, "go.mod"))
		if errors.Is(err, fs.ErrNotExist) && slices.Contains(apart, dir) {
			continue
		}
		if err != nil {
			return err
		}
		mods[dir] = mod
	}
	faults := slices.Concat(
		checkKnown(top, mods), checkGo(work.version, mods), checkReplaces(mods), checkVersions(mods),
	)
	if len(faults) > 0 {
		return errors.New(strings.Join(faults, "\n\t"))
	}
	_, err = fmt.Fprintf(out, "tidycheck: %d modules are in step\n", len(mods))
	return err
}

type workFile struct {
	version string
	dirs    []string
}

func readWork(path string) (workFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return workFile{}, err
	}
	f, err := modfile.ParseWork(path, data, nil)
	if err != nil {
		return workFile{}, err
	}
	if f.Go == nil {
		return workFile{}, fmt.Errorf("%s has no go line", path)
	}
	w := workFile{version: f.Go.Version}
	for _, u := range f.Use {
		w.dirs = append(w.dirs, filepath.Clean(u.Path))
	}
	return w, nil
}

func readMod(path string) (*modfile.File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return modfile.Parse(path, data, nil)
}

// checkKnown finds go.mod files that neither the workspace nor apart names.
func checkKnown(top string, mods map[string]*modfile.File) (faults []string) {
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || (strings.HasPrefix(d.Name(), ".") && path != top)) {
			return filepath.SkipDir
		}
		if d.Name() != "go.mod" {
			return nil
		}
		dir, err := filepath.Rel(top, filepath.Dir(path))
		if err == nil && mods[dir] == nil {
			faults = append(faults, dir+"/go.mod is neither in go.work nor one of the tools' modules; a new module needs an ADR")
		}
		return err
	})
	if err != nil {
		faults = append(faults, err.Error())
	}
	return faults
}

func checkGo(want string, mods map[string]*modfile.File) (faults []string) {
	for _, dir := range sorted(mods) {
		m := mods[dir]
		switch {
		case m.Go == nil:
			faults = append(faults, dir+"/go.mod has no go line")
		case m.Go.Version != want:
			faults = append(faults, fmt.Sprintf("%s/go.mod says go %s; go.work says %s", dir, m.Go.Version, want))
		}
		if m.Toolchain != nil {
			faults = append(faults, dir+"/go.mod has a toolchain line; the go line is enough")
		}
	}
	return faults
}

// checkReplaces follows the siblings that each module requires, and theirs.
func checkReplaces(mods map[string]*modfile.File) (faults []string) {
	for _, dir := range sorted(mods) {
		replaced := map[string]bool{}
		for _, r := range mods[dir].Replace {
			sibling, ours := strings.CutPrefix(r.Old.Path, prefix)
			want, err := filepath.Rel(dir, sibling)
			if !ours || err != nil || filepath.Clean(r.New.Path) != want {
				faults = append(faults, fmt.Sprintf("%s/go.mod replaces %s by %s; only siblings are replaced there, by their directory", dir, r.Old.Path, r.New.Path))
				continue
			}
			replaced[sibling] = true
		}
		for _, need := range siblings(dir, mods, map[string]bool{}) {
			if !replaced[need] {
				rel, err := filepath.Rel(dir, need)
				if err != nil {
					rel = need
				}
				faults = append(faults, fmt.Sprintf("%s/go.mod lacks: replace %s => %s", dir, prefix+need, rel))
			}
		}
	}
	return faults
}

// siblings returns the modules of ours that dir needs, directly or not.
func siblings(dir string, mods map[string]*modfile.File, seen map[string]bool) []string {
	m := mods[dir]
	if m == nil {
		return nil
	}
	var all []string
	for _, r := range m.Require {
		if s, ours := strings.CutPrefix(r.Mod.Path, prefix); ours && !seen[s] {
			seen[s] = true
			all = append(append(all, s), siblings(s, mods, seen)...)
		}
	}
	return all
}

func checkVersions(mods map[string]*modfile.File) (faults []string) {
	for _, path := range oneVersion {
		first, in := "", ""
		for _, dir := range sorted(mods) {
			for _, r := range mods[dir].Require {
				switch {
				case r.Mod.Path != path:
				case first == "":
					first, in = r.Mod.Version, dir
				case r.Mod.Version != first:
					faults = append(faults, fmt.Sprintf("%s is %s in %s and %s in %s; they would open the same files", path, first, in, r.Mod.Version, dir))
				}
			}
		}
	}
	return faults
}

func sorted(mods map[string]*modfile.File) []string {
	dirs := make([]string, 0, len(mods))
	for dir := range mods {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return dirs
}

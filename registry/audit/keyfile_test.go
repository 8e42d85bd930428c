package audit

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestEnsureKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "muster.db.audit-key")
	keys, made, err := EnsureKeyFile(path)
	if err != nil || !made || len(keys.IDs()) != 1 {
		t.Fatalf("%v, %v, %v", keys, made, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	again, made, err := EnsureKeyFile(path)
	if err != nil || made || again.Current() != keys.Current() {
		t.Errorf("the second time: %v, %v, %v", again, made, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, _, err := EnsureKeyFile(filepath.Join(path, "no", "directory")); err == nil {
		t.Error("a place that cannot be is taken")
	}
}

// Of several that make the file at once all get the same key.
func TestEnsureKeyFileAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			keys, _, err := EnsureKeyFile(path)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = keys.Current()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("several keys: %v", ids)
		}
	}
}

func TestReadKeyFileRefuses(t *testing.T) {
	good := NewKey()
	for name, c := range map[string]struct {
		text string
		mode fs.FileMode
		want string
	}{
		"the group may read":   {good, 0o640, "chmod 600"},
		"all may read":         {good, 0o604, "chmod 600"},
		"the group may write":  {good, 0o620, "chmod 600"},
		"no key":               {"hunter2\n", 0o600, "line 1 is neither hex nor base64"},
		"nothing":              {"", 0o600, "there is no key"},
		"more than keys":       {strings.Repeat("# \n", maxKeyFile), 0o600, "longer than"},
		"the owner alone":      {good, 0o400, ""},
		"the owner, to change": {good, 0o600, ""},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := ReadKeyFile(path)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error has the key", name)
		}
	}
	if _, err := ReadKeyFile(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := ReadKeyFile(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there is read")
	}
}

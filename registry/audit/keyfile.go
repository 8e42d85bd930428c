package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxKeyFile bounds a key file, in bytes.
const maxKeyFile = 64 << 10

// ReadKeyFile reads the keys of a file. It refuses one that others may read: such
// as has permissions for others than its owner, but for the group's to read when
// the file is root's and the process is not, which is how a secret is mounted for
// somebody else.
func ReadKeyFile(path string) (*Keys, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the key file of the audit log cannot be read: %w", err)
	}
	defer func() {
		// It was only read; a failed close changes nothing.
		_ = f.Close()
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("the key file of the audit log cannot be read: %w", err)
	}
	if err := private(path, info); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("the key file of the audit log cannot be read: %w", err)
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("the key file of the audit log %s is longer than %d bytes", path, maxKeyFile)
	}
	keys, err := ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("the key file of the audit log %s: %w; write one key a line, of at least %d bytes, in hex or base64, the newest first",
			path, err, MinKey)
	}
	return keys, nil
}

// private refuses a file that others than its owner may read or change.
func private(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("the key file of the audit log %s is no regular file", path)
	}
	allowed := fs.FileMode(0o700)
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid == 0 && os.Geteuid() != 0 {
		allowed = 0o740
	}
	if mode := info.Mode().Perm(); mode&^allowed != 0 {
		return fmt.Errorf("the key file of the audit log %s has the mode %#o: others may read or change it; chmod 600 it, and make a new key if anybody did",
			path, mode)
	}
	return nil
}

// EnsureKeyFile reads the keys of a file, which it makes with a new key, readable by
// its owner alone, when it is not there. made tells that it did.
func EnsureKeyFile(path string) (keys *Keys, made bool, err error) {
	keys, err = ReadKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, false, err
	}
	if err := makeKeyFile(path); err != nil {
		return nil, false, fmt.Errorf("the key file of the audit log cannot be made: %w", err)
	}
	keys, err = ReadKeyFile(path)
	return keys, true, err
}

// makeKeyFile makes a whole file or none, on disk before it has its name: a log
// chained with a key that a power cut took could not be verified any more.
func makeKeyFile(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.part") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString("# Keys of the audit log, the newest first. Without them it cannot be verified: keep a copy elsewhere.\n" + NewKey())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		// A link fails when somebody else has made the file in the meantime.
		if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	return errors.Join(err, os.Remove(f.Name()), syncDir(filepath.Dir(path)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

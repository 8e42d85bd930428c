package duckdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/store"
)

// fileLock is the lock on a store's file, held through a file beside it. DuckDB
// locks the file too, but that lock is the process's: it does not keep the same
// process from opening the file twice, and tells less.
type fileLock struct{ f *os.File }

// holder is what the lock's file tells of its holder.
type holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// lockFile takes the lock or says who has it. The kernel lets go of it when its
// holder ends, however that happens; a file left behind locks nothing.
func lockFile(path string) (*fileLock, error) {
	name := path + ".lock"
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fileError(name, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }() // only read from
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, store.Unavailable(path, "cannot be locked on this file system; use one that knows flock").Wrap(err)
		}
		return nil, lockedBy(path, readHolder(f)).Wrap(err)
	}
	l := &fileLock{f: f}
	if err := l.sign(); err != nil {
		return nil, errors.Join(fileError(name, err), l.release())
	}
	return l, nil
}

// sign writes who holds the lock.
func (l *fileLock) sign() error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // it is for people only
	}
	data, err := json.Marshal(holder{PID: os.Getpid(), Host: host, Since: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	if err := l.f.Truncate(0); err != nil {
		return err
	}
	_, err = l.f.WriteAt(append(data, '\n'), 0)
	return err
}

// release lets go of the lock. The file stays: removing it would let two
// processes lock two files of the same name.
func (l *fileLock) release() error { return l.f.Close() }

// readHolder describes the holder; it may be between taking the lock and
// signing.
func readHolder(f *os.File) string {
	const most = 4096
	data, err := io.ReadAll(io.NewSectionReader(f, 0, most))
	var h holder
	if err != nil || json.Unmarshal(data, &h) != nil || h.PID == 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d on host %q since %s", h.PID, h.Host, h.Since.Format(time.RFC3339))
}

var pidInMessage = regexp.MustCompile(`\(PID (\d+)\)`)

// holderIn finds the holder in DuckDB's message about its own lock: a program
// that is not Muster, such as the duckdb shell.
func holderIn(msg string) string {
	if m := pidInMessage.FindStringSubmatch(msg); m != nil {
		return "process " + m[1] + " (not by way of Muster)"
	}
	return "another process"
}

func lockedBy(path, who string) *fault.Error {
	return fault.New(fault.Unavailable, store.CodeLocked,
		"the store %s is held by %s; a DuckDB store serves one process: end that one, or use PostgreSQL for several", path, who)
}

// checkDirectory tells what DuckDB would tell less clearly.
func checkDirectory(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return store.Unavailable(dir, "cannot be made: the directory does not exist; create it").Wrap(err)
	case err != nil:
		return fileError(dir, err)
	case !info.IsDir():
		return store.Unavailable(dir, "cannot be made: that is not a directory")
	}
	probe, err := os.CreateTemp(dir, ".muster-*")
	if err != nil {
		return store.Unavailable(dir, "cannot be written: no file can be made in its directory").Wrap(err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// checkFile looks at a file that is there, before DuckDB opens it: closing any
// descriptor of the file later would end DuckDB's own lock on it. An empty file
// is what a start leaves that was killed before it wrote anything.
func checkFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fileError(path, err)
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return fileError(path, err)
	}
	if !info.Mode().IsRegular() {
		return store.Unavailable(path, "is not a regular file")
	}
	if info.Size() == 0 {
		if err := os.Remove(path); err != nil {
			return fileError(path, err)
		}
		return nil
	}
	// Twelve bytes: a checksum, then the magic word.
	header := make([]byte, 12)
	if _, err := io.ReadFull(f, header); err != nil || !strings.HasSuffix(string(header), "DUCK") {
		return store.Unavailable(path, "is no DuckDB file, or a broken one; restore a copy, or name another file").Wrap(err)
	}
	return nil
}

func fileError(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return store.Unavailable(path, fmt.Sprintf("cannot be opened for writing by user %d: permission denied", os.Getuid())).Wrap(err)
	}
	return store.Unavailable(path, "cannot be opened").Wrap(err)
}

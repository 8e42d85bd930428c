package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// keptVersion is the layout of the file that logins are kept in.
const keptVersion = 1

// keptFile is what "muster login" leaves behind: one login a gateway, by its
// address. Only its owner may read it.
type keptFile struct {
	Version  int                  `json:"version"`
	Gateways map[string]keptLogin `json:"gateways"`
}

// keptLogin is a login of one person at one gateway.
type keptLogin struct {
	Issuer       string    `json:"issuer"`
	ClientID     string    `json:"clientID"`
	AccessToken  string    `json:"accessToken"`
	RefreshToken string    `json:"refreshToken,omitempty"`
	Expires      time.Time `json:"expires"`
}

// keptPath is where logins are kept; empty when the environment names no place.
func (s *shell) keptPath() string {
	switch {
	case s.env["MUSTER_LOGIN_FILE"] != "":
		return s.env["MUSTER_LOGIN_FILE"]
	case s.env["XDG_CONFIG_HOME"] != "":
		return filepath.Join(s.env["XDG_CONFIG_HOME"], "muster", "login.json")
	case s.env["HOME"] != "":
		return filepath.Join(s.env["HOME"], ".config", "muster", "login.json")
	default:
		return ""
	}
}

// readKept reads the file; nil when there is none. A file that others may read is
// refused, for it may have been copied.
func readKept(path string) (*keptFile, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, usagef("mend it, or log in anew after removing it", "the kept login cannot be read: %v", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, usagef("chmod 600 it, or better: remove it and log in anew",
			"the kept login %s may be read by others (mode %04o)", path, info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("mend it, or log in anew after removing it", "the kept login cannot be read: %v", err)
	}
	var kept keptFile
	// The decoder's error could quote a token.
	if err := json.Unmarshal(data, &kept); err != nil || kept.Version != keptVersion {
		return nil, usagef("remove it and log in anew", "the kept login %s is not of this version of muster, or broken", path)
	}
	return &kept, nil
}

// changeKept edits the file under a lock, so that two commands at once do not
// lose each other's: the provider may take a refresh token once only.
func changeKept(path string, edit func(*keptFile) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("the directory of the kept login: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("the lock of the kept login: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }() // closing gives the lock back
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("the lock of the kept login: %w", err)
	}
	kept, err := readKept(path)
	if err != nil {
		return err
	}
	if kept == nil {
		kept = &keptFile{Version: keptVersion}
	}
	if kept.Gateways == nil {
		kept.Gateways = map[string]keptLogin{}
	}
	if err := edit(kept); err != nil {
		return err
	}
	return writeKept(path, kept)
}

// writeKept puts the file in place whole: a kill leaves the old one.
func writeKept(path string, kept *keptFile) error {
	data, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return fmt.Errorf("keep the login: %w", err)
	}
	part, err := os.CreateTemp(filepath.Dir(path), ".login-*") // 0600
	if err != nil {
		return fmt.Errorf("keep the login: %w", err)
	}
	_, err = part.Write(append(data, '\n'))
	err = errors.Join(err, part.Sync(), part.Close())
	if err == nil {
		err = os.Rename(part.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("keep the login: %w", errors.Join(err, os.Remove(part.Name())))
	}
	return nil
}

package transform

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
)

// maxSecret bounds a secret's file, in bytes.
const maxSecret = 64 << 10

// readSecret reads a client's secret below the configured directory; no link leads
// out of it. It is read anew for each attempt, so that it can be changed under
// way.
func readSecret(dir, name string) (string, error) {
	if dir == "" {
		return "", fail(codeSecret, "this gateway has no directory for the secrets of steps; configure transformations.secretsDir")
	}
	text, err := readBelow(dir, name)
	if err != nil {
		// The error names the file; it does not quote it.
		return "", fail(codeSecret, "the file %q below transformations.secretsDir cannot be read: %s", name, reason(err)).because(err)
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" || len(text) > maxSecret {
		return "", fail(codeSecret, "the file %q below transformations.secretsDir is empty or larger than %d bytes", name, maxSecret)
	}
	return secret, nil
}

func readBelow(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	// Nothing was written, so closing cannot lose anything.
	defer func() { _ = root.Close() }()
	// A pipe would be waited for, beyond the attempt's own end.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	return io.ReadAll(io.LimitReader(f, maxSecret+1))
}

// reason is what happened, without the path, which the reader need not know.
func reason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return err.Error()
}

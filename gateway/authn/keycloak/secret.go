package keycloak

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

const maxSecret = 64 << 10

// secret is the client's secret, fixed or in a file. It prints as nothing.
type secret struct {
	file string

	mu   sync.Mutex
	last string
}

func newSecret(fixed, file string) (*secret, error) {
	s := &secret{file: file, last: fixed}
	if file == "" {
		if fixed == "" {
			return nil, errors.New("the client's secret (auth.clientSecretFile) is missing")
		}
		return s, nil
	}
	text, err := readSecret(file)
	if err != nil {
		return nil, err
	}
	s.last = text
	return s, nil
}

// value returns the secret as it is now. While the file cannot be read, as when
// it is being replaced, the last good one serves.
func (s *secret) value() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != "" {
		if text, err := readSecret(s.file); err == nil {
			s.last = text
		}
	}
	return s.last
}

// String keeps the secret out of every format verb.
func (s *secret) String() string { return "[secret]" }

func readSecret(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("read the client's secret: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("read the client's secret: %w", err)
	}
	text := strings.TrimRight(string(b), "\r\n")
	if text == "" || len(b) > maxSecret {
		return "", fmt.Errorf("the client's secret file %s is empty or larger than %d bytes", file, maxSecret)
	}
	return text, nil
}

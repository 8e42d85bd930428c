package keycloaktest

import (
	"strings"
	"sync"
)

// tail keeps the beginning and the last part of what a process prints.
type tail struct {
	mu   sync.Mutex
	head string
	last []byte
}

const (
	headBytes = 64
	tailBytes = 16 << 10
)

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.head) < headBytes {
		t.head += string(p[:min(len(p), headBytes-len(t.head))])
	}
	t.last = append(t.last, p...)
	if over := len(t.last) - tailBytes; over > 0 {
		t.last = t.last[over:]
	}
	return len(p), nil
}

func (t *tail) first() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head
}

// String implements fmt.Stringer.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(t.last), "?")
}

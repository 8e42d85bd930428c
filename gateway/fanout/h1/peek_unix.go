//go:build unix

package h1

import (
	"errors"
	"syscall"
)

// readable reports, without waiting, whether the socket has something to read:
// bytes, the peer's end of file, or an error. It is false when unknown.
func (cn *conn) readable() bool {
	if cn.raw == nil {
		return false
	}
	var one [1]byte
	found := false
	// The socket is non-blocking, as all of Go's are.
	err := cn.raw.Control(func(fd uintptr) {
		_, _, errno := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
		found = !errors.Is(errno, syscall.EAGAIN) && !errors.Is(errno, syscall.EINTR)
	})
	return found || err != nil
}

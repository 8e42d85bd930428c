// Package cputime reads the kernel's CPU clocks of processes and threads, as
// clock_getcpuclockid(3) describes them. They count in nanoseconds what /proc
// rounds to ticks, and others on the machine cannot lengthen them as they do a
// wall clock's.
package cputime

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"
)

// Tick is the unit in which the kernel accounts for CPU time in /proc (USER_HZ
// is 100 on Linux). Less than a few of them is not worth believing, whatever the
// clock says.
const Tick = 10 * time.Millisecond

// Process returns the user and system time that a process has used, ended
// threads included and children not. The error is syscall.EINVAL or
// syscall.ESRCH when there is no such process.
func Process(pid int) (time.Duration, error) {
	const scheduler, largest = 2, 1 << 28
	if pid < 1 || pid > largest {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, syscall.ESRCH)
	}
	t, err := clock(uintptr(int32(^pid<<3 | scheduler)))
	if err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return t, nil
}

// Thread returns the CPU time of the calling thread. The caller has locked its
// goroutine to it.
func Thread() (time.Duration, error) {
	const thread = 3 // CLOCK_THREAD_CPUTIME_ID
	t, err := clock(thread)
	if err != nil {
		return 0, fmt.Errorf("CPU clock of this thread: %w", err)
	}
	return t, nil
}

func clock(id uintptr) (time.Duration, error) {
	var t syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, id, uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		return 0, errno
	}
	return time.Duration(t.Nano()), nil
}

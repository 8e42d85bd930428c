//go:build unix

package pipeline_test

import (
	"syscall"
	"time"
)

// cpu returns the processor time that this process has used: on a machine that
// does other work too, it says more than the clock.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

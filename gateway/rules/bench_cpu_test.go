//go:build unix

package rules_test

import (
	"syscall"
	"testing"
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

// reportCPU adds the processor time per node, and nodes per second of it.
func reportCPU(b *testing.B, start time.Duration, nodes int) {
	each := float64(cpu()-start) / float64(b.N) / float64(nodes)
	b.ReportMetric(each, "cpu-ns/node")
	b.ReportMetric(1e9/each, "nodes/cpu-s")
}

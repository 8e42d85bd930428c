package element

import (
	"syscall"
	"testing"
	"time"
)

// cpu is the processor time this process has used. On a machine that others use
// too it repeats far better than the clock.
func cpu() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0 // then the metric is missing, nothing else
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// reportCPU adds "cpu-MB/s" or "cpu-ns/op" to a benchmark that started at start.
func reportCPU(b *testing.B, start time.Duration, bytes int) {
	spent := cpu() - start
	if bytes > 0 && spent > 0 {
		b.ReportMetric(float64(bytes)*float64(b.N)/spent.Seconds()/1e6, "cpu-MB/s")
		return
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "cpu-ns/op")
}

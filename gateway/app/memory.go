package app

import (
	"log/slog"
	"math"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryShare is how much of the container's or machine's memory Go may use
// before it collects harder; the rest is the store's and the kernel's.
const memoryShare = 0.8

// fallbackInflight is used when no memory limit can be found.
const fallbackInflight = 1 << 30

// setMemoryLimit makes Go respect the memory that the control group, or else the
// machine, has, unless GOMEMLIMIT says something, and returns the limit in force
// (0 when there is none).
func setMemoryLimit(log *slog.Logger) int64 {
	if _, err := memlimit.Set(
		memlimit.WithRatio(memoryShare),
		memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)),
		memlimit.WithLogger(slog.New(slog.DiscardHandler)),
	); err != nil {
		log.Debug("no memory limit found", "error", err)
	}
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return limit
	}
	return 0
}

// inflightBytes returns limits.inflightBytes, or its default: half of the memory
// limit.
func inflightBytes(configured, memoryLimit int64) int64 {
	switch {
	case configured > 0:
		return configured
	case memoryLimit > 0:
		return memoryLimit / 2
	default:
		return fallbackInflight
	}
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/muster-fleet/muster/tools/bench/cputime"
)

// cpuTime returns user and system time of a process and its children that are
// still alive.
func cpuTime(pid int) (time.Duration, error) {
	total, err := cputime.Process(pid)
	if err != nil {
		return 0, err
	}
	for _, child := range children(pid) {
		t, err := cpuTime(child)
		if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ESRCH) {
			continue // it ended in between
		}
		if err != nil {
			return 0, err
		}
		total += t
	}
	return total, nil
}

func children(pid int) []int {
	var pids []int
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil // the pattern is a constant
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread ended in between
		}
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// peakMemory returns the largest resident size that a process ever had, in
// bytes.
func peakMemory(pid int) (int64, error) {
	f, err := os.Open(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // only read from
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmHWM", pid)
}

// schedIdle is SCHED_IDLE of sched(7): runs only when nothing else wants to.
const schedIdle = 5

// spin keeps every core awake, at idle priority, until done is closed. A halted
// virtual core is slow to wake, and a load with one connection would measure
// that instead of the gateway.
func spin(done <-chan struct{}) error {
	errs := make(chan error, runtime.NumCPU())
	for range runtime.NumCPU() {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var param int32
			if _, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETSCHEDULER, 0, schedIdle, uintptr(unsafe.Pointer(&param))); errno != 0 {
				errs <- fmt.Errorf("SCHED_IDLE: %w", errno)
				return
			}
			for {
				select {
				case <-done:
					errs <- nil
					return
				default:
					for range 10_000 {
					}
				}
			}
		}()
	}
	var err error
	for range runtime.NumCPU() {
		err = errors.Join(err, <-errs)
	}
	return err
}

// machine describes where the numbers were measured, in one line.
func machine() string {
	model := "unknown CPU"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel := "unknown kernel"
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = "Linux " + strings.TrimSpace(string(text))
	}
	memory := ""
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int64
		if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kib); err == nil {
			memory = fmt.Sprintf(", %d GiB", (kib+1<<19)>>20)
		}
	}
	return fmt.Sprintf("%d cores (%s)%s, %s, %s, loopback", runtime.NumCPU(), model, memory, kernel, runtime.Version())
}

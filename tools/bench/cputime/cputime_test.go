package cputime_test

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/muster-fleet/muster/tools/bench/cputime"
)

// work keeps this thread busy until its clock has moved on by d.
func work(t *testing.T, d time.Duration) {
	t.Helper()
	begin, err := cputime.Thread()
	if err != nil {
		t.Fatal(err)
	}
	for {
		now, err := cputime.Thread()
		if err != nil {
			t.Fatal(err)
		}
		if now-begin >= d {
			return
		}
	}
}

func TestWorkCounts(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := cputime.Process(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const busy = 30 * time.Millisecond
	work(t, busy)
	after, err := cputime.Process(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after-before < busy {
		t.Errorf("the process used %s while a thread of it used %s", after-before, busy)
	}
}

func TestSleepDoesNot(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := cputime.Thread()
	if err != nil {
		t.Fatal(err)
	}
	const long = 50 * time.Millisecond
	<-time.After(long)
	after, err := cputime.Thread()
	if err != nil {
		t.Fatal(err)
	}
	if after-before >= long {
		t.Errorf("%s of CPU time in a sleep of %s", after-before, long)
	}
}

func TestNoSuchProcess(t *testing.T) {
	for _, pid := range []int{-1, 0, 1 << 28, 1 << 30} {
		if _, err := cputime.Process(pid); !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d: %v", pid, err)
		}
	}
}

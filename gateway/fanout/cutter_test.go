package fanout_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// cutter passes bytes on to an address, until it is told to cut.
type cutter struct {
	addr string
	done atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{addr: ln.Addr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, in, out)
			c.mu.Unlock()
			running.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
			running.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		c.closeAll()
		running.Wait()
	})
	return c
}

// cut closes every connection, the first time that it is called, and then
// returns true.
func (c *cutter) cut() bool {
	if !c.done.CompareAndSwap(false, true) {
		return false
	}
	c.closeAll()
	return true
}

func (c *cutter) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

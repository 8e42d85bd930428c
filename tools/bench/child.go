package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// child is a process that was started for a measurement.
type child struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	// addrs are where it listens.
	addrs []string
	lines *bufio.Reader
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// start runs a program with its input held open; its first lines can be read
// from lines.
func start(ctx context.Context, name, path string, env []string, args ...string) (*child, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = 10 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return &child{name: name, cmd: cmd, stdin: stdin, lines: bufio.NewReader(stdout)}, nil
}

// startSelf runs this program's serve command.
func startSelf(ctx context.Context, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c, err := start(ctx, "bench serve "+strings.Join(args, " "), self, nil, append([]string{"serve"}, args...)...)
	if err != nil {
		return nil, err
	}
	line, err := c.lines.ReadBytes('\n')
	var r ready
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s said nothing of use: %w", c.name, err), c.stop())
	}
	c.addrs = r.Addrs
	return c, nil
}

// startNginx runs nginx on a free port as a proxy to worker.
func startNginx(ctx context.Context, dir, worker string, processes int) (*child, error) {
	path, err := nginxPath()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	args, err := writeNginx(dir, addr, worker, processes)
	if err != nil {
		return nil, err
	}
	c, err := start(ctx, "nginx", path, nil, args...)
	if err != nil {
		return nil, err
	}
	c.addrs = []string{addr}
	if err := answers(ctx, addr, 10*time.Second); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// freeAddr returns an address of 127.0.0.1 that was free a moment ago.
func freeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// answers waits until addr takes connections.
func answers(ctx context.Context, addr string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s takes no connection after %s: %w", addr, within, err)
		case <-again.C:
		}
	}
}

// stop ends a child and waits for it. Being ended by our own signal is no fault.
func (c *child) stop() error {
	if err := c.stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := c.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGTERM {
			return nil
		}
	}
	return err
}

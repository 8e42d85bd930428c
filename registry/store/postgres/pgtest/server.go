package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	osexec "os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a throw-away PostgreSQL on a free port of 127.0.0.1. Its files are
// not synced to disk: it is to survive the death of its processes, not of the
// machine. Methods must not be called by two goroutines at once.
type Server struct {
	bin, dir, password string
	port               int
	as                 *syscall.SysProcAttr
	lifeline           io.Closer
	ended              chan struct{} // closed when the process has ended; nil when there is none
}

// Start starts a server for one test, which may kill it; it is removed when the
// test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return s
}

// DSN is the URL of the server's own database, for a user who may do everything.
func (s *Server) DSN() string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("muster", s.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Path: "/postgres",
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

func start() (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	as, uid, gid, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "muster-pg-")
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	s := &Server{bin: bin, dir: dir, password: rand.Text(), as: as}
	if err := s.initialise(uid, gid); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.Up(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// binaries finds the newest installed server.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", fmt.Errorf("pgtest: %w", err)
	}
	if len(found) == 0 {
		return "", fmt.Errorf("pgtest: no PostgreSQL server under /usr/lib/postgresql: install one (tools/setup does, or: "+
			"apt-get install postgresql), or set %s to a postgres:// URL whose user may create databases", EnvDSN)
	}
	version := func(path string) int {
		// Names that are no numbers sort first, and are never the newest.
		n, err := strconv.Atoi(strings.Split(path, "/")[4])
		if err != nil {
			return -1
		}
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

// unprivileged is the user to run as: PostgreSQL refuses to run as root.
func unprivileged() (as *syscall.SysProcAttr, uid, gid int, err error) {
	as = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() != 0 {
		return as, os.Getuid(), os.Getgid(), nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil {
			as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
			return as, uid, gid, nil
		}
	}
	return nil, 0, 0, errors.New("pgtest: run as root, but there is neither a user postgres nor nobody to run the server as")
}

// initialise makes the data directory.
func (s *Server) initialise(uid, gid int) error {
	secret := filepath.Join(s.dir, "password")
	if err := os.WriteFile(secret, []byte(s.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	for _, path := range []string{s.dir, secret} {
		if err := os.Chown(path, uid, gid); err != nil {
			return fmt.Errorf("pgtest: %w", err)
		}
	}
	initdb := osexec.Command(filepath.Join(s.bin, "initdb"), "-D", s.data(), "-U", "muster", "--pwfile", secret,
		"--auth=scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	initdb.SysProcAttr, initdb.Dir = s.as, s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }
func (s *Server) log() string  { return filepath.Join(s.dir, "log") }

// script runs the server until it ends or standard input does, which it does
// when the test binary dies, however that happens. A server that is only just
// starting ignores the signal, as the shell's background processes do; hence the
// loop.
const script = `exec 3<&0
"$@" 3<&- &
pid=$!
( cat <&3 >/dev/null; while kill -QUIT $pid 2>/dev/null; do sleep 0.1; done ) &
watch=$!
exec 3<&-
wait $pid
code=$?
kill $watch 2>/dev/null
exit $code`

// Up starts the server and waits until it answers. It keeps its port over
// restarts.
func (s *Server) Up() error {
	const attempts, patience = 5, 30 * time.Second
	var err error
	for range attempts {
		keep := s.port != 0
		if !keep {
			if s.port, err = freePort(); err != nil {
				return err
			}
		}
		if err = s.launch(); err != nil {
			return err
		}
		if err = s.await(patience); err == nil {
			return nil
		}
		s.end() // right after a kill the old server's children may still be there
		if !keep {
			s.port = 0 // somebody else was faster
		}
	}
	return err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("pgtest: find a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

func (s *Server) launch() error {
	args := []string{"-c", script, "sh", filepath.Join(s.bin, "postgres"), "-D", s.data(), "-p", strconv.Itoa(s.port)}
	for _, set := range []string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=" + s.dir, "fsync=off", "full_page_writes=off",
		"shared_buffers=32MB", "max_connections=200", "log_min_messages=warning",
	} {
		args = append(args, "-c", set)
	}
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	defer func() { _ = log.Close() }() // the server has its own descriptor
	proc := osexec.Command("/bin/sh", args...)
	proc.SysProcAttr, proc.Dir, proc.Stdout, proc.Stderr = s.as, s.dir, log, log
	if s.lifeline, err = proc.StdinPipe(); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	if err := proc.Start(); err != nil {
		return fmt.Errorf("pgtest: start the server: %w", err)
	}
	ended := make(chan struct{})
	s.ended = ended
	go func() {
		// Its status says how it was ended, which whoever ended it knows.
		_ = proc.Wait()
		close(ended)
	}()
	return nil
}

// await waits until the server takes logins.
func (s *Server) await(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.DSN())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return fmt.Errorf("pgtest: the server ended at once:\n%s", s.tail())
		case <-ctx.Done():
			return fmt.Errorf("pgtest: the server does not answer: %w\n%s", err, s.tail())
		}
	}
}

// tail is the end of the server's log.
func (s *Server) tail() []byte {
	data, err := os.ReadFile(s.log())
	if err != nil {
		return []byte(err.Error())
	}
	return data[max(0, len(data)-2000):]
}

// Kill ends the server's first process as kill -9 does, and waits for its end.
// Up starts it again.
func (s *Server) Kill() error { return s.signal(syscall.SIGKILL) }

// Down shuts the server down, breaking off all connections, and waits for its
// end. Up starts it again.
func (s *Server) Down() error { return s.signal(syscall.SIGINT) }

func (s *Server) signal(sig syscall.Signal) error {
	data, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return fmt.Errorf("pgtest: the server is not running: %w", err)
	}
	pid, err := strconv.Atoi(strings.SplitN(string(data), "\n", 2)[0])
	if err != nil {
		return fmt.Errorf("pgtest: postmaster.pid: %w", err)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		return fmt.Errorf("pgtest: signal the server: %w", err)
	}
	s.end()
	return nil
}

// end lets go of the server's lifeline and waits for it.
func (s *Server) end() {
	if s.ended == nil {
		return
	}
	_ = s.lifeline.Close() // closed by Wait already when the server has ended
	<-s.ended
	s.ended = nil
}

// close takes everything away.
func (s *Server) close() error {
	s.end()
	return os.RemoveAll(s.dir)
}

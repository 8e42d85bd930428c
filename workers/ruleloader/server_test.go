package ruleloader

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// envDSN names a server to use instead of a throw-away one of Debian's binaries.
const envDSN = "MUSTER_TEST_POSTGRES_DSN"

func TestMain(m *testing.M) {
	if os.Getenv(envMillion) != "" {
		os.Exit(loadMillion())
	}
	code := m.Run()
	if shared.server != nil {
		shared.server.end()
		if err := os.RemoveAll(shared.server.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var shared struct {
	once   sync.Once
	server *server
	err    error
}

// database makes an empty database, dropped with its server.
func database(t testing.TB) string {
	t.Helper()
	admin := os.Getenv(envDSN)
	if admin == "" {
		shared.once.Do(func() { shared.server, shared.err = startServer() })
		if shared.err != nil {
			t.Fatalf("PostgreSQL: %v (install it: tools/setup/postgresql.sh, or set %s)", shared.err, envDSN)
		}
		admin = shared.server.dsn()
	}
	name := "loader_" + strconv.FormatInt(time.Now().UnixNano(), 36)
	execute(t, admin, "CREATE DATABASE "+name)
	t.Cleanup(func() { execute(t, admin, "DROP DATABASE "+name+" WITH (FORCE)") })
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func execute(t testing.TB, dsn string, statements ...string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// server is a throw-away PostgreSQL. It ends when its standard input does, so also
// when the test binary dies.
type server struct {
	dir, password string
	port          int
	as            *syscall.SysProcAttr
	lifeline      io.Closer
	ended         chan struct{}
}

func (s *server) dsn() string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("loader", s.password), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path: "/postgres", RawQuery: "sslmode=disable",
	}
	return u.String()
}

func startServer() (*server, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("no server under /usr/lib/postgresql %w", err)
	}
	bin := filepath.Dir(found[len(found)-1])
	dir, err := os.MkdirTemp("", "ruleloader-pg-")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir, password: rand.Text(), as: &syscall.SysProcAttr{Setpgid: true}}
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 { // PostgreSQL refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ = strconv.Atoi(u.Uid)
		gid, _ = strconv.Atoi(u.Gid)
		s.as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(s.password+"\n"), 0o600); err != nil {
		return nil, err
	}
	for _, path := range []string{dir, secret} {
		if err := os.Chown(path, uid, gid); err != nil {
			return nil, err
		}
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", dir+"/data", "-U", "loader", "--pwfile", secret,
		"--auth=scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	initdb.SysProcAttr, initdb.Dir = s.as, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return s, s.up(bin)
}

const script = `exec 3<&0
"$@" 3<&- &
pid=$!
( cat <&3 >/dev/null; while kill -QUIT $pid 2>/dev/null; do sleep 0.1; done ) &
watch=$!
exec 3<&-
wait $pid
kill $watch 2>/dev/null`

func (s *server) up(bin string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	cmd := exec.Command("/bin/sh", "-c", script, "sh", filepath.Join(bin, "postgres"), "-D", s.dir+"/data", "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+s.dir, "-c", "fsync=off", "-c", "shared_buffers=32MB")
	cmd.SysProcAttr, cmd.Dir = s.as, s.dir
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if s.lifeline, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		_ = cmd.Wait() // how it ended is known to whoever ended it
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.dsn())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.ended:
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("the server ended at once: %s", text)
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

func (s *server) end() {
	_ = s.lifeline.Close()
	<-s.ended
}

// Package pgtest gives tests a real PostgreSQL: the server that
// MUSTER_TEST_POSTGRES_DSN names, else a throw-away one of Debian's binaries,
// shared by the tests of one binary. A test that has neither fails and says how
// to get one; it never skips.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// EnvDSN names a server to use instead of a throw-away one. Its user must be
// allowed to create databases.
const EnvDSN = "MUSTER_TEST_POSTGRES_DSN"

// shared is the server of this test binary.
type sharedServer struct {
	mu      sync.Mutex
	inMain  bool
	server  *Server
	failure error
}

var shared sharedServer

// Main runs the tests and takes the shared server down after them:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
func Main(m *testing.M) int {
	shared.mu.Lock()
	shared.inMain = true
	shared.mu.Unlock()
	code := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		return code
	}
	if err := shared.server.close(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	return code
}

// dsn starts the server on its first call.
func (s *sharedServer) dsn() (string, error) {
	if dsn := os.Getenv(EnvDSN); dsn != "" {
		return dsn, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.inMain {
		return "", fmt.Errorf("pgtest: the tests of this package need: func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }")
	}
	if s.server == nil && s.failure == nil {
		s.server, s.failure = start()
	}
	if s.failure != nil {
		return "", s.failure
	}
	return s.server.DSN(), nil
}

// Database makes an empty database on the shared server and returns its DSN. It
// is dropped when the test ends.
func Database(t testing.TB) string {
	t.Helper()
	admin, err := shared.dsn()
	if err != nil {
		t.Fatal(err)
	}
	return database(t, admin)
}

// Database makes an empty database on this server, as the function of the same
// name does.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	return database(t, s.DSN())
}

func database(t testing.TB, admin string) string {
	t.Helper()
	name := "muster_" + strings.ToLower(rand.Text()[:16])
	if err := exec(t.Context(), admin, `CREATE DATABASE `+name); err != nil {
		t.Fatalf("pgtest: create a database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		// A server that the test has taken down for good takes the database along.
		if err := exec(ctx, admin, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`); err != nil {
			t.Logf("pgtest: drop a database: %v", err)
		}
	})
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatalf("pgtest: %s must be a postgres:// URL", EnvDSN)
	}
	u.Path = "/" + name
	return u.String()
}

func exec(ctx context.Context, dsn, statement string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	if closing := conn.Close(ctx); err == nil {
		err = closing
	}
	return err
}

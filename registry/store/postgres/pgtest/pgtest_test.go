package pgtest_test

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/muster-fleet/muster/registry/store/postgres/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestDatabasesAreEmptyAndApart(t *testing.T) {
	a, b := pgtest.Database(t), pgtest.Database(t)
	if a == b {
		t.Fatal("the same database twice")
	}
	for _, dsn := range []string{a, b} {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "CREATE TABLE only_here (id INTEGER)"); err != nil {
			t.Error(err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestServerSurvivesItsDeath(t *testing.T) {
	s := pgtest.Start(t)
	dsn := s.Database(t)
	for name, end := range map[string]func() error{"kill": s.Kill, "down": s.Down} {
		if err := end(); err != nil {
			t.Fatal(name, err)
		}
		if conn, err := pgx.Connect(t.Context(), dsn); err == nil {
			t.Fatal(name, "it still answers", conn.Close(t.Context()))
		}
		if err := s.Up(); err != nil {
			t.Fatal(name, err)
		}
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

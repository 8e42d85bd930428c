package ruleloader

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
)

func TestPostgres(t *testing.T) {
	dsn := database(t)
	execute(t, dsn, `CREATE TABLE p (login text, team varchar(40), tags text[], ids int[], level bigint, ratio float8, ok boolean, oks boolean[], n numeric, d date, kind name, doc jsonb)`,
		`INSERT INTO p VALUES ('alice', '/staff', '{x,"y,z",NULL}', '{1,-2}', -9007199254740993, 0.1, true, '{t,f}', 2500.10, '2026-01-02', 'D', '{"a": 1}'),
		 ('bob', '', '{}', NULL, 7, 1e300, false, NULL, NULL, NULL, 'F', NULL), (NULL, 'ü', NULL, '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`)
	got, err := readAll(t, &postgresSource{dsn: dsn, query: "SELECT * FROM p ORDER BY login NULLS LAST"},
		"login", "team", "tags", "ids", "level", "ratio", "ok", "oks", "n", "d", "kind", "doc")
	want := []string{
		`1:alice,/staff,[x y,z],[1 -2],-9007199254740993,0.1,true,[true false],2500.10,2026-01-02,D,{"a": 1}`,
		`2:bob,-,-,-,7,1e+300,false,-,-,-,F,-`, `3:-,ü,-,-,-,-,-,-,-,-,-,-`,
	}
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%v\n%s", err, strings.Join(got, "\n"))
	}
}

// The password comes from a file or the environment, and no error holds it.
func TestPostgresSecrets(t *testing.T) {
	dsn := database(t)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	bare := *u
	bare.User = url.User(u.User.Username())
	t.Setenv("LOADER_PASSWORD", password)
	t.Setenv("LOADER_DSN", dsn)
	for name, s := range map[string]*postgresSource{
		"password file": {dsn: bare.String(), passwordFile: file(t, "pw", password+"\n")},
		"password env":  {dsn: bare.String(), passwordEnv: "LOADER_PASSWORD"},
		"dsn file":      {dsnFile: file(t, "dsn", dsn+"\n")},
		"dsn env":       {dsnEnv: "LOADER_DSN"},
	} {
		s.query = "SELECT 'alice' AS login"
		if rows, err := readAll(t, s, "login"); err != nil || len(rows) != 1 {
			t.Errorf("%s: %v %v", name, err, rows)
		}
	}
	const secret = "geheim-7Q"
	wrong := *u
	wrong.User = url.UserPassword(u.User.Username(), secret)
	gone := wrong
	gone.Host = "127.0.0.1:1"
	for name, s := range map[string]*postgresSource{
		"wrong password":  {dsnFile: file(t, "dsn", wrong.String())},
		"nobody there":    {dsnFile: file(t, "dsn", gone.String())},
		"no DSN":          {dsnFile: file(t, "dsn", "postgres://a:"+secret+"@h:nix/%zz")},
		"no DSN either":   {dsnFile: file(t, "dsn", "password="+secret+" sslmode=often")},
		"empty":           {dsnEnv: "LOADER_NONE"},
		"no file":         {dsn: bare.String(), passwordFile: "/none/pw"},
		"no such login":   {dsn: strings.Replace(bare.String(), u.User.Username(), "nobody", 1), passwordFile: file(t, "pw", secret)},
		"no such service": {dsnFile: file(t, "dsn", "service="+secret)},
	} {
		s.query = "SELECT 1"
		_, err := readAll(t, s, "login")
		if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), password) {
			t.Errorf("%s: %v", name, err)
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), secret) {
				t.Errorf("%s: the cause tells the password: %v", name, e)
			}
		}
		if strings.HasPrefix(name, "wrong") || strings.HasPrefix(name, "nobody") {
			if !fault.Is(err, "source_unavailable") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestPostgresErrors(t *testing.T) {
	dsn := database(t)
	execute(t, dsn, "CREATE TABLE secrets (v text)", "INSERT INTO secrets VALUES ('geheim')")
	for query, says := range map[string]string{
		"SELEC 1":               `syntax error at or near "SELEC"`,
		"SELECT * FROM missing": "42P01 at character 15",
		"INSERT INTO secrets VALUES ('x') RETURNING v AS login": "read-only",
		"SELECT 1 AS other":                                   "there is no column login; there are: other",
		"SELECT v::int AS login FROM secrets":                 "a value of the data does not fit",
		"SELECT 1/(n-3) AS login FROM generate_series(1,5) n": "22012",
		"SET TIME ZONE 'UTC'":                                 "returns no columns",
		"SELECT 1; SELECT 2":                                  "42601",
	} {
		_, err := readAll(t, &postgresSource{dsn: dsn, query: query}, "login")
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// A connection that is lost half way is an error, not an end.
func TestPostgresLostHalfWay(t *testing.T) {
	dsn := database(t)
	rows := 0
	err := (&postgresSource{dsn: dsn, query: "SELECT n::text AS login, repeat('x', 1000) FROM generate_series(1, 200000) n"}).read(
		t.Context(), []string{"login"}, func(int64, []cell) error {
			if rows++; rows == 100 {
				execute(t, dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'muster-ruleloader' AND datname = current_database()")
			}
			return nil
		})
	if err == nil || !strings.Contains(err.Error(), "57P01") && !strings.Contains(err.Error(), "lost") || rows == 200000 {
		t.Errorf("%v after %d rows", err, rows)
	}
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	begun := time.Now()
	err = (&postgresSource{dsn: dsn, query: "SELECT pg_sleep(60)::text AS login"}).read(ctx, []string{"login"}, func(int64, []cell) error { return nil })
	if err == nil || time.Since(begun) > 30*time.Second {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
}

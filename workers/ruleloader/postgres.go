package ruleloader

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"go.yaml.in/yaml/v3"

	"github.com/muster-fleet/muster/proto/fault"
)

// postgresSource is what a query finds. Rows are taken off the connection one by
// one, so that neither side holds them all.
type postgresSource struct {
	dsn, dsnFile, dsnEnv      string
	passwordFile, passwordEnv string
	query                     string
}

func (r *reader) postgres(n *yaml.Node) *postgresSource {
	s := &postgresSource{}
	has, ok := r.members(n, "postgres", map[string]taker{
		"dsn":          r.text("postgres.dsn", &s.dsn),
		"dsnFile":      r.text("postgres.dsnFile", &s.dsnFile),
		"dsnEnv":       r.text("postgres.dsnEnv", &s.dsnEnv),
		"passwordFile": r.text("postgres.passwordFile", &s.passwordFile),
		"passwordEnv":  r.text("postgres.passwordEnv", &s.passwordEnv),
		"query":        r.text("postgres.query", &s.query),
	})
	if !ok {
		return s
	}
	if !has["query"] {
		r.bad(n, "postgres needs the key query, a SELECT whose columns the fields name")
	}
	if given := count(has["dsn"], has["dsnFile"], has["dsnEnv"]); given != 1 {
		r.bad(n, "postgres needs exactly one of dsn, dsnFile and dsnEnv; it has %d", given)
	}
	if has["passwordFile"] && has["passwordEnv"] {
		r.bad(n, "postgres needs at most one of passwordFile and passwordEnv")
	}
	if s.dsn != "" && holdsPassword(s.dsn) {
		r.bad(n, "postgres.dsn must not hold a password: a mapping is no place for secrets; use passwordFile, passwordEnv, dsnFile or dsnEnv")
	}
	if s.dsnFile != "" {
		s.dsnFile = r.beside(s.dsnFile)
	}
	if s.passwordFile != "" {
		s.passwordFile = r.beside(s.passwordFile)
	}
	return s
}

// holdsPassword looks at both forms of a DSN.
func holdsPassword(dsn string) bool {
	if u, err := url.Parse(dsn); err == nil && u.Scheme != "" {
		_, set := u.User.Password()
		return set || u.Query().Has("password")
	}
	return strings.Contains(strings.ReplaceAll(strings.ToLower(dsn), " ", ""), "password=")
}

func (s *postgresSource) place() string { return "row" }

// connect opens a connection. None of its errors holds the DSN or the password.
func (s *postgresSource) connect(ctx context.Context) (*pgx.Conn, error) {
	dsn, err := secret(s.dsn, s.dsnFile, s.dsnEnv, "the DSN")
	if err != nil {
		return nil, err
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The library's text may quote the DSN.
		return nil, errors.New("the DSN is neither a postgres:// URL nor of the form key=value")
	}
	if s.passwordFile != "" || s.passwordEnv != "" {
		if cfg.Password, err = secret("", s.passwordFile, s.passwordEnv, "the password"); err != nil {
			return nil, err
		}
	}
	// Poolers between here and the server need not keep prepared statements.
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "muster-ruleloader"
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "source_unavailable", "PostgreSQL cannot be connected to: %s", connectText(err)).Wrap(err)
	}
	return conn, nil
}

// connectText is what a server or the network says; neither quotes a password.
func connectText(err error) string {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return server.Message
	}
	var dial *pgconn.ConnectError
	if errors.As(err, &dial) && errors.Unwrap(dial) != nil {
		return errors.Unwrap(dial).Error()
	}
	return "see the worker's log"
}

// secret is a value that is given in place, in a file, or in the environment.
func secret(value, file, env, what string) (string, error) {
	switch {
	case file != "":
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read %s: %w", what, err)
		}
		value = strings.TrimRight(string(text), "\r\n")
	case env != "":
		value = os.Getenv(env)
	}
	if value == "" {
		return "", fmt.Errorf("%s is empty (%s%s)", what, file, env)
	}
	return value, nil
}

// read runs the query in a read-only transaction, which sees one state.
func (s *postgresSource) read(ctx context.Context, columns []string, each func(int64, []cell) error) (err error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		// The read is over; what counts was said by it.
		_ = conn.Close(context.WithoutCancel(ctx))
	}()
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("begin a read-only transaction: %w", err)
	}
	rows, err := tx.Query(ctx, s.query, pgx.QueryResultFormats{pgx.TextFormatCode})
	if err != nil {
		return queryError(err)
	}
	if err := readRows(rows, conn.TypeMap(), columns, each); err != nil {
		rows.Close()
		return err
	}
	if err := rows.Err(); err != nil {
		return queryError(err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("end the transaction: %w", err)
	}
	return nil
}

// queryError tells the server's message and place, not its detail, which quotes
// values.
func queryError(err error) error {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		at := ""
		if server.Position > 0 {
			at = fmt.Sprintf(" at character %d of the query", server.Position)
		}
		return fmt.Errorf("PostgreSQL says %s%s (%s)", server.Code, at, describe(server))
	}
	return fmt.Errorf("the connection to PostgreSQL was lost: %w", err)
}

// describe leaves the message out of classes whose messages quote values: data
// exceptions and violated constraints.
func describe(e *pgconn.PgError) string {
	if strings.HasPrefix(e.Code, "22") || strings.HasPrefix(e.Code, "23") {
		return "a value of the data does not fit the query; the server's log has it"
	}
	return e.Message
}

func readRows(rows pgx.Rows, types *pgtype.Map, columns []string, each func(int64, []cell) error) error {
	fields := rows.FieldDescriptions()
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	if len(fields) == 0 {
		rows.Close()
		if err := rows.Err(); err != nil {
			return queryError(err)
		}
		return errors.New("the query returns no columns; it must be a SELECT")
	}
	at, err := places(names, columns)
	if err != nil {
		return err
	}
	cells := make([]cell, len(columns))
	for n := int64(1); rows.Next(); n++ {
		raw := rows.RawValues()
		for i, j := range at {
			if cells[i], err = postgresCell(types, fields[j].DataTypeOID, raw[j]); err != nil {
				return fmt.Errorf("row %d, column %s: %w", n, columns[i], err)
			}
		}
		if err := each(n, cells); err != nil {
			return err
		}
	}
	return nil
}

// postgresCell takes a value in the server's own text form. Arrays are lists;
// booleans are spelled true and false.
func postgresCell(types *pgtype.Map, oid uint32, raw []byte) (cell, error) {
	if raw == nil {
		return cell{}, nil
	}
	t, known := types.TypeForOID(oid)
	if known {
		if a, ok := t.Codec.(*pgtype.ArrayCodec); ok {
			return postgresArray(types, oid, a.ElementType, raw)
		}
	}
	text := postgresBool(oid, string(raw))
	return cell{set: text != "", one: text}, nil
}

func postgresArray(types *pgtype.Map, oid uint32, element *pgtype.Type, raw []byte) (cell, error) {
	var list []*string
	if err := types.Scan(oid, pgx.TextFormatCode, raw, &list); err != nil {
		return cell{}, fmt.Errorf("the array cannot be read; cast it to text[]: %T", err)
	}
	out := cell{list: []string{}}
	for _, v := range list {
		if v != nil && *v != "" {
			out.set, out.list = true, append(out.list, postgresBool(element.OID, *v))
		}
	}
	return out, nil
}

func postgresBool(oid uint32, text string) string {
	if oid != pgtype.BoolOID {
		return text
	}
	return map[string]string{"t": "true", "f": "false"}[text]
}

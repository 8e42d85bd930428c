package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-fleet/muster/gateway/app"
	"github.com/muster-fleet/muster/gateway/config"
	"github.com/muster-fleet/muster/registry/audit"
)

// verifyTimeout bounds a verification by the gateway; the gateway itself gives up a
// little earlier.
const verifyTimeout = 6 * time.Minute

// auditReport is what a verification found, as the API says it.
type auditReport struct {
	OK        bool            `json:"ok"`
	Looked    auditSpan       `json:"looked"`
	Unchained auditSpan       `json:"unchained"`
	Pruned    int64           `json:"pruned"`
	Keys      []auditKey      `json:"keys"`
	Heads     int64           `json:"heads"`
	End       string          `json:"end"`
	Findings  []audit.Finding `json:"findings"`
	More      int64           `json:"more"`
	Notes     []string        `json:"notes"`
}

type auditSpan struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	Rows  int64 `json:"rows"`
}

type auditKey struct {
	ID string `json:"key_id"`
	auditSpan
}

// verifyFlags are the flags of verify.
type verifyFlags struct {
	heads          []string
	store, keyFile string
}

func (s *shell) auditVerifyCommand() *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Find out whether the audit log is what was written",
		Long: `Find out whether the audit log is what was written: whether a row was edited,
removed, inserted or moved, and, with a head that was kept elsewhere, whether its
tail was cut off or all of it replaced. Exit code 1 when anything was found.

The gateway verifies its own log. With --store the command does it itself, on the
store: an embedded store must not be held by a gateway then. Keys are those of
--key-file, else those beside an embedded store.`,
		Example: `  muster admin audit verify
  muster admin audit verify --head 1000:4b227777d4dd1fc61c6f884f48641d02b4d121d3fd328cb08b5531fcacdabf8a
  muster admin audit verify --store duckdb:/var/lib/muster/muster.db --key-file /etc/muster/audit-key`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.heads, "head", nil, "a head that was kept elsewhere, N:HASH; may be given again")
	flags.StringVar(&f.store, "store", "", "verify this store itself; a URL with a password is refused: give - to take that of MUSTER_STORE")
	flags.StringVar(&f.keyFile, "key-file", "", "with --store: the file with the keys")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		known, err := readHeads(f.heads)
		if err != nil {
			return err
		}
		stop := s.progress("verifying the audit log")
		raw, err := s.verify(cmd.Context(), f, known)
		stop()
		if err != nil {
			return err
		}
		return s.printVerified(raw)
	}
	return cmd
}

func readHeads(texts []string) ([]audit.Head, error) {
	known := make([]audit.Head, 0, len(texts))
	for _, text := range texts {
		h, err := audit.ParseHead(text)
		if err != nil {
			return nil, usagef("the log of a gateway has heads, and muster admin audit verify -o json has the end", "--head: %v", err)
		}
		known = append(known, h)
	}
	return known, nil
}

func (s *shell) verify(ctx context.Context, f *verifyFlags, known []audit.Head) (json.RawMessage, error) {
	if f.store == "" {
		if f.keyFile != "" {
			return nil, usagef("name the store with --store as well", "--key-file is for a store that the command verifies itself")
		}
		c, err := s.connect()
		if err != nil {
			return nil, err
		}
		defer c.close()
		return c.verifyOnline(ctx, strings.Join(f.heads, ","))
	}
	store := f.store
	if store == "-" {
		store = s.env["MUSTER_STORE"]
	} else if holdsPassword(store) {
		return nil, usagef("put it into MUSTER_STORE and give --store -", "--store holds a password, which every user of this machine can read")
	}
	cfg := config.Default()
	cfg.Store, cfg.Audit.KeyFile = config.StoreURL(store), f.keyFile
	if _, embedded := cfg.Store.Path(); !embedded && !cfg.Store.Postgres() {
		return nil, usagef("give duckdb:PATH or postgres://USER@HOST/DATABASE", "--store is neither duckdb: nor postgres://")
	}
	log := slog.New(slog.NewTextHandler(s.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	report, err := app.VerifyAudit(ctx, cfg, known, nil, log)
	if err != nil {
		return nil, startError(err)
	}
	return json.Marshal(reportOf(&report))
}

func holdsPassword(store string) bool {
	u, err := url.Parse(store)
	if err != nil {
		return !strings.HasPrefix(store, "duckdb:")
	}
	_, has := u.User.Password()
	return has || u.Query().Has("password") || u.Query().Has("sslpassword")
}

// reportOf says a report as the API does.
func reportOf(r *audit.Report) *auditReport {
	out := &auditReport{
		OK: r.OK, Looked: auditSpan(r.Looked), Unchained: auditSpan(r.Unchained), Pruned: r.Pruned, Keys: []auditKey{},
		Heads: r.Heads, End: r.End, Findings: r.Findings, More: r.More, Notes: r.Notes,
	}
	for _, k := range r.Keys {
		out.Keys = append(out.Keys, auditKey{k.ID, auditSpan(k.Span)})
	}
	return out
}

// printVerified prints a report and fails when it has findings.
func (s *shell) printVerified(raw json.RawMessage) error {
	var r auditReport
	if err := json.Unmarshal(raw, &r); err != nil {
		return unreadable("report", err)
	}
	err := s.print(raw, func(w io.Writer) error {
		for _, line := range r.lines() {
			if _, err := fmt.Fprintln(w, clean(line)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && !r.OK {
		return errQuietFailure
	}
	return err
}

// lines is a report for people.
func (r *auditReport) lines() []string {
	lines := []string{fmt.Sprintf("%d rows were looked at, %d to %d", r.Looked.Rows, r.Looked.First, r.Looked.Last)}
	if r.Pruned > 0 {
		lines = append(lines, fmt.Sprintf("rows 1 to %d were removed by retention", r.Pruned))
	}
	if u := r.Unchained; u.Rows > 0 {
		lines = append(lines, fmt.Sprintf("rows %d to %d are from before the chain: nothing can be proven of them", u.First, u.Last))
	}
	for _, k := range r.Keys {
		with := "with the key " + k.ID
		if k.ID == "" {
			with = "without a key: who can write to the store can rewrite them"
		}
		lines = append(lines, fmt.Sprintf("%d rows, %d to %d, are chained %s", k.Rows, k.First, k.Last, with))
	}
	lines = append(lines, strconv.FormatInt(r.Heads, 10)+" heads were compared")
	for _, n := range r.Notes {
		lines = append(lines, "note: "+n)
	}
	for _, f := range r.Findings {
		lines = append(lines, string(f.Kind)+": "+f.Detail)
	}
	if r.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d further findings", r.More))
	}
	if r.End != "" {
		lines = append(lines, "head: "+r.End)
	}
	if r.OK {
		return append(lines, "ok: the log is what was written")
	}
	return append(lines, "NOT ok: the log is not what was written")
}

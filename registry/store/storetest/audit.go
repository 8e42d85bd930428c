package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
)

func auditTests() map[string]func(*testing.T, Backend) {
	return map[string]func(*testing.T, Backend){
		"every row is chained":             testChained,
		"a chain goes on after a restart":  testChainRestarts,
		"what was done behind is found":    testTampering,
		"rows from before the chain":       testFromBefore,
		"a head each thousand rows":        testHeads,
		"retention leaves whole segments":  testRetention,
		"retention by the service":         testRetentionRuns,
		"questions":                        testAuditFind,
		"refusals are counted":             testRefusals,
		"a flood of refusals":              testRefusalFlood,
		"no refusal is lost at the end":    testLastRefusals,
		"replicas do not fork the chain":   shared(testUnforked),
		"one verification at a time":       testOneVerification,
		"rows are added while it verifies": testVerifyMeanwhile,
	}
}

// chainKeys are the keys of tests, n of them.
func chainKeys(t testing.TB, n int) *audit.Keys {
	t.Helper()
	var all [][]byte
	for i := n; i > 0; i-- {
		all = append(all, bytes.Repeat([]byte{byte(i)}, audit.MinKey))
	}
	k, err := audit.NewKeys(all...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// chained opens the store at a place with keys.
func (b Backend) chained(t testing.TB, place string, keys *audit.Keys) registry.Store {
	t.Helper()
	s, err := b.Chained(t.Context(), place, logger(t), keys)
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	return s
}

// appendRows adds n rows to the audit log, 500 in a transaction.
func appendRows(t testing.TB, s registry.Store, n int, at time.Time) {
	t.Helper()
	for n > 0 {
		part := min(n, 500)
		write(t, s, func(ctx context.Context, tx registry.Tx) error {
			for i := range part {
				e := entry(n - i)
				e.At = at
				if err := tx.Audit(ctx, e); err != nil {
					return err
				}
			}
			return nil
		})
		n -= part
	}
}

// seal stores the head of what is there.
func seal(t testing.TB, s registry.Store, at time.Time) {
	t.Helper()
	write(t, s, func(ctx context.Context, tx registry.Tx) error {
		_, ok, err := tx.SealAudit(ctx, at)
		if err == nil && !ok {
			t.Error("nothing is sealed")
		}
		return err
	})
}

func closed(t testing.TB, s registry.Store) {
	t.Helper()
	if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func verified(t testing.TB, s registry.Store, known ...audit.Head) audit.Report {
	t.Helper()
	r, err := registry.VerifyAuditLog(t.Context(), s, known, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// shortly is a report's findings in a line.
func shortly(r audit.Report) string {
	all := make([]string, 0, len(r.Findings))
	for _, f := range r.Findings {
		all = append(all, fmt.Sprintf("%s %d-%d", f.Kind, f.First, f.Last))
	}
	return strings.Join(all, ", ")
}

// The mac of a row that was read back is what anybody computes who has the key:
// nothing of a row is lost or changed on its way through the store.
func testChained(t *testing.T, b Backend) {
	for name, keys := range map[string]*audit.Keys{"with a key": chainKeys(t, 2), "without": nil} {
		s := b.chained(t, b.Place(t), keys)
		odd := entry(1)
		odd.At = noon.Add(999 * time.Nanosecond).In(time.FixedZone("", 3600))
		odd.Actor = registry.Actor{Subject: "ä\u2028\n'\"", Username: "👩‍🚀", User: "u", Token: "t"}
		odd.Before, odd.After = []byte{}, []byte(`{"a": "\u0000", "b":1.50}`)
		write(t, s, func(ctx context.Context, tx registry.Tx) error {
			for _, e := range []registry.AuditEntry{odd, entry(2), entry(3)} {
				if err := tx.Audit(ctx, e); err != nil {
					return err
				}
			}
			return nil
		})
		var prev []byte
		all := trail(t, s)
		for _, e := range all {
			row := e.Row()
			want, ok := keys.MAC(prev, &row)
			if !ok || !bytes.Equal(e.MAC, want) || e.KeyID != keys.Current() {
				t.Errorf("%s: row %d has the mac %x of key %q, want %x", name, e.Number, e.MAC, e.KeyID, want)
			}
			prev = e.MAC
		}
		if len(all) != 3 || all[0].Before == nil || len(all[0].Before) != 0 || all[1].Before != nil || all[0].Actor != odd.Actor {
			t.Errorf("%s: %+v", name, all)
		}
		if r := verified(t, s); !r.OK || r.Looked.Rows != 3 {
			t.Errorf("%s: %s", name, shortly(r))
		}
		closed(t, s)
	}
}

// A restart, with the same key, with a newer one, and after a transaction that was
// given up, goes on where the chain was.
func testChainRestarts(t *testing.T, b Backend) {
	place := b.Place(t)
	for _, n := range []int{1, 1, 2} {
		s := b.chained(t, place, chainKeys(t, n))
		appendRows(t, s, 3, noon)
		_, err := s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error {
			if err := tx.Audit(ctx, entry(9)); err != nil {
				return err
			}
			return errGiveUp
		})
		if err == nil {
			t.Fatal("it was not given up")
		}
		appendRows(t, s, 1, noon)
		closed(t, s)
	}
	s := b.chained(t, place, chainKeys(t, 2))
	defer closed(t, s)
	if r := verified(t, s); !r.OK || len(r.Keys) != 2 || r.Keys[0].Last != 8 || r.Looked.Last != 12 {
		t.Errorf("%+v", r)
	}
}

// What is done to the tables by others, with SQL, is found and named.
func testTampering(t *testing.T, b Backend) {
	keys := chainKeys(t, 1)
	for name, c := range map[string]struct {
		sql  string
		want string
	}{
		"nothing":                {"", ""},
		"an actor":               {`UPDATE audit_log SET actor_name = 'bob' WHERE number = 22`, "edited 22-22"},
		"a token":                {`UPDATE audit_log SET actor_token = 'x' WHERE number = 1`, "edited 1-1"},
		"what was after":         {`UPDATE audit_log SET after_json = NULL WHERE number = 33`, "edited 33-33"},
		"an address in many":     {`UPDATE audit_log SET address = '' WHERE number IN (11, 20, 30)`, "edited 11-11, edited 20-20, edited 30-30"},
		"a time":                 {`UPDATE audit_log SET happened = happened + INTERVAL '1 second' WHERE number = 7`, "edited 7-7"},
		"a row":                  {`DELETE FROM audit_log WHERE number = 34`, "removed 34-34"},
		"ten rows":               {`DELETE FROM audit_log WHERE number > 7 AND number <= 17`, "removed 8-17"},
		"the first rows":         {`DELETE FROM audit_log WHERE number < 5`, "removed 1-4"},
		"up to the first head":   {`DELETE FROM audit_log WHERE number <= 10`, "removed 1-10"},
		"two rows change places": {`UPDATE audit_log SET number = -1 WHERE number = 14; UPDATE audit_log SET number = 14 WHERE number = 31; UPDATE audit_log SET number = 31 WHERE number = -1`, "reordered 14-31"},
		"a row behind the end":   {`INSERT INTO audit_log SELECT 41, id, revision, happened, actor_subject, actor_issuer, actor_name, request_id, address, action, resource, before_json, after_json, result, actor_user, actor_token, key_id, mac FROM audit_log WHERE number = 5`, "inserted 41-41"},
		"a row in between":       {`UPDATE audit_log SET number = -number WHERE number >= 20; INSERT INTO audit_log SELECT 20, id, revision, happened, actor_subject, actor_issuer, 'eve', request_id, address, action, resource, before_json, after_json, result, actor_user, actor_token, key_id, mac FROM audit_log WHERE number = 5; UPDATE audit_log SET number = 1 - number WHERE number < 0; UPDATE registry_state SET audited = 41`, "inserted 20-20, cut_tail 41-41"},
		"the tail":               {`DELETE FROM audit_log WHERE number > 38`, "cut_tail 39-40"},
		"the tail and the state": {`DELETE FROM audit_log WHERE number > 38; UPDATE registry_state SET audited = 38, audit_mac = (SELECT mac FROM audit_log WHERE number = 38)`, "cut_tail 39-40"},
		"the tail, state, heads": {`DELETE FROM audit_log WHERE number > 38; UPDATE registry_state SET audited = 38, audit_mac = (SELECT mac FROM audit_log WHERE number = 38); DELETE FROM audit_heads WHERE number > 38`, ""},
		"a head":                 {`UPDATE audit_heads SET signature = mac WHERE number = 10`, "bad_head 10-10"},
		"no macs any more":       {`UPDATE audit_log SET mac = NULL WHERE number > 25`, "edited 26-26"},
		"the state's mac":        {`UPDATE registry_state SET audit_mac = (SELECT mac FROM audit_log WHERE number = 3)`, "edited 40-40"},
	} {
		t.Run(name, func(t *testing.T) {
			place := b.Place(t)
			s := b.chained(t, place, keys)
			for range 4 {
				appendRows(t, s, 10, noon)
				seal(t, s, noon)
			}
			end := audit.Head{Number: 40, MAC: trail(t, s)[39].MAC}
			closed(t, s)
			if c.sql != "" {
				b.Behind(t, place, strings.Split(withColumns(c.sql), ";")...)
			}
			s = b.chained(t, place, keys)
			defer closed(t, s)
			r := verified(t, s)
			got := shortly(r)
			if strings.HasPrefix(c.want, "edited 26-") {
				got = shortly(audit.Report{Findings: r.Findings[:1]})
			}
			if got != c.want || r.OK != (c.want == "") {
				t.Errorf("found %s, want %s", got, c.want)
			}
			if strings.Contains(name, "tail") {
				if r := verified(t, s, end); shortly(r) != "cut_tail 39-40" {
					t.Errorf("with its head: %s", shortly(r))
				}
			}
		})
	}
}

// withColumns names the columns of what is inserted, which the engines have in orders of
// their own.
func withColumns(sql string) string {
	return strings.ReplaceAll(sql, "INSERT INTO audit_log SELECT", `INSERT INTO audit_log (number, id, revision, happened,
		actor_subject, actor_issuer, actor_name, request_id, address, action, resource, before_json, after_json, result,
		actor_user, actor_token, key_id, mac) SELECT`)
}

// Rows without a mac in front of the chain are what a store has from earlier.
func testFromBefore(t *testing.T, b Backend) {
	place := b.Place(t)
	s := b.chained(t, place, nil)
	appendRows(t, s, 5, noon)
	closed(t, s)
	b.Behind(t, place, `UPDATE audit_log SET mac = NULL, key_id = ''`, `UPDATE registry_state SET audit_mac = NULL`)
	s = b.chained(t, place, chainKeys(t, 1))
	defer closed(t, s)
	if r := verified(t, s); !r.OK || r.Unchained.Last != 5 || r.End != "" {
		t.Errorf("before: %+v", r)
	}
	appendRows(t, s, 5, noon)
	if r := verified(t, s); !r.OK || r.Unchained != (audit.Span{First: 1, Last: 5, Rows: 5}) || len(r.Keys) != 1 || r.Keys[0].First != 6 {
		t.Errorf("behind: %+v", r)
	}
}

func heads(t testing.TB, s registry.Store) []audit.Head {
	t.Helper()
	all, err := s.AuditHeads(t.Context(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func testHeads(t *testing.T, b Backend) {
	place, keys := b.Place(t), chainKeys(t, 1)
	st := b.chained(t, place, keys)
	appendRows(t, st, 1500, noon)
	svc, err := registry.Open(t.Context(), st, registry.Options{Logger: logger(t), Inspector: newFleet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := svc.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	st = b.chained(t, place, keys)
	defer closed(t, st)
	all, rows := heads(t, st), trail(t, st)
	var numbers []int64
	for _, h := range all {
		numbers = append(numbers, h.Number)
		if err := keys.CheckHead(&h); err != nil || !bytes.Equal(h.MAC, rows[h.Number-1].MAC) || h.At.IsZero() {
			t.Errorf("head %s: %v", h, err)
		}
	}
	// The first start adds the fleet's uuid and the system groups.
	if last := int64(len(rows)); last <= 1500 || !slices.Equal(numbers, []int64{1000, last}) {
		t.Errorf("heads of %v", numbers)
	}
	if r := verified(t, st, all...); !r.OK || r.Heads != 4 {
		t.Errorf("%+v", r)
	}
	// Nothing has happened: nothing is signed again.
	write(t, st, func(ctx context.Context, tx registry.Tx) error {
		if _, ok, err := tx.SealAudit(ctx, noon); ok || err != nil {
			t.Errorf("signed again: %v, %v", ok, err)
		}
		return nil
	})
}

// testUnforked: several replicas write at once, and the chain is one.
func testUnforked(t *testing.T, b Backend) {
	place, keys := b.Place(t), chainKeys(t, 1)
	const writers, each = 3, 60
	var wg sync.WaitGroup
	for range writers {
		st := b.chained(t, place, keys)
		defer closed(t, st)
		for range 2 {
			wg.Go(func() {
				for n := range each {
					_, err := st.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error {
						for range 1 + n%3 {
							if err := tx.Audit(ctx, entry(n)); err != nil {
								return err
							}
						}
						if n%10 == 9 {
							return errGiveUp
						}
						return nil
					})
					if err != nil && n%10 != 9 {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	st := b.chained(t, place, keys)
	defer closed(t, st)
	r := verified(t, st)
	if !r.OK || r.Looked.Rows < writers*each {
		t.Errorf("%+v", r)
	}
}

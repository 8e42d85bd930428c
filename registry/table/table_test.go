package table_test

import (
	"strings"
	"testing"

	"github.com/muster-fleet/muster/registry/table"
)

// checks runs a check over texts: those that are good, and, with a part of what is
// said of them, those that are not.
func checks(t *testing.T, what string, check func(string) error, good []string, bad map[string]string) {
	t.Helper()
	for _, text := range good {
		if err := check(text); err != nil {
			t.Errorf("%s %q %v", what, text, err)
		}
	}
	for text, words := range bad {
		if err := check(text); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s %.40q: %v, not %q", what, text, err, words)
		}
	}
}

func TestIDOf(t *testing.T) {
	for name, want := range map[string]string{
		"orders": "orders", "  My Orders  ": "my_orders", "A  b": "a__b", "": "", "in.c-CRM x": "in.c-crm_x",
	} {
		if got := table.IDOf(name); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestCheckName(t *testing.T) {
	checks(t, "name", table.CheckName, []string{"a", "_", "Orders_2024", strings.Repeat("x", table.MaxName)}, map[string]string{
		"": "empty", "2024": "such as _2024", "my orders": "such as my_orders", "in.c-crm": "such as in_c_crm", "zákazníci": "such as z_kazn_ci",
		"a\x00b": "ASCII", "a\n": "ASCII", "-": "digit", "a\xff": "ASCII", strings.Repeat("x", table.MaxName+1): "64 characters, not 65",
		"имя": "ASCII", `a"; DROP TABLE x; --`: "ASCII",
	})
}

func TestCheckID(t *testing.T) {
	checks(t, "id", table.CheckID, []string{"orders", "in_c-crm_Orders", "a.b", "2", "...", strings.Repeat("x", table.MaxID)}, map[string]string{
		"": "empty", ".": "path", "..": "path", "a/b": "ASCII", "a b": "ASCII", "a\x00": "ASCII", "ü": "ASCII", "a%2f": "ASCII",
		strings.Repeat("x", table.MaxID+1): "200",
	})
}

func TestCheckSource(t *testing.T) {
	checks(t, "source", table.CheckSource, append(table.Sources(), "erp_export", "erp2"), map[string]string{
		"": "keboola", "Keboola": "must be written keboola", " jira ": "must be written jira", "ERP": "no capitals", "_erp": "begin with a letter",
		"2erp": "custom", "my erp": "erp_export", "a.b": "one of bigquery", "a-b": "one of", strings.Repeat("x", 65): "64", "a\x00": "ASCII",
	})
}

func TestCheckUpstream(t *testing.T) {
	checks(t, "bucket", table.CheckUpstream, []string{"", "in.c-crm", "_x", "2024", "a-.b", strings.Repeat("x", table.MaxUpstream)}, map[string]string{
		".a": "begin", "-a": "begin", "a b": "letters", "a'b": "letters", `a"`: "letters", "a\x00": "letters", "ü": "letters",
		strings.Repeat("x", table.MaxUpstream+1): "128 characters, not 129",
	})
}

func TestCheckWords(t *testing.T) {
	checks(t, "strategy", func(s string) error { return table.CheckStrategy(table.Strategy(s)) },
		[]string{"full_refresh", "incremental", "partitioned"}, map[string]string{"": "one of full_refresh", "Incremental": "one of", "all": "one of"})
	checks(t, "mode", func(s string) error { return table.CheckMode(table.Mode(s)) },
		[]string{"local", "remote", "materialized"}, map[string]string{"": "one of local", "LOCAL": "one of", "direct": "one of"})
	checks(t, "folder", table.CheckFolder, []string{"", "Sales/Orders ü", strings.Repeat("x", table.MaxFolder)}, map[string]string{
		" a": "white space", "a\n": "white space", "a\tb": "U+0009", "a\u200bb": "U+200B", "a\xff": "UTF-8", strings.Repeat("x", table.MaxFolder+1): "255",
	})
	checks(t, "description", table.CheckDescription, []string{"", "two\nlines\tand", strings.Repeat("x", table.MaxDescription)}, map[string]string{
		"a\rb": "U+000D", "a\x00": "U+0000", "\u202e": "U+202E", "\xff": "UTF-8", strings.Repeat("x", table.MaxDescription+1): "4096 bytes, not 4097",
	})
}

func TestCheckSchedule(t *testing.T) {
	checks(t, "schedule", table.CheckSchedule,
		[]string{
			"", "every 1m", "every 15m", "every 2h", "every 007m", "every 8784h", "daily 00:00", "daily 23:59", "daily 06:00,18:30,12:15",
			"*/15 * * * *", "0 6 * * MON-FRI", "30 2 1,15 jan-mar *", "0 0 29 2 *",
		},
		map[string]string{
			"every": "every 15m", "every ": "every 15m", "every 15": "every 15m", "every m": "every 15m", "every -5m": "every 15m", "every  15m": "every 15m",
			"every 15m ": "every 15m", " every 15m": "every 15m", "every 15s": "every 15m", "every 1.5h": "every 15m", "every 15M": "every 15m",
			"Every 15m": "every 15m", "every +5m": "every 15m", "every ٣m": "every 15m", "every 0m": "from 1m", "every 8785h": "8784h",
			"every 99999999999999999999h": "from 1m", "every 4294967297m": "from 1m",
			"daily": "every 15m", "daily 6:00": "every 15m", "daily 06:00, 18:00": "every 15m", "daily 06:00,": "every 15m", "daily 24:00": "23:59",
			"daily 12:60": "23:59", "daily  06:00": "every 15m", "daily ab:cd": "23:59", "daily -1:00": "23:59",
			"* * * *": "five fields", "* * * * * *": "five fields", "*  * * * *": "five fields", "@daily": "every 15m", "@every 1s": "every 15m",
			"TZ=UTC": "every 15m", "TZ=UTC * * * * *": "every 15m", "CRON_TZ=": "every 15m", "TZ= * * * *": "every 15m", "a b c d": "every 15m",
			"60 * * * *": "cron", "* 24 * * *": "cron", "* * 0 * *": "cron", "* * * 13 *": "cron", "* * * * 8": "cron", "*/0 * * * *": "cron",
			"5-1 * * * *": "cron", "0 0 30 2 *": "never comes", "0 0 31 2,4,6 *": "never comes", "x x x x x": "cron", "99999999999999999999 * * * *": "cron",
			"hourly": "every 15m", "? * * * *": "every 15m", "\x00": "every 15m", "*\t* * * *": "every 15m", strings.Repeat("1,", 200) + "1 * * * *": "300 characters",
		})
}

// No text makes a check panic, or pass what cannot be stored or shown.
func FuzzChecks(f *testing.F) {
	for _, s := range []string{"TZ=", "CRON_TZ=a b", "every 1m", "daily 00:00", "['a']", `["a"]`, "* * * * *", "a,b", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for what, check := range map[string]func(string) error{
			"name": table.CheckName, "id": table.CheckID, "source": table.CheckSource, "upstream": table.CheckUpstream,
			"schedule": table.CheckSchedule, "folder": table.CheckFolder, "description": table.CheckDescription,
		} {
			if err := check(s); err == nil && (strings.ToValidUTF8(s, "") != s || strings.Contains(s, "\x00") || len(s) > table.MaxDescription) {
				t.Errorf("%s %q passes", what, s)
			}
		}
		columns, err := table.ParseKey(s)
		if err == nil && table.CheckKey(columns) == nil && len(columns) > table.MaxColumns {
			t.Errorf("%q has %d columns", s, len(columns))
		}
	})
}

func TestChanged(t *testing.T) {
	a := table.New()
	b := a
	b.PrimaryKey = []string{}
	if !a.SameWish(&b) || a.Changed(&b) != nil {
		t.Error("no key is another one than an empty key")
	}
	b.ID, b.Revision, b.RegisteredBy = "x", 9, "y"
	if !a.SameWish(&b) {
		t.Error("who registered it is part of the wish")
	}
	b.Name, b.Source, b.Bucket, b.SourceTable, b.Strategy, b.Mode, b.Schedule = "n", "s", "b", "t", "st", "m", "sch"
	b.Profile, b.PrimaryKey, b.Folder, b.Description = false, []string{"k"}, "f", "d"
	want := "name source_type bucket source_table sync_strategy query_mode sync_schedule profile_after_sync primary_key folder description"
	if got := strings.Join(a.Changed(&b), " "); got != want || a.SameWish(&b) {
		t.Error(got)
	}
	if got := (&table.Table{Name: "issues", Source: "jira"}).Dataset(); got != "jira.issues" {
		t.Error(got)
	}
}

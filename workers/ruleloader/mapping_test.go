package ruleloader

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const fullMapping = `
prefix: acl.v1
memory: 2MiB
tempDir: tmp
minRows: 3
lookups:
  kinds: {values: {D: Document, "7": 12}}
  teams: {file: teams.csv, from: id, to: path}
sources:
  - name: a
    csv: {file: a.csv, delimiter: ";", looseEnd: true}
    user: {column: login}
    group: {column: team, lookup: teams, separator: "|"}
    client: service-account-reports
    entity: {column: kind, lookup: kinds}
    properties: all
    relationships: [OWNS, "A:B:C"]
    functions: {values: [12]}
    condition: {property: Department, value: {column: dept}}
    active: {column: on}
    onBadRow: skip
  - name: b
    parquet: {file: /b.parquet}
    user: {column: u}
    entity: {value: 414, ids: true}
    properties: {all: true}
  - name: c
    postgres: {dsn: "postgres://loader@db/hr", passwordFile: pw, query: SELECT 1}
    group: {column: g}
    entity: Document
    properties: [Title, Owner]
`

func TestMappingIsReadWhole(t *testing.T) {
	m, err := ParseMapping("/etc/loader/mapping.yaml", []byte(fullMapping))
	if err != nil {
		t.Fatal(err)
	}
	if m.Prefix() != "acl.v1" || m.Sources() != 3 || m.memory != 2<<20 || m.minRows != 3 || m.tempDir != "/etc/loader/tmp" {
		t.Errorf("%+v", m)
	}
	a, b, c := m.sources[0], m.sources[1], m.sources[2]
	if a.csv.file != "/etc/loader/a.csv" || a.csv.comma != ';' || !a.csv.looseEnd || !a.skipBad || b.skipBad {
		t.Errorf("%+v", a.csv)
	}
	if got := a.columns(); strings.Join(got, " ") != "login team kind dept on" {
		t.Errorf("%v", got)
	}
	if a.group.lookup != "teams" || a.group.separator != "|" || a.client.values[0] != "service-account-reports" || !a.properties.all {
		t.Errorf("%+v %+v", a.group, a.client)
	}
	if b.parquet.file != "/b.parquet" || !b.entity.ids || b.entity.values[0] != "414" || !b.properties.all {
		t.Errorf("%+v", b.entity)
	}
	if c.postgres.passwordFile != "/etc/loader/pw" || c.properties.values[1] != "Owner" {
		t.Errorf("%+v", c.postgres)
	}
	if m.lookups["kinds"].values["7"] != "12" || m.lookups["teams"].file != "/etc/loader/teams.csv" {
		t.Errorf("%+v", m.lookups)
	}
}

func TestMappingMayBeJSON(t *testing.T) {
	m, err := ParseMapping("m.json", []byte(`{"prefix":"x","sources":[{"name":"a","csv":{"file":"a.csv"},"user":{"column":"u"},"entity":"Document"}]}`))
	if err != nil || m.Sources() != 1 {
		t.Fatal(err)
	}
}

// Every mistake is told, with its line, and all of a file at once.
func TestMappingMistakes(t *testing.T) {
	const source = "prefix: x\nsources:\n  - name: a\n    csv: {file: a.csv}\n    user: {column: u}\n    entity: Document\n"
	for name, c := range map[string]struct {
		text string
		says []string
	}{
		"empty":           {"", []string{"m.yaml: the file is empty"}},
		"no yaml":         {"a: [", []string{"m.yaml:1:1: not YAML"}},
		"a list":          {"- a", []string{"m.yaml:1:1: a mapping must be a mapping"}},
		"all of them":     {"prefix: -a\nmemory: 3\nsources: []\nretries: 2\nminRows: x\n", []string{":1:9: prefix must be", ":2:9: memory must be", ":3:10: sources must be a list that is not empty", ":4:1: a mapping has no key \"retries\"", ":5:10: minRows"}},
		"nothing":         {"lookups: {}\n", []string{"needs the key prefix", "needs the key sources"}},
		"bad prefix":      {strings.Replace(source, "prefix: x", "prefix: a b", 1), []string{":1:9: prefix must be letters"}},
		"a number prefix": {strings.Replace(source, "prefix: x", "prefix: 7", 1), []string{":1:9: prefix must be a text that is not empty; put quotes around it"}},
		"twice":           {source + "prefix: y\n", []string{`:7:1: the key "prefix" is there twice`}},
		"names twice":     {source + strings.SplitN(source, "sources:\n", 2)[1], []string{`:7:5: the name "a" is there twice`}},
		"no subject":      {strings.Replace(source, "    user: {column: u}\n", "", 1), []string{":3:5: a source needs user, group or client"}},
		"no entity":       {strings.Replace(source, "    entity: Document\n", "", 1), []string{"a source needs entity"}},
		"two kinds":       {source + "    parquet: {file: b}\n", []string{"exactly one of the keys csv, parquet and postgres; it has 2"}},
		"no kind":         {strings.Replace(source, "    csv: {file: a.csv}\n", "", 1), []string{"it has 0"}},
		"no file":         {strings.Replace(source, "{file: a.csv}", "{delimiter: ab}", 1), []string{"csv needs the key file", "csv.delimiter must be one character"}},
		"column and value": {
			strings.Replace(source, "{column: u}", "{column: u, value: v}", 1), []string{":5:11: user needs exactly one of column, value and values; it has 2"},
		},
		"separator alone":  {strings.Replace(source, "{column: u}", "{value: u, separator: x}", 1), []string{"splits a column"}},
		"a list of one":    {strings.Replace(source, "Document", "[A, B]", 1), []string{":6:13: entity is one value and not a list"}},
		"unknown lookup":   {strings.Replace(source, "{column: u}", "{column: u, lookup: no}", 1), []string{`user uses the lookup "no"`}},
		"half a condition": {source + "    condition: {property: A}\n", []string{":7:16: condition needs both"}},
		"bad row word":     {source + "    onBadRow: ignore\n", []string{"onBadRow must be one of: fail, skip"}},
		"alias":            {"prefix: &p x\nsources:\n  - name: *p\n", []string{":3:11: aliases are not taken"}},
		"no boolean":       {strings.Replace(source, "Document", "{value: 3, ids: maybe}", 1), []string{"entity.ids must be true or false"}},
		"lookups":          {source + "lookups:\n  a: {}\n  b: {file: x}\n  c: {values: []}\n  d: {values: {x: 1, y: }}\n", []string{":8:6: the lookup a needs either", ":9:6: the lookup b needs file, from and to", ":10:15: the lookup c: values", ":11:25: the value for y must"}},
		"lookups no map":   {source + "lookups: []\n", []string{"lookups must be a mapping"}},
		"password in url":  {strings.Replace(source, "csv: {file: a.csv}", `postgres: {dsn: "postgres://a:geheim@h/d", query: SELECT 1}`, 1), []string{"must not hold a password"}},
		"password in words": {
			strings.Replace(source, "csv: {file: a.csv}", `postgres: {dsn: "host=h password = geheim"}`, 1), []string{"must not hold a password", "needs the key query"},
		},
		"two secrets": {strings.Replace(source, "csv: {file: a.csv}", `postgres: {dsnEnv: A, dsnFile: b, passwordEnv: C, passwordFile: d, query: q}`, 1), []string{"exactly one of dsn", "at most one of passwordFile"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseMapping("m.yaml", []byte(c.text))
			if err == nil {
				t.Fatal("taken")
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("%q lacks %q", err, says)
				}
			}
			if strings.Contains(err.Error(), "geheim") {
				t.Error("tells the password")
			}
		})
	}
}

func TestMappingFileMustBeReadable(t *testing.T) {
	if _, err := LoadMapping(filepath.Join(t.TempDir(), "none.yaml")); err == nil || !strings.Contains(err.Error(), "read the mapping") {
		t.Errorf("%v", err)
	}
	big := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(big, make([]byte, MaxMappingBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadMapping(big); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("%v", err)
	}
}

func FuzzMapping(f *testing.F) {
	for _, seed := range []string{fullMapping, "a: [", "prefix: x\nsources: [{}]", `{"prefix":1}`, "sources: &a [*a]", "lookups: {a: {values: {b: {}}}}", "? [a]\n: b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMapping("m.yaml", []byte(text))
		if (m == nil) == (err == nil) {
			t.Fatalf("%v %v", m, err)
		}
		if m == nil {
			return
		}
		// What is taken can be worked with.
		for _, s := range m.sources {
			if s.entity == nil || s.table() == nil || s.user == nil && s.group == nil && s.client == nil || !goodPrefix.MatchString(m.prefix) {
				t.Fatalf("%+v", s)
			}
		}
	})
}

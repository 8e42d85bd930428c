package ruleloader

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/workers/client"
	"github.com/muster-fleet/muster/workers/worker"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func stepRequest() *worker.TransformRequest {
	return &worker.TransformRequest{
		Users: []string{"Alice", "bob"}, Groups: []string{"/staff", "/a/b"}, Clients: []string{"service-account-reports"},
		Entities: []worker.TransformEntity{
			{ID: 10, Title: "Document", Properties: []worker.TransformProperty{{ID: 1, Title: "Title"}, {ID: 2, Title: "Owner"}, {ID: 3, Title: "Dept"}}},
			{ID: 11, Title: "Folder", Properties: []worker.TransformProperty{{ID: 4, Title: "Title"}}},
		},
		Relationships: []worker.TransformRelationship{
			{ID: 20, From: "Folder", To: "Document", Name: "c", Alias: "CONTAINS"}, {ID: 21, From: "Folder", To: "Folder", Name: "c", Alias: "CONTAINS"},
			{ID: 22, From: "X", To: "Y", Name: "c", Alias: "CONTAINS"}, {ID: 23, From: "Document", To: "Document", Name: "r", Alias: "REFERS"},
		},
	}
}

// preview runs a mapping over files and returns the rules as short texts.
func preview(t testing.TB, request *worker.TransformRequest, contents map[string]string) ([]string, *Report, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	loader, err := New(filepath.Join(dir, "mapping.yaml"), quiet())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	report, err := loader.run(t.Context(), request, func(a client.AccessRule) error {
		if err := a.Check(); err != nil {
			t.Error(err)
		}
		out = append(out, short(a))
		return nil
	})
	slices.Sort(out)
	return out, report, err
}

func short(a client.AccessRule) string {
	text := fmt.Sprint(a.Users, a.Groups, a.Clients, a.Entities, a.Relationships, a.Functions)
	for _, c := range a.Conditions {
		text += fmt.Sprintf(" if %d=%s", c.Property, c.Value)
	}
	if a.Inactive {
		text += " inactive"
	}
	return text
}

func TestRows(t *testing.T) {
	const one = "prefix: x\nsources:\n  - name: a\n    csv: {file: a.csv}\n"
	for name, c := range map[string]struct {
		mapping, rows string
		more          map[string]string
		want          []string
		skipped       map[string]int64
		says          string
	}{
		"rows of one subject and entity are one rule": {
			"    user: {column: u}\n    entity: {column: e}\n    properties: {column: p}\n", "u,e,p\nbob,Document,Title\nbob,Folder,Title\nbob,Document,Owner\nbob,Document,Title\n", nil,
			[]string{"[bob] [] [] [{10 [1 2]}] [] []", "[bob] [] [] [{11 [4]}] [] []"}, nil, "",
		},
		"subjects are compared as the gateway does": {
			"    user: {column: u}\n    group: {column: g}\n    client: {column: c}\n    entity: Folder\n",
			"u,g,c\nALICE,,\n,staff,\n,/staff,\n,,reports\n,,service-account-reports\n", nil,
			[]string{"[Alice] [] [] [{11 []}] [] []", "[] [/staff] [] [{11 []}] [] []", "[] [] [service-account-reports] [{11 []}] [] []"}, nil, "",
		},
		"who is not in the step is left out": {
			"    user: {column: u, separator: \";\"}\n    group: {column: g}\n    entity: {column: e}\n",
			"u,g,e\nbob;eve,/none,Folder\neve,,Folder\nbob,,Nothing\n,/b,Folder\n", nil,
			[]string{"[bob] [] [] [{11 []}] [] []"}, map[string]int64{unknownUser: 2, unknownGroup: 2, unknownEntity: 1}, "",
		},
		"conditions": {
			"    user: {column: u}\n    entity: {column: e}\n    condition: {property: {column: p}, value: {column: v}}\n",
			"u,e,p,v\nbob,Document,Dept,7\nbob,Document,Dept,8\nbob,Folder,Dept,7\nbob,Nothing,Dept,7\n", nil,
			[]string{"[bob] [] [] [{10 []}] [] [] if 3=7", "[bob] [] [] [{10 []}] [] [] if 3=8"}, map[string]int64{unknownCondition: 1, unknownEntity: 1}, "",
		},
		"all properties, relationships, functions": {
			"    user: {column: u}\n    entity: {column: e}\n    properties: all\n    relationships: [CONTAINS, \"Document:REFERS:Document\", \"Document:NONE:Document\"]\n    functions: {column: f, separator: \" \"}\n",
			"u,e,f\nbob,Document,7 8\n", nil,
			[]string{"[bob] [] [] [{10 [1 2 3]}] [20 23] [7 8]"}, map[string]int64{unknownRelationship: 1}, "",
		},
		"ids": {
			"    user: {column: u}\n    entity: {column: e, ids: true}\n    properties: {column: p, ids: true}\n    relationships: {values: [20, 99], ids: true}\n    condition: {property: {value: 3, ids: true}, value: \"x\"}\n",
			"u,e,p\nbob,10,1\nbob,10,4\nbob,99,1\n", nil,
			[]string{"[bob] [] [] [{10 [1]}] [20] [] if 3=x"}, map[string]int64{unknownRelationship: 3, unknownProperty: 1, unknownEntity: 1}, "",
		},
		"active": {
			"    user: {column: u}\n    entity: Folder\n    active: {column: a}\n", "u,a\nbob,yes\nbob,False\n", nil,
			[]string{"[bob] [] [] [{11 []}] [] []", "[bob] [] [] [{11 []}] [] [] inactive"}, nil, "",
		},
		"lookups": {
			"    group: {column: g, lookup: teams}\n    entity: {column: e, lookup: kinds}\nlookups:\n  kinds: {values: {D: Document}}\n  teams: {file: t.csv, from: id, to: path}\n", "g,e\n7,D\n",
			map[string]string{"t.csv": "path,id\n/staff,7\n/a/b,8\n"}, []string{"[] [/staff] [] [{10 []}] [] []"}, nil, "",
		},
		"lookups are whole": {
			"    group: {column: g, lookup: teams}\n    entity: Folder\nlookups:\n  teams: {file: t.csv, from: id, to: path}\n", "g\n7\n8\n",
			map[string]string{"t.csv": "path,id\n/staff,7\n"}, nil, nil, "a, line 3: group has a value that the lookup teams does not have",
		},
		"lookups are clear": {
			"    group: {column: g, lookup: teams}\n    entity: Folder\nlookups:\n  teams: {file: t.csv, from: id, to: path}\n", "g\n7\n",
			map[string]string{"t.csv": "path,id\n/staff,7\n/a/b,7\n"}, nil, nil, "line 3 translates a value that has another",
		},
		"no subject":   {"    user: {column: u}\n    group: {column: g}\n    entity: Folder\n", "u,g\nbob,\n,\n", nil, nil, nil, "a, line 3: it has no subject: no value in u, g"},
		"no entity":    {"    user: {column: u}\n    entity: {column: e}\n", "u,e\nbob,\n", nil, nil, nil, "entity has no value"},
		"no value":     {"    user: {column: u}\n    entity: Document\n    condition: {property: Dept, value: {column: v}}\n", "u,v\nbob,\n", nil, nil, nil, "condition.value has no value"},
		"no activity":  {"    user: {column: u}\n    entity: Folder\n    active: {column: a}\n", "u,a\nbob,maybe\nbob,\n", nil, nil, nil, "line 2: active is none of"},
		"no number":    {"    user: {column: u}\n    entity: {column: e, ids: true}\n", "u,e\nbob,geheim\n", nil, nil, nil, "entity has a value that is no id"},
		"no function":  {"    user: {column: u}\n    entity: Folder\n    functions: {column: f}\n", "u,f\nbob,-1\n", nil, nil, nil, "functions has a value that is no id"},
		"no such file": {"    user: {column: u}\n    entity: Folder\n    onBadRow: skip\n", "x\n", nil, nil, nil, "the source a: there is no column u"},
		"bad rows are skipped": {
			"    user: {column: u}\n    entity: Folder\n    onBadRow: skip\n", "u,x\nbob,\n,\n,\n", nil, []string{"[bob] [] [] [{11 []}] [] []"}, nil, "",
		},
		"many bad rows": {"    user: {column: u}\n    entity: Folder\n", "u,x\n" + strings.Repeat(",\n", 500), nil, nil, nil, "line 21: it has no subject"},
		"too few rows":  {"    user: {column: u}\n    entity: Folder\nminRows: 2\n", "u\nbob\n", nil, nil, nil, "1 rows and the mapping's minRows is 2"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"mapping.yaml": one + c.mapping, "a.csv": c.rows}
			maps.Copy(files, c.more)
			got, report, err := preview(t, stepRequest(), files)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "geheim") {
					t.Fatalf("%v", err)
				}
				return
			}
			if err != nil || !slices.Equal(got, sortedTexts(c.want)) {
				t.Fatalf("%v\ngot  %q\nwant %q", err, got, c.want)
			}
			if len(report.Skipped)+len(c.skipped) > 0 && !maps.Equal(report.Skipped, c.skipped) {
				t.Errorf("%v, want %v", report.Skipped, c.skipped)
			}
		})
	}
}

func sortedTexts(l []string) []string {
	l = slices.Clone(l)
	slices.Sort(l)
	return l
}

// Without a list from the step nothing of its kind is skipped, and what cannot be
// translated is said.
func TestListsThatWereNotSent(t *testing.T) {
	const base = "prefix: x\nsources:\n  - name: a\n    csv: {file: a.csv}\n    user: {column: u}\n"
	files := func(more string) map[string]string {
		return map[string]string{"mapping.yaml": base + more, "a.csv": "u,p\neve,1\n"}
	}
	nothing := &worker.TransformRequest{}
	got, _, err := preview(t, nothing, files("    entity: {value: 7, ids: true}\n    properties: {column: p, ids: true}\n    relationships: {values: [3], ids: true}\n"))
	if err != nil || !slices.Equal(got, []string{"[eve] [] [] [{7 [1]}] [3] []"}) {
		t.Errorf("%v %q", err, got)
	}
	for more, says := range map[string]string{
		"    entity: Folder\n": "entities_needed",
		"    entity: {value: 7, ids: true}\n    properties: all\n":                              "entities_needed",
		"    entity: {value: 7, ids: true}\n    properties: [Title]\n":                          "entities_needed",
		"    entity: {value: 7, ids: true}\n    condition: {property: A, value: {column: u}}\n": "entities_needed",
		"    entity: {value: 7, ids: true}\n    relationships: [CONTAINS]\n":                    "relationships_needed",
	} {
		if _, _, err := preview(t, nothing, files(more)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", more, err)
		}
	}
	// An empty list is a list: there is nobody.
	got, report, err := preview(t, &worker.TransformRequest{Users: []string{}}, files("    entity: {value: 7, ids: true}\n"))
	if err != nil || len(got) != 0 || report.RowsSkipped != 1 {
		t.Errorf("%v %q %+v", err, got, report)
	}
}

// The rules are those of the obvious grouping in memory, however small the
// sorter's memory, and the same whatever the rows' order, names included.
func TestGroupingAgainstTheObviousOne(t *testing.T) {
	const mapping = "prefix: x\nmemory: 1MiB\nsources:\n  - name: a\n    csv: {file: a.csv}\n    user: {column: u, separator: \";\"}\n    entity: {column: e}\n" +
		"    properties: {column: p}\n    condition: {property: {column: c}, value: {column: v}}\n"
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("mapping.yaml", mapping)
	loader, err := New(filepath.Join(dir, "mapping.yaml"), quiet())
	if err != nil {
		t.Fatal(err)
	}
	request := stepRequest()
	request.Users = nil
	rapid.Check(t, func(t *rapid.T) {
		want := map[string][]string{} // who, what and when -> properties
		var rows []string
		for range rapid.IntRange(0, 60).Draw(t, "rows") {
			who := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 2, rapid.ID[string]).Draw(t, "who")
			p := rapid.SampledFrom([]string{"Title", "Owner", "Dept"}).Draw(t, "p")
			v := rapid.SampledFrom([]string{"1", "2"}).Draw(t, "v")
			rows = append(rows, strings.Join([]string{strings.Join(who, ";"), "Document", p, "Dept", v}, ","))
			slices.Sort(who)
			key := fmt.Sprint(who, v)
			if !slices.Contains(want[key], p) {
				want[key] = append(want[key], p)
			}
		}
		load := func() map[string]string {
			write("a.csv", "u,e,p,c,v\n"+strings.Join(append(rows, ""), "\n"))
			out := map[string]string{}
			_, err := loader.run(context.Background(), request, func(a client.AccessRule) error {
				if len(a.Entities) != 1 || len(a.Conditions) != 1 || len(a.Entities[0].Properties) != len(want[fmt.Sprint(a.Users, a.Conditions[0].Value)]) {
					t.Fatalf("%+v", a)
				}
				out[a.Name] = short(a)
				return nil
			})
			if err != nil || len(out) != len(want) {
				t.Fatalf("%v, %d rules of %d", err, len(out), len(want))
			}
			return out
		}
		first := load()
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)).Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		if second := load(); !reflect.DeepEqual(first, second) {
			t.Fatalf("in another order: %v, before %v", second, first)
		}
	})
}

func TestNames(t *testing.T) {
	p := permission{entity: 7, title: "Größe/Document", subjects: []subject{{isGroup, "/a long group/with many/parts and blanks"}}, conditional: true, value: "geheim"}
	name := func() string {
		g := newGrant(appendKey(nil, &p))
		if err := g.add(appendPayload(nil, &p)); err != nil {
			t.Fatal(err)
		}
		r, err := g.rule("acl")
		if err != nil {
			t.Fatal(err)
		}
		return r.Name
	}
	first := name()
	if !strings.HasPrefix(first, "acl-a-long-group-with-many-p-Gr-e-Document-") || strings.Contains(first, "geheim") {
		t.Error(first)
	}
	for what, change := range map[string]func(){
		"value": func() { p.value = "x" }, "property": func() { p.property = 1 }, "entity": func() { p.entity = 8 },
		"subject": func() { p.subjects[0].name += "x" }, "kind": func() { p.subjects[0].kind = isUser }, "inactive": func() { p.inactive = true },
	} {
		before := name()
		if change(); name() == before {
			t.Errorf("another %s has the same name", what)
		}
	}
	if head("//") != "" || head("a--b c") != "a-b-c" {
		t.Errorf("%q %q", head("//"), head("a--b c"))
	}
}

package ruleloader

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/workers/worker"
)

// The example of the how-to is a good mapping, and makes of the example's rows what
// the text around it says. Only the database is left out.
func TestDocumentedMapping(t *testing.T) {
	text, err := os.ReadFile("../../docs/how-to/load-permissions.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string) string {
		m := regexp.MustCompile("(?s)```" + kind + "\n(.*?)```").FindSubmatch(text)
		if m == nil {
			t.Fatalf("no block of %s", kind)
		}
		return string(m[1])
	}
	mapping := block("yaml")
	if m, err := ParseMapping("mapping.yaml", []byte(mapping)); err != nil || m.Sources() != 2 || m.minRows != 1 {
		t.Fatalf("%v", err)
	}
	before, after, _ := strings.Cut(mapping, "  - name: projects")
	_, lookups, _ := strings.Cut(after, "lookups:")
	before = strings.Replace(before, "tempDir: /var/lib/ruleloader", "tempDir: .", 1)
	got, _, err := preview(t, &worker.TransformRequest{
		Entities: []worker.TransformEntity{
			{ID: 1, Title: "Document", Properties: []worker.TransformProperty{{ID: 3, Title: "Title"}, {ID: 4, Title: "Owner"}}}, {ID: 2, Title: "Folder"},
		},
		Relationships: []worker.TransformRelationship{{ID: 5, From: "Folder", To: "Document", Alias: "CONTAINS"}},
	}, map[string]string{"mapping.yaml": before + "lookups:" + lookups, "permissions.csv": block("csv"), "teams.csv": "id,path\n7,/staff/editors\n"})
	want := []string{
		"[] [/staff/editors] [] [{2 []}] [5] []", "[alice] [] [] [{1 [3 4]}] [5] []", "[bob] [] [] [{1 [3]}] [5] []",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\n%q", err, got)
	}
	reference, err := os.ReadFile("../../docs/reference/rule-mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"prefix", "sources", "lookups", "memory", "tempDir", "minRows", "onBadRow", "looseEnd", "dsnEnv", "separator", "ids: true", "passwordFile"} {
		if !strings.Contains(string(reference), key) {
			t.Errorf("the reference does not tell of %s", key)
		}
	}
}

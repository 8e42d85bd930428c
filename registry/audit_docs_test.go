package registry_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The how-to names every action that a row can have.
func TestHowToNamesEveryAction(t *testing.T) {
	howTo, err := os.ReadFile("../docs/how-to/audit-log.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	constant := regexp.MustCompile(`\bAction\w+ += "([a-z_.]+)"`)
	found := 0
	for _, file := range append(files, "audit/verify.go") {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range constant.FindAllStringSubmatch(string(source), -1) {
			found++
			if !strings.Contains(string(howTo), "`"+m[1]+"`") {
				t.Errorf("docs/how-to/audit-log.md says nothing of %s (%s)", m[1], file)
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d actions were found", found)
	}
}

package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/config"
)

var update = flag.Bool("update", false, "write schema.json and the reference's table anew")

const (
	schemaFile    = "schema.json"
	referenceFile = "../../docs/reference/configuration.md"
	tableBegin    = "<!-- names: begin -->"
	tableEnd      = "<!-- names: end -->"
)

// schema is the JSON Schema of the file, for editors and for charts.
func schema(t *testing.T) []byte {
	t.Helper()
	root := object("Muster's configuration file")
	for _, f := range config.Fields() {
		at := root
		parts := strings.Split(f.Key, ".")
		for _, section := range parts[:len(parts)-1] {
			properties, _ := at["properties"].(map[string]any)
			inner, ok := properties[section].(map[string]any)
			if !ok {
				inner = object("")
				properties[section] = inner
			}
			at = inner
		}
		properties, _ := at["properties"].(map[string]any)
		properties[parts[len(parts)-1]] = leaf(f)
	}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func object(title string) map[string]any {
	o := map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{}}
	if title != "" {
		o["title"] = title
	}
	return o
}

func leaf(f config.Field) map[string]any {
	p := map[string]any{"description": f.Doc + "; " + f.Allowed}
	if f.Default != "" {
		p["default"] = f.Default
	}
	switch f.Type() {
	case "bool":
		p["type"], p["default"] = "boolean", f.Default == "true"
	case "int":
		p["type"] = "integer"
		delete(p, "default")
	case "config.Size":
		p["type"] = []string{"integer", "string"}
	case "[]netip.Prefix":
		p["type"], p["items"] = []string{"array", "string"}, map[string]any{"type": "string"}
		p["default"] = strings.Split(f.Default, ",")
	case "[]config.Issuer":
		item := object("")
		item["required"] = []string{"issuer", "audience"}
		properties, _ := item["properties"].(map[string]any)
		for _, name := range []string{"issuer", "audience", "usernamePrefix", "groupsPrefix", "discoveryURL"} {
			properties[name] = map[string]any{"type": "string"}
		}
		properties["mapRoles"] = map[string]any{"type": "boolean"}
		p["type"], p["items"] = "array", item
	case "[]string":
		p["type"], p["items"] = []string{"array", "string"}, map[string]any{"type": "string"}
	case "map[string]string":
		p["type"], p["additionalProperties"] = "object", map[string]any{"type": "string"}
		delete(p, "default")
	default:
		p["type"] = "string"
	}
	return p
}

func TestSchemaIsTheCode(t *testing.T) {
	want := schema(t)
	if *update {
		if err := os.WriteFile(schemaFile, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the code says; go test ./config -update writes it", schemaFile)
	}
}

func table() string {
	var b strings.Builder
	b.WriteString("| name in the file | variable | flag | default | what it is | allowed |\n|---|---|---|---|---|---|\n")
	for _, f := range config.Fields() {
		flagName := ""
		if f.Flag != "" {
			flagName = "`--" + f.Flag + "`"
		}
		variable := ""
		if f.Env != "" {
			variable = "`" + f.Env + "`"
		}
		if f.Secret {
			variable += " or `" + f.Env + "_FILE`"
		}
		def := ""
		if f.Default != "" {
			def = "`" + f.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", f.Key, variable, flagName, def, f.Doc, f.Allowed)
	}
	return b.String()
}

func TestReferenceIsTheCode(t *testing.T) {
	name := filepath.FromSlash(referenceFile)
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(got), tableBegin+"\n")
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has lost its markers %s and %s", name, tableBegin, tableEnd)
	}
	want := before + tableBegin + "\n" + table() + tableEnd + after
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(got) != want {
		t.Errorf("%s is not what the code says; go test ./config -update writes it", name)
	}
}

// Every name can be found in the file, has a word on what it is and what it may
// be, and there are few enough to know them all.
func TestNamesAreOrderly(t *testing.T) {
	seen := map[string]bool{}
	all := config.Fields()
	for _, f := range all {
		if f.Doc == "" || f.Allowed == "" {
			t.Errorf("%s lacks its description", f.Key)
		}
		if strings.HasSuffix(f.Key, ".") || seen[f.Key] || (f.Env != "" && seen[f.Env]) {
			t.Errorf("%s or %s is no name of its own", f.Key, f.Env)
		}
		seen[f.Key], seen[f.Env] = true, true
		if f.Env != "" && f.Env != "MUSTER_SEED_ADMIN_EMAIL" && strings.Count(f.Env, "_") != strings.Count(f.Key, ".")+1 {
			t.Errorf("%s has an underscore inside a word", f.Env)
		}
	}
	if len(all) > 60 {
		t.Errorf("%d names; 60 are the most that anybody wants to know", len(all))
	}
}

package ruleloader

import (
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"
)

// goodPrefix keeps names readable in logs and addresses.
var goodPrefix = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

func (r *reader) mapping(m *Mapping, n *yaml.Node) {
	var prefix, sources *yaml.Node
	has, ok := r.members(n, "a mapping", map[string]taker{
		"prefix": func(n *yaml.Node) { prefix = n; r.text("prefix", &m.prefix)(n) },
		"sources": func(n *yaml.Node) {
			sources = n
			r.items("sources", func(n *yaml.Node) { m.sources = append(m.sources, r.source(n)) })(n)
		},
		"lookups": func(n *yaml.Node) { r.lookups(m, n) },
		"memory":  r.size("memory", &m.memory, MinMemory, MaxMemory),
		"tempDir": func(n *yaml.Node) {
			r.text("tempDir", &m.tempDir)(n)
			m.tempDir = r.beside(m.tempDir)
		},
		"minRows": r.number("minRows", &m.minRows, 0, 1<<53),
	})
	if !ok {
		return
	}
	if !has["prefix"] {
		r.bad(n, "a mapping needs the key prefix: what the names of this worker's rules begin with")
	}
	if !has["sources"] {
		r.bad(n, "a mapping needs the key sources, a list")
	}
	if m.prefix != "" && (!goodPrefix.MatchString(m.prefix) || len(m.prefix) > MaxPrefix) {
		r.bad(prefix, "prefix must be letters, digits, dots, dashes and underscores, at most %d, and begin with a letter or digit", MaxPrefix)
	}
	names := map[string]bool{}
	for i, s := range m.sources {
		if s.name != "" && names[s.name] {
			r.bad(sources.Content[i], "the name %q is there twice; names tell sources apart in messages", s.name)
		}
		names[s.name] = true
		r.usedLookups(m, s, sources.Content[i])
	}
}

func (r *reader) usedLookups(m *Mapping, s *sourceMapping, at *yaml.Node) {
	for _, f := range s.fields() {
		if f.lookup != "" && m.lookups[f.lookup] == nil {
			r.bad(at, "%s uses the lookup %q, which is not among lookups", f.key, f.lookup)
		}
	}
}

// fields are those that are set.
func (s *sourceMapping) fields() []*field {
	all := []*field{
		s.user, s.group, s.client, s.entity, s.properties, s.relationships, s.functions,
		s.conditionProperty, s.conditionValue, s.active,
	}
	return slices.DeleteFunc(all, func(f *field) bool { return f == nil })
}

func (r *reader) source(n *yaml.Node) *sourceMapping {
	s := &sourceMapping{}
	var onBad string
	has, ok := r.members(n, "a source", map[string]taker{
		"name":          r.text("name", &s.name),
		"csv":           func(n *yaml.Node) { s.csv = r.csv(n) },
		"parquet":       func(n *yaml.Node) { s.parquet = r.parquet(n) },
		"postgres":      func(n *yaml.Node) { s.postgres = r.postgres(n) },
		"user":          r.field("user", &s.user, many|looksUp),
		"group":         r.field("group", &s.group, many|looksUp),
		"client":        r.field("client", &s.client, many|looksUp),
		"entity":        r.field("entity", &s.entity, looksUp|numbers),
		"properties":    r.field("properties", &s.properties, many|looksUp|numbers|everything),
		"relationships": r.field("relationships", &s.relationships, many|looksUp|numbers),
		"functions":     r.field("functions", &s.functions, many|looksUp),
		"condition":     func(n *yaml.Node) { r.condition(s, n) },
		"active":        r.field("active", &s.active, looksUp),
		"onBadRow":      r.oneOf("onBadRow", &onBad, "fail", "skip"),
	})
	if !ok {
		return s
	}
	s.skipBad = onBad == "skip"
	if !has["name"] {
		r.bad(n, "a source needs the key name; messages speak of it by that")
	}
	if kinds := count(has["csv"], has["parquet"], has["postgres"]); kinds != 1 {
		r.bad(n, "a source needs exactly one of the keys csv, parquet and postgres; it has %d", kinds)
	}
	if count(has["user"], has["group"], has["client"]) == 0 {
		r.bad(n, "a source needs user, group or client: nobody may see anything by a rule without a subject")
	}
	if !has["entity"] {
		r.bad(n, "a source needs entity: what its subjects may see")
	}
	return s
}

func count(set ...bool) (n int) {
	for _, b := range set {
		if b {
			n++
		}
	}
	return n
}

func (r *reader) condition(s *sourceMapping, n *yaml.Node) {
	has, ok := r.members(n, "condition", map[string]taker{
		"property": r.field("condition.property", &s.conditionProperty, looksUp|numbers),
		"value":    r.field("condition.value", &s.conditionValue, looksUp),
	})
	if ok && (!has["property"] || !has["value"]) {
		r.bad(n, "condition needs both property and value")
	}
}

// What a field may be beside one column or one literal.
type may uint8

const (
	many may = 1 << iota
	looksUp
	numbers
	everything
)

// field takes a literal, a list of literals, the word all, or a mapping.
func (r *reader) field(key string, into **field, m may) taker {
	return func(n *yaml.Node) {
		f := &field{key: key}
		*into = f
		switch {
		case n.Kind == yaml.ScalarNode && n.Value == "all" && n.Style == 0 && m&everything != 0:
			f.all = true
		case n.Kind == yaml.ScalarNode:
			r.literal(f, n)
		case n.Kind == yaml.SequenceNode && m&many != 0:
			r.items(key, func(n *yaml.Node) { r.literal(f, n) })(n)
		case n.Kind == yaml.SequenceNode:
			r.bad(n, "%s is one value and not a list", key)
		default:
			r.fieldMembers(f, n, m)
		}
	}
}

func (r *reader) literal(f *field, n *yaml.Node) {
	var v string
	r.scalar(f.key, &v)(n)
	f.values = append(f.values, v)
}

func (r *reader) fieldMembers(f *field, n *yaml.Node, m may) {
	known := map[string]taker{
		"column": r.text(f.key+".column", &f.column),
		"value":  func(n *yaml.Node) { r.literal(f, n) },
	}
	if m&many != 0 {
		known["values"] = r.items(f.key+".values", func(n *yaml.Node) { r.literal(f, n) })
		known["separator"] = r.text(f.key+".separator", &f.separator)
	}
	if m&looksUp != 0 {
		known["lookup"] = r.text(f.key+".lookup", &f.lookup)
	}
	if m&numbers != 0 {
		known["ids"] = r.yes(f.key+".ids", &f.ids)
	}
	if m&everything != 0 {
		known["all"] = r.yes(f.key+".all", &f.all)
	}
	has, ok := r.members(n, f.key, known)
	if !ok {
		return
	}
	if given := count(has["column"], has["value"], has["values"], f.all); given != 1 {
		of := "column and value"
		if m&many != 0 {
			of = "column, value and values"
		}
		r.bad(n, "%s needs exactly one of %s; it has %d", f.key, of, given)
	}
	if has["separator"] && !has["column"] {
		r.bad(n, "%s.separator splits a column, and there is none", f.key)
	}
}

package ruleloader

import (
	"context"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// MaxLookup bounds a lookup's entries; all of them are held in memory.
const MaxLookup = 1_000_000

func (r *reader) lookups(m *Mapping, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.bad(n, "lookups must be a mapping of names to lookups")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if m.lookups[key.Value] != nil {
			r.bad(key, "the key %q is there twice", key.Value)
			continue
		}
		m.lookups[key.Value] = r.lookup(key.Value, n.Content[i+1])
	}
}

func (r *reader) lookup(name string, n *yaml.Node) *lookupMapping {
	what := "the lookup " + name
	l := &lookupMapping{}
	has, ok := r.members(n, what, map[string]taker{
		"values": func(n *yaml.Node) { l.values = r.pairs(what, n) },
		"file": func(n *yaml.Node) {
			r.text("file", &l.file)(n)
			l.file = r.beside(l.file)
		},
		"from": r.text("from", &l.from),
		"to":   r.text("to", &l.to),
	})
	switch {
	case !ok:
	case has["values"] == has["file"]:
		r.bad(n, "%s needs either values, or file with from and to", what)
	case has["file"] != has["from"] || has["file"] != has["to"]:
		r.bad(n, "%s needs file, from and to together: a CSV file and two of its columns", what)
	}
	return l
}

func (r *reader) pairs(what string, n *yaml.Node) map[string]string {
	out := map[string]string{}
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		r.bad(n, "%s: values must be a mapping that is not empty", what)
		return out
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		if _, twice := out[key]; twice {
			r.bad(n.Content[i], "the key %q is there twice", key)
		}
		var to string
		r.scalar("the value for "+key, &to)(n.Content[i+1])
		out[key] = to
	}
	return out
}

// load returns the lookup's entries. A value that the file gives two translations
// makes the run fail: nobody can tell which is meant.
func (l *lookupMapping) load(ctx context.Context) (map[string]string, error) {
	if l.file == "" {
		return l.values, nil
	}
	out := map[string]string{}
	in := &csvSource{file: l.file, comma: ','}
	err := in.read(ctx, []string{l.from, l.to}, func(at int64, cells []cell) error {
		from, to := cells[0].text(), cells[1].text()
		if from == "" || to == "" {
			return fmt.Errorf("line %d has no value in %s or %s", at, l.from, l.to)
		}
		if old, twice := out[from]; twice && old != to {
			return fmt.Errorf("line %d translates a value that has another translation further up", at)
		}
		out[from] = to
		if len(out) > MaxLookup {
			return fmt.Errorf("it has more than %d entries; join it at the source", MaxLookup)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.file, err)
	}
	return out, nil
}

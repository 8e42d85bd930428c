package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds the configuration file and files that hold secrets.
const (
	maxFile   = 1 << 20
	maxSecret = 64 << 10
)

// fileParser is a koanf parser for YAML that knows where each key stands and
// keeps going after a mistake. Leaves become text or lists, to be decoded by
// the field's type, so that one rule holds for files, variables and flags.
type fileParser struct {
	name   string
	fields map[string]Field
	found  *found
}

// Unmarshal is koanf's reading half. The error is always nil: mistakes are
// collected.
func (p *fileParser) Unmarshal(data []byte) (map[string]any, error) {
	out := map[string]any{}
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if !errors.Is(err, io.EOF) {
			p.found.mistake(p.name, "", "is not YAML: "+strings.TrimPrefix(err.Error(), "yaml: "), "")
		}
		return out, nil
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		p.found.mistake(p.name, "", "holds more than one document", "one document")
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return out, nil
	}
	if root.Kind != yaml.MappingNode {
		p.found.mistake(p.at(root), "", "is not a mapping of names to values", "")
		return out, nil
	}
	p.section(root, "", out)
	return out, nil
}

// Marshal is koanf's writing half, which nothing here uses.
func (p *fileParser) Marshal(map[string]any) ([]byte, error) {
	return nil, errors.New("configuration files are read only")
}

func (p *fileParser) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", p.name, n.Line) }

func (p *fileParser) section(n *yaml.Node, prefix string, out map[string]any) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		key := prefix + name.Value
		if line, twice := seen[name.Value]; twice {
			p.found.mistake(p.at(name), key, fmt.Sprintf("stands here a second time, first in line %d", line), "")
			continue
		}
		seen[name.Value] = name.Line
		field, isField := p.fields[key]
		switch {
		case isField:
			if raw, ok := p.leaf(field, value); ok {
				out[name.Value] = raw
				p.found.source[key] = p.at(value)
			}
		case p.isSection(key) && value.Kind == yaml.MappingNode:
			inner := map[string]any{}
			p.section(value, key+".", inner)
			out[name.Value] = inner
		case p.isSection(key) && value.Tag == "!!null":
			// An empty section, as when all of its lines are commented out.
		case p.isSection(key):
			p.found.mistake(p.at(value), key, "is a section", p.names(key+"."))
		default:
			p.found.mistake(p.at(name), key, "is not a known name"+suggest(key, p.keys()), p.names(prefix))
		}
	}
}

func (p *fileParser) leaf(f Field, n *yaml.Node) (any, bool) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		p.found.mistake(p.at(n), f.Key, "has no value", f.Allowed)
		return nil, false
	case n.Kind == yaml.ScalarNode:
		return n.Value, true
	case n.Kind == yaml.SequenceNode:
		var list []any
		if err := n.Decode(&list); err != nil {
			p.found.mistake(p.at(n), f.Key, "is not a readable list", f.Allowed)
			return nil, false
		}
		if list == nil {
			list = []any{}
		}
		return list, true
	case n.Kind == yaml.MappingNode && f.typ == reflect.TypeFor[map[string]string]():
		return p.texts(f, n)
	default:
		p.found.mistake(p.at(n), f.Key, "takes a value, not a section", f.Allowed)
		return nil, false
	}
}

// texts reads names with a text each, in the form that a variable has.
func (p *fileParser) texts(f Field, n *yaml.Node) (any, bool) {
	var m map[string]string
	if err := n.Decode(&m); err != nil {
		p.found.mistake(p.at(n), f.Key, "does not give each name one text, or a name twice", f.Allowed)
		return nil, false
	}
	text, err := json.Marshal(m)
	if err != nil {
		p.found.mistake(p.at(n), f.Key, "cannot be read: "+err.Error(), f.Allowed)
		return nil, false
	}
	return string(text), true
}

func (p *fileParser) isSection(key string) bool {
	for k := range p.fields {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

func (p *fileParser) keys() []string {
	all := Fields()
	keys := make([]string, len(all))
	for i, f := range all {
		keys[i] = f.Key
	}
	return keys
}

// names lists what may stand in a section, in the order of the structs.
func (p *fileParser) names(prefix string) string {
	var names []string
	last := ""
	for _, key := range p.keys() {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		if name, _, _ := strings.Cut(rest, "."); name != last {
			names, last = append(names, name), name
		}
	}
	return strings.Join(names, ", ")
}

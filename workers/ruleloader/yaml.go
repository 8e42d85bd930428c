package ruleloader

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// taker reads one value of a mapping.
type taker func(*yaml.Node)

// members walks a YAML mapping; an unknown key or a key twice is a mistake. It
// reports whether n is a mapping at all, and which keys it has.
func (r *reader) members(n *yaml.Node, what string, known map[string]taker) (has map[string]bool, ok bool) {
	if n.Kind != yaml.MappingNode {
		r.bad(n, "%s must be a mapping of keys to values", what)
		return nil, false
	}
	has = map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		take, ok := known[key.Value]
		switch {
		case !ok:
			r.bad(key, "%s has no key %q; known: %s", what, key.Value, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case has[key.Value]:
			r.bad(key, "the key %q is there twice", key.Value)
		case value.Kind == yaml.AliasNode:
			r.bad(value, "aliases are not taken; write the value out")
		default:
			take(value)
		}
		has[key.Value] = true
	}
	return has, true
}

// items walks a list that must not be empty.
func (r *reader) items(what string, each taker) taker {
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
			r.bad(n, "%s must be a list that is not empty", what)
			return
		}
		for _, item := range n.Content {
			if item.Kind == yaml.AliasNode {
				r.bad(item, "aliases are not taken; write the value out")
				continue
			}
			each(item)
		}
	}
}

// text takes a text that is not empty. Numbers and booleans must be quoted, so
// that 007 and no stay what they are.
func (r *reader) text(what string, into *string) taker {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || n.Value == "" {
			hint := ""
			if n.Kind == yaml.ScalarNode && n.Value != "" {
				hint = "; put quotes around it"
			}
			r.bad(n, "%s must be a text that is not empty%s", what, hint)
			return
		}
		*into = n.Value
	}
}

// scalar takes a text or a whole number.
func (r *reader) scalar(what string, into *string) taker {
	return func(n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && n.Tag == "!!int" {
			*into = n.Value
			return
		}
		r.text(what, into)(n)
	}
}

func (r *reader) yes(what string, into *bool) taker {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
			r.bad(n, "%s must be true or false", what)
			return
		}
		*into = strings.EqualFold(n.Value, "true")
	}
}

func (r *reader) number(what string, into *int64, least, most int64) taker {
	return func(n *yaml.Node) {
		v, err := strconv.ParseInt(n.Value, 10, 64)
		if n.Kind != yaml.ScalarNode || err != nil || v < least || v > most {
			r.bad(n, "%s must be a whole number from %d to %d", what, least, most)
			return
		}
		*into = v
	}
}

// size takes a number of bytes, such as 64MiB.
func (r *reader) size(what string, into *int64, least, most int64) taker {
	return func(n *yaml.Node) {
		text, factor := n.Value, int64(1)
		for unit, f := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
			if t, ok := strings.CutSuffix(text, unit); ok {
				text, factor = strings.TrimSpace(t), f
			}
		}
		v, err := strconv.ParseInt(text, 10, 64)
		if n.Kind != yaml.ScalarNode || err != nil || v < 0 || v > most/factor || v*factor < least {
			r.bad(n, "%s must be a number of bytes from %d to %d, such as 64MiB", what, least, most)
			return
		}
		*into = v * factor
	}
}

func (r *reader) oneOf(what string, into *string, words ...string) taker {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || !slices.Contains(words, n.Value) {
			r.bad(n, "%s must be one of: %s", what, strings.Join(words, ", "))
			return
		}
		*into = n.Value
	}
}

package celfilter

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"go.yaml.in/yaml/v3"
)

// CostLimit bounds the work of one expression on one element, in CEL's own units
// (roughly: one per step, and one per ten characters looked at).
const CostLimit = 100_000

// MaxPolicyBytes bounds a policy file.
const MaxPolicyBytes = 4 << 20

// decision is what a rule decides.
type decision string

const (
	decideKeep  decision = "keep"
	decideHide  decision = "hide"
	decideStrip decision = "strip"
)

// missing is what a rule makes of an attribute that is not there.
type missing string

const (
	missingHides   missing = "hide"
	missingSkips   missing = "skip"
	missingMatches missing = "match"
)

// The names of kinds in expressions and in a rule's kind.
const (
	kindNode         = "node"
	kindRelationship = "relationship"
)

// Policy is a compiled policy file. It is immutable and safe for concurrent use.
type Policy struct {
	rules      []rule
	keepByRest bool
	file       string
}

type rule struct {
	name       string
	kind       string // empty for both
	decide     decision
	properties []string
	missing    missing
	program    cel.Program
}

// Len returns how many rules the policy has.
func (p *Policy) Len() int { return len(p.rules) }

// Mistake is one thing wrong with a policy.
type Mistake struct {
	File string
	// Line and Column count from 1; both 0 for the file as a whole.
	Line, Column int
	Text         string
}

// Error returns "file:line:column: text".
func (m *Mistake) Error() string {
	if m.Line == 0 {
		return fmt.Sprintf("%s: %s", m.File, m.Text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, m.Text)
}

func readPolicy(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("celfilter: read the policy: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxPolicyBytes+1))
	if err == nil && len(text) > MaxPolicyBytes {
		err = fmt.Errorf("%s has more than %d bytes", file, MaxPolicyBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("celfilter: read the policy: %w", err)
	}
	return text, nil
}

// ParsePolicy compiles a policy's text; file is for messages. Its error joins every
// *Mistake, in the file's order.
func ParsePolicy(file string, text []byte) (*Policy, error) {
	r := &policyReader{file: file, lines: strings.Split(string(text), "\n")}
	env, err := newEnv()
	if err != nil {
		return nil, fmt.Errorf("celfilter: make the expression environment: %w", err)
	}
	r.env = env
	doc := r.only(text)
	if doc == nil {
		return nil, r.result()
	}
	p := &Policy{file: file}
	r.document(p, doc)
	if err := r.result(); err != nil {
		return nil, err
	}
	return p, nil
}

// only returns the file's one document; nil after a mistake. What stood in a second
// one would otherwise be left out without a word, hiding rules included.
func (r *policyReader) only(text []byte) *yaml.Node {
	documents := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	switch err := documents.Decode(&doc); {
	case errors.Is(err, io.EOF), err == nil && len(doc.Content) == 0:
		r.bad(nil, "the file is empty; a policy needs rules")
		return nil
	case err != nil:
		r.yamlMistake(err)
		return nil
	}
	if err := documents.Decode(&second); err == nil {
		r.bad(&second, "a second document begins; a policy is one, without --- in it")
	} else if !errors.Is(err, io.EOF) {
		r.yamlMistake(err)
	}
	return doc.Content[0]
}

// policyReader turns YAML into rules and collects every mistake on the way.
type policyReader struct {
	file     string
	lines    []string
	env      *cel.Env
	mistakes []*Mistake
}

func (r *policyReader) result() error {
	if len(r.mistakes) == 0 {
		return nil
	}
	slices.SortStableFunc(r.mistakes, func(a, b *Mistake) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	errs := make([]error, len(r.mistakes))
	for i, m := range r.mistakes {
		errs[i] = m
	}
	return errors.Join(errs...)
}

func (r *policyReader) bad(at *yaml.Node, format string, args ...any) {
	m := &Mistake{File: r.file, Text: fmt.Sprintf(format, args...)}
	if at != nil {
		m.Line, m.Column = at.Line, at.Column
	}
	r.mistakes = append(r.mistakes, m)
}

// yamlMistake takes the line out of the YAML reader's own message.
func (r *policyReader) yamlMistake(err error) {
	m := &Mistake{File: r.file, Text: strings.TrimPrefix(err.Error(), "yaml: "), Column: 1}
	if _, err := fmt.Sscanf(m.Text, "line %d:", &m.Line); err == nil {
		_, m.Text, _ = strings.Cut(m.Text, ": ")
	} else {
		m.Line = 1
	}
	m.Text = "not YAML: " + m.Text
	r.mistakes = append(r.mistakes, m)
}

// members walks a mapping; an unknown key or a key twice is a mistake.
func (r *policyReader) members(n *yaml.Node, what string, known map[string]func(*yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.bad(n, "%s must be a mapping of keys to values", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		take, ok := known[key.Value]
		switch {
		case !ok:
			names := make([]string, 0, len(known))
			for k := range known {
				names = append(names, k)
			}
			slices.Sort(names)
			r.bad(key, "%s has no key %q; known: %s", what, key.Value, strings.Join(names, ", "))
		case seen[key.Value]:
			r.bad(key, "the key %q is there twice", key.Value)
		case value.Kind == yaml.AliasNode:
			r.bad(value, "aliases are not taken; write the value out")
		default:
			take(value)
		}
		seen[key.Value] = true
	}
}

// text takes a string that is not empty.
func (r *policyReader) text(what string, into *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || n.Value == "" {
			r.bad(n, "%s must be a text that is not empty", what)
			return
		}
		*into = n.Value
	}
}

// oneOf takes one of some words.
func (r *policyReader) oneOf(what string, into *string, words ...string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || !slices.Contains(words, n.Value) {
			r.bad(n, "%s must be one of: %s", what, strings.Join(words, ", "))
			return
		}
		*into = n.Value
	}
}

func (r *policyReader) document(p *Policy, n *yaml.Node) {
	var rest string
	var rules *yaml.Node
	r.members(n, "a policy", map[string]func(*yaml.Node){
		"default": r.oneOf("default", &rest, string(decideHide), string(decideKeep)),
		"rules":   func(n *yaml.Node) { rules = n },
	})
	p.keepByRest = rest == string(decideKeep)
	if rules == nil {
		if n.Kind == yaml.MappingNode {
			r.bad(n, "a policy needs the key rules, a list; an empty one decides everything by default")
		}
		return
	}
	if rules.Kind != yaml.SequenceNode {
		r.bad(rules, "rules must be a list")
		return
	}
	names := map[string]int{}
	for _, item := range rules.Content {
		rule := r.rule(item)
		if line, twice := names[rule.name]; twice && rule.name != "" {
			r.bad(item, "the name %q is that of the rule in line %d; names tell rules apart in reasons", rule.name, line)
		}
		names[rule.name] = item.Line
		p.rules = append(p.rules, rule)
	}
}

func (r *policyReader) rule(n *yaml.Node) rule {
	var out rule
	var decide, miss string
	var when, properties *yaml.Node
	r.members(n, "a rule", map[string]func(*yaml.Node){
		"name":       r.text("name", &out.name),
		"kind":       r.oneOf("kind", &out.kind, kindNode, kindRelationship),
		"decide":     r.oneOf("decide", &decide, string(decideKeep), string(decideHide), string(decideStrip)),
		"missing":    r.oneOf("missing", &miss, string(missingHides), string(missingSkips), string(missingMatches)),
		"when":       func(v *yaml.Node) { when = v },
		"properties": func(v *yaml.Node) { properties = v },
	})
	if n.Kind != yaml.MappingNode {
		return out
	}
	out.decide, out.missing = decision(decide), missing(miss)
	if out.missing == "" {
		out.missing = missingHides
	}
	r.need(n, "name", out.name != "")
	r.need(n, "decide", decide != "")
	r.need(n, "when", when != nil)
	out.properties = r.properties(n, out.decide, properties)
	if when != nil {
		out.program = r.compile(when)
	}
	return out
}

// need reports a missing key, unless something was said about it already.
func (r *policyReader) need(n *yaml.Node, key string, ok bool) {
	if ok {
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return
		}
	}
	r.bad(n, "a rule needs the key %s", key)
}

func (r *policyReader) properties(rule *yaml.Node, d decision, n *yaml.Node) (names []string) {
	switch {
	case d == decideStrip && n == nil:
		r.bad(rule, "a rule that strips needs the key properties, the list of names that it takes away")
	case d != decideStrip && d != "" && n != nil:
		r.bad(n, "properties belongs to rules that strip; this one decides %s", d)
	case n == nil:
	case n.Kind != yaml.SequenceNode || len(n.Content) == 0:
		r.bad(n, "properties must be a list of names that is not empty")
	default:
		for _, item := range n.Content {
			var name string
			r.text("the name of a property", &name)(item)
			names = append(names, name)
		}
	}
	return names
}

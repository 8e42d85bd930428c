package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// The forms of what is printed.
const (
	formTable = "table"
	formJSON  = "json"
	formYAML  = "yaml"
	formJUnit = "junit"
)

// annotationForms names, on a command, further forms that it prints.
const annotationForms = "forms"

func (s *shell) checkOutput(cmd *cobra.Command) error {
	forms := []string{formTable, formJSON, formYAML}
	if more := cmd.Annotations[annotationForms]; more != "" {
		forms = append(forms, strings.Split(more, ",")...)
	}
	if slices.Contains(forms, s.output) {
		return nil
	}
	return fmt.Errorf("--output %s is not one of %s", quote(s.output), strings.Join(forms, ", "))
}

// print writes a document: as JSON, as YAML, or by the command's own table.
func (s *shell) print(document any, table func(w io.Writer) error) error {
	if s.output == formTable {
		w := tabwriter.NewWriter(s.Out, 0, 8, 2, ' ', 0)
		if err := table(w); err != nil {
			return err
		}
		return w.Flush()
	}
	var raw []byte
	switch d := document.(type) {
	case json.RawMessage:
		raw = d
	default:
		var err error
		if raw, err = json.Marshal(d); err != nil {
			return err
		}
	}
	if s.output == formYAML {
		return writeYAML(s.Out, raw)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return fmt.Errorf("the gateway answered with something that is not JSON: %w", err)
	}
	b.WriteByte('\n')
	_, err := s.Out.Write(b.Bytes())
	return err
}

// writeYAML writes JSON text as YAML: members in the same order, numbers with
// the same digits.
func writeYAML(w io.Writer, raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	node, err := yamlNode(dec)
	if err != nil {
		return fmt.Errorf("the gateway answered with something that is not JSON: %w", err)
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(node); err != nil {
		return err
	}
	return enc.Close()
}

func yamlNode(dec *json.Decoder) (*yaml.Node, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.MappingNode}
		if t == '[' {
			n.Kind = yaml.SequenceNode
		}
		for dec.More() {
			child, err := yamlNode(dec)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		if _, err := dec.Token(); err != nil {
			return nil, err
		}
		return n, nil
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(t.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: t.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(t)}, nil
	case string:
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: t}
		if strings.ContainsFunc(t, func(r rune) bool { return !harmless(r) }) {
			// Block styles cannot hold every text (a tab in front, for one), and
			// escapes are what a terminal should get of control characters anyway.
			n.Style = yaml.DoubleQuotedStyle
		}
		return n, nil
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	}
}

// row writes one line of a table; its cells are cleaned.
func row(w io.Writer, cells ...string) error {
	for i, c := range cells {
		if cells[i] = clean(c); cells[i] == "" {
			cells[i] = "-"
		}
	}
	_, err := fmt.Fprintln(w, strings.Join(cells, "\t"))
	return err
}

// clean escapes what could move the cursor, colour the terminal or turn the
// direction of writing: names and errors come from workers.
func clean(text string) string {
	plain := true
	for _, r := range text {
		plain = plain && harmless(r)
	}
	if plain {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if harmless(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteToASCII(string(r))
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

func harmless(r rune) bool { return r == ' ' || unicode.IsPrint(r) && r != unicode.ReplacementChar }

func quote(text string) string { return strconv.QuoteToGraphic(text) }

// age writes how long ago a time was, as 12s, 5m, 3h or 9d.
func age(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := now.Sub(t)
	switch {
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return strconv.Itoa(int(d/time.Second)) + "s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	default:
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
}

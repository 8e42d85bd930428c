package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
)

// The markers between which a document's tables stand.
const (
	markBegin = "<!-- bench: begin; written by \"make bench\" -->"
	markEnd   = "<!-- bench: end -->"
)

var subjectsInOrder = []string{muster, raw, viaHTTP, plain, rows, rowsReady, nginx1, nginx2, direct}

func inOrder(got map[point]measurement) []measurement {
	all := make([]measurement, 0, len(got))
	for _, m := range got {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b measurement) int {
		return cmp.Or(
			// rest, reformat, grpc is the reverse of the alphabet.
			cmp.Compare(b.Mode, a.Mode), cmp.Compare(a.N, b.N), cmp.Compare(a.W, b.W), inMatrix(a.point, b.point),
		)
	})
	return all
}

// report writes the tables in Markdown.
func report(out *outcome) string {
	var b strings.Builder
	kind := "full"
	if out.Quick {
		kind = "quick"
	}
	fmt.Fprintf(&b, "Commit `%s`, %s, %s. A %s run of %.0f minutes.\n\n", out.Commit, out.At.Format("2006-01-02 15:04 UTC"), out.Machine, kind, out.Minutes)
	b.WriteString(barTable(out.Bars))
	for _, mode := range []string{modeREST, modeReformat, modeGRPC} {
		b.WriteString(cells(out.Cells, mode))
	}
	for _, p := range probes() {
		b.WriteString(figureTable(out.Figures[p.name]))
	}
	b.WriteString("\nLeft out:\n")
	for _, note := range out.Excluded {
		fmt.Fprintf(&b, "- %s\n", note)
	}
	return b.String()
}

// barTable has a row for each bar.
func barTable(bars []judged) string {
	var b strings.Builder
	b.WriteString("### Bars\n\n| bar | measured | asked | stretch | with allowance | holds |\n|---|---|---|---|---|---|\n")
	for _, j := range bars {
		holds := "yes"
		if !j.Holds {
			holds = "**no**"
		}
		if j.Reruns > 0 {
			holds += " (second try)"
		}
		measured := j.Refused
		if measured == "" {
			measured = j.bar.write(j.Value) + spread(j.Spread)
		}
		sign, stretch, allowed := "<=", "", ""
		if j.AtLeast {
			sign = ">="
		}
		if j.Stretch != 0 {
			stretch = sign + " " + j.bar.write(j.Stretch)
		}
		if j.Limit != j.Asked {
			allowed = sign + " " + j.bar.write(j.Limit)
		}
		fmt.Fprintf(&b, "| %s | %s | %s %s | %s | %s | %s |\n", j.Name, measured, sign, j.bar.write(j.Asked), stretch, allowed, holds)
	}
	return b.String()
}

// spread writes a share as a percentage, and nothing for none.
func spread(s float64) string {
	if s == 0 {
		return ""
	}
	return fmt.Sprintf(" ±%.0f%%", s*100)
}

// figureTable writes what a probe has beside its bars.
func figureTable(f figure) string {
	if f.Title == "" {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n", f.Title)
	for i, row := range f.Rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			b.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
		}
	}
	for _, note := range f.Notes {
		fmt.Fprintf(&b, "\n%s\n", note)
	}
	return b.String()
}

var modeTitles = map[string]string{
	modeREST:     "REST workers that answer bytes as they came",
	modeReformat: "REST workers that write their JSON anew",
	modeGRPC:     "gRPC workers",
}

// cells writes one table of one mode: a row a cell, a column a subject.
func cells(all []measurement, mode string) string {
	rows := map[point]map[string]measurement{}
	present := map[string]bool{}
	var order []point
	for _, m := range all {
		if m.Mode != mode {
			continue
		}
		key := m.point
		key.Subject = ""
		if rows[key] == nil {
			rows[key] = map[string]measurement{}
			order = append(order, key)
		}
		rows[key][m.Subject] = m
		present[m.Subject] = true
	}
	if len(order) == 0 {
		return ""
	}
	columns := slices.DeleteFunc(slices.Clone(subjectsInOrder), func(s string) bool { return !present[s] })
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\nCPU ms / p50 ms / p99 ms per request; medians. `±` is half the spread of the CPU time where it exceeds 30 %%.\n\n| N | W | c |", modeTitles[mode])
	for _, c := range columns {
		fmt.Fprintf(&b, " %s |", c)
	}
	b.WriteString("\n|" + strings.Repeat("---|", 3+len(columns)) + "\n")
	for _, key := range order {
		fmt.Fprintf(&b, "| %d | %d | %d |", key.N, key.W, key.C)
		for _, c := range columns {
			b.WriteString(" " + number(rows[key], c) + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func number(row map[string]measurement, subject string) string {
	m, ok := row[subject]
	if !ok {
		return ""
	}
	cpu := ms(m.CPU)
	if subject == direct {
		cpu = "-" // there is nothing between the load and the worker
	} else if m.Spread > 0.3 {
		cpu += fmt.Sprintf(" ±%.0f%%", m.Spread*100)
	}
	return fmt.Sprintf("%s / %s / %s", cpu, ms(m.P50), ms(m.P99))
}

// intoDocument replaces what stands between the markers of a file.
func intoDocument(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(old, []byte(markBegin))
	_, after, ok2 := bytes.Cut(rest, []byte(markEnd))
	if !ok || !ok2 {
		return fmt.Errorf("%s lacks the lines %q and %q", path, markBegin, markEnd)
	}
	var b bytes.Buffer
	b.Write(before)
	fmt.Fprintf(&b, "%s\n\n%s\n%s", markBegin, text, markEnd)
	b.Write(after)
	return os.WriteFile(path, b.Bytes(), 0o644) //nolint:gosec // a document for everybody
}

package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// sent is an element and what a drawn answer makes of it.
type sent struct {
	id       string
	asked    map[string]string // property to JSON text
	answered map[string]string // nil when hidden
}

func (s *sent) node(props map[string]string) string {
	names := make([]string, 0, len(props))
	for name := range props {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		names[i] = fmt.Sprintf("%q:%s", name, props[name])
	}
	return fmt.Sprintf(`{"elementId":%q,"labels":["L"],"properties":{%s}}`, s.id, strings.Join(names, ","))
}

// row is the line of the table that belongs to the element.
func (s *sent) row() string {
	if s.answered == nil {
		return "node " + s.id + " L hidden - -"
	}
	var gone []string
	masked := false
	for name, value := range s.asked {
		now, there := s.answered[name]
		if !there {
			gone = append(gone, name)
		}
		masked = masked || there && now == `"*"` && value != now
	}
	sort.Strings(gone)
	switch {
	case gone != nil:
		return "node " + s.id + " L stripped " + strings.Join(gone, ",") + " -"
	case masked:
		return "node " + s.id + " L masked - -"
	default:
		return "node " + s.id + " L visible - -"
	}
}

// The table says of every element what became of it: a changed value is not a
// visible element, and another spelling of the same value is no change.
func TestTableSaysWhatBecameOfEach(t *testing.T) {
	g := newGateway(t)
	rapid.Check(t, func(rt *rapid.T) {
		var all []*sent
		for i := range rapid.IntRange(1, 8).Draw(rt, "nodes") {
			s := &sent{id: fmt.Sprintf("4:x:%d", i), asked: map[string]string{}}
			for j := range rapid.IntRange(0, 3).Draw(rt, "properties") {
				s.asked[fmt.Sprintf("p%d", j)] = rapid.SampledFrom([]string{"1.50", `"text"`, "null", `[1, 2]`, `"\u0041"`}).Draw(rt, "value")
			}
			if rapid.IntRange(0, 3).Draw(rt, "hidden") > 0 {
				s.answered = map[string]string{}
				for name, value := range s.asked {
					switch rapid.IntRange(0, 4).Draw(rt, "fate of "+name) {
					case 0: // stripped
					case 1:
						s.answered[name] = `"*"`
					case 2: // the same value, written anew
						s.answered[name] = map[string]string{"1.50": "1.5", `"text"`: `"te\u0078t"`, "null": "null", `[1, 2]`: `[1,2]`, `"\u0041"`: `"A"`}[value]
					default:
						s.answered[name] = value
					}
				}
			}
			all = append(all, s)
		}
		var asked, answered, want []string
		for _, s := range all {
			asked = append(asked, s.node(s.asked))
			if s.answered != nil {
				answered = append(answered, s.node(s.answered))
			}
			want = append(want, s.row())
		}
		g.on("POST "+filterPath, http.StatusOK, `{"result":{"nodes":[`+strings.Join(answered, ",")+`]}}`)
		r := g.run("filter", file(t, `{"parameters":{"type":"nodes"},"data":[`+strings.Join(asked, ",")+`]}`))
		if r.code != ExitOK {
			rt.Fatalf("code %d: %s", r.code, r.err)
		}
		lines := strings.Split(strings.TrimSpace(r.out), "\n")[1:]
		for i := range lines {
			lines[i] = strings.Join(strings.Fields(lines[i]), " ")
		}
		if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
			rt.Fatalf("the table says\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
	})
}

// A deadline that is shorter than what the header can say is the shortest that it
// can, not none.
func TestShortDeadlines(t *testing.T) {
	g := newGateway(t)
	g.on("POST "+filterPath, http.StatusOK, `{"result":{"nodes":[]}}`)
	body := file(t, `{"parameters":{"type":"nodes"},"data":[]}`)
	for given, want := range map[string]string{"1ns": "1ms", "999us": "1ms", "1ms": "1ms", "1m": "60000ms"} {
		g.run("filter", body, "--timeout", given).want(t, ExitOK)
		if got := g.last().header.Get("Request-Timeout"); got != want {
			t.Errorf("%s became %s, want %s", given, got, want)
		}
	}
}

// Reasons come from rules and from workers, several of them for one element, and
// whatever they hold reaches the terminal harmless.
func TestReasons(t *testing.T) {
	g := newGateway(t)
	g.on("POST "+filterPath, http.StatusOK, `{"result":{"nodes":[],"relationships":[]},"explain":[
		{"kind":"nodes","elementId":"4:x:1","verdict":"hidden","by":[{"rule":"need to know"},{"worker":{"name":"evil\u001b[2J"},"reason":"a\nb"}]},
		{"kind":"node","elementId":"4:x:2","verdict":"hidden","by":[]},
		{"kind":"relationships","elementId":"5:x:1","verdict":"hidden","by":[{"rule":"closure","reason":"an end is not visible"}]}]}`)
	r := g.run("filter", file(t, graph), "--explain")
	r.want(t, ExitOK, `need to know; evil\x1b[2J: a\nb`, "closure: an end is not visible")
	if strings.ContainsAny(r.out, "\x1b") || strings.Count(r.out, "\n") != 4 {
		t.Errorf("%q", r.out)
	}
	var raw json.RawMessage
	if out := g.run("filter", file(t, graph), "--explain", "-o", "json"); json.Unmarshal([]byte(out.out), &raw) != nil {
		t.Errorf("%s", out.out)
	}
}

package cli

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// town is what a run of commands has to have come to: groups by name, with their
// members and grants.
type town struct {
	t      *testing.T
	g      *live
	groups map[string]*townGroup
	// names and people are those that the commands draw from.
	names, people []string
}

type townGroup struct {
	members, grants map[string]bool
}

// items reads a list that a command prints as JSON and returns one member of each
// entry, sorted.
func (w *town) items(member string, args ...string) []string {
	w.t.Helper()
	r := w.g.admin(append(args, "-o", "json")...)
	var page struct {
		Items []map[string]any `json:"items"`
	}
	if err := json.Unmarshal([]byte(r.out), &page); err != nil || r.code != ExitOK {
		w.t.Fatalf("%q: %d %v\n%s%s", args, r.code, err, r.out, r.err)
	}
	all := []string{}
	for _, item := range page.Items {
		text, _ := item[member].(string)
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

// expect runs a command that has to end with a code and, where it is refused, with
// the API's word for it.
func (w *town) expect(rt *rapid.T, code int, word string, args ...string) {
	r := w.g.admin(args...)
	if r.code != code || !strings.Contains(r.out+r.err, word) {
		rt.Fatalf("%q ended with %d, want %d and %q\n%s%s", args, r.code, code, word, r.out, r.err)
	}
}

// dry adds --dry-run to a command, or not.
func dry(rt *rapid.T, args ...string) ([]string, bool) {
	if rapid.IntRange(0, 3).Draw(rt, "dry") > 0 {
		return args, false
	}
	return append(args, "--dry-run"), true
}

func (w *town) some(rt *rapid.T) (string, *townGroup) {
	name := rapid.SampledFrom(w.names).Draw(rt, "group")
	return name, w.groups[name]
}

func (w *town) create(rt *rapid.T) {
	name, there := w.some(rt)
	args, trial := dry(rt, "group", "create", name)
	if there != nil {
		w.expect(rt, ExitFailed, "group_exists", args...)
		return
	}
	w.expect(rt, ExitOK, name, args...)
	if !trial {
		w.groups[name] = &townGroup{members: map[string]bool{}, grants: map[string]bool{}}
	}
}

func (w *town) rename(rt *rapid.T) {
	name, there := w.some(rt)
	to := rapid.SampledFrom(w.names).Draw(rt, "new name")
	args, trial := dry(rt, "group", "rename", name, to)
	switch {
	case there == nil:
		w.expect(rt, ExitNotFound, "no group has the name", args...)
	case w.groups[to] != nil && to != name:
		w.expect(rt, ExitFailed, "group_exists", args...)
	default:
		w.expect(rt, ExitOK, to, args...)
		if !trial {
			delete(w.groups, name)
			w.groups[to] = there
		}
	}
}

func (w *town) remove(rt *rapid.T) {
	name, there := w.some(rt)
	args, trial := dry(rt, "group", "delete", name)
	if there == nil {
		w.expect(rt, ExitNotFound, "no group has the name", args...)
		return
	}
	w.expect(rt, ExitOK, "deleted", args...)
	if !trial {
		delete(w.groups, name)
	}
}

func (w *town) addMember(rt *rapid.T) {
	name, there := w.some(rt)
	who := rapid.SampledFrom(w.people).Draw(rt, "who")
	ref := who + "@example.org"
	if rapid.Bool().Draw(rt, "by id") {
		ref = w.g.ids[who]
	}
	args, trial := dry(rt, "group", "add-member", name, ref)
	switch {
	case there == nil:
		w.expect(rt, ExitNotFound, "no group has the name", args...)
	case there.members[who]:
		w.expect(rt, ExitFailed, "already_member", args...)
	default:
		w.expect(rt, ExitOK, who, args...)
		if !trial {
			there.members[who] = true
		}
	}
}

func (w *town) removeMember(rt *rapid.T) {
	name, there := w.some(rt)
	who := rapid.SampledFrom(w.people).Draw(rt, "who")
	args, trial := dry(rt, "group", "remove-member", name, strings.ToUpper(who)+"@Example.Org")
	switch {
	case there == nil:
		w.expect(rt, ExitNotFound, "no group has the name", args...)
	case !there.members[who]:
		w.expect(rt, ExitNotFound, "not_found", args...)
	default:
		w.expect(rt, ExitOK, "removed", args...)
		if !trial {
			delete(there.members, who)
		}
	}
}

func (w *town) grant(rt *rapid.T) {
	name, there := w.some(rt)
	what := rapid.SampledFrom([]string{"graph_rules read", "graph_rules write", "explain filter", "worker *", "rule_step nightly"}).Draw(rt, "what")
	verb := rapid.SampledFrom([]string{"create", "delete"}).Draw(rt, "verb")
	args, trial := dry(rt, append([]string{"grant", verb, name}, strings.Fields(what)...)...)
	switch {
	case there == nil:
		w.expect(rt, ExitNotFound, "no group has the name", args...)
	case verb == "create" && there.grants[what]:
		w.expect(rt, ExitFailed, "grant_exists", args...)
	case verb == "delete" && !there.grants[what]:
		w.expect(rt, ExitNotFound, "has no grant on", args...)
	default:
		w.expect(rt, ExitOK, "", args...)
		if !trial {
			there.grants[what] = verb == "create"
		}
	}
}

// look compares what the gateway lists with what has to be there.
func (w *town) look(rt *rapid.T) {
	same := func(what string, got []string, want map[string]bool) {
		wanted := []string{}
		for name, is := range want {
			if is {
				wanted = append(wanted, name)
			}
		}
		slices.Sort(wanted)
		if !slices.Equal(got, wanted) {
			rt.Fatalf("%s: %q, want %q", what, got, wanted)
		}
	}
	there := map[string]bool{}
	for name := range w.groups {
		there[name] = true
	}
	ours := func(name string) bool { return slices.Contains(w.names, name) }
	same("groups", slices.DeleteFunc(w.items("name", "group", "list"), func(name string) bool { return !ours(name) }), there)
	for _, name := range slices.Sorted(maps.Keys(w.groups)) {
		of := w.groups[name]
		same("members of "+name, w.items("username", "group", "members", name), of.members)
		resources := map[string]bool{}
		for what, is := range of.grants {
			resources[strings.Fields(what)[1]] = resources[strings.Fields(what)[1]] || is
		}
		same("grants of "+name, slices.Compact(w.items("resource_id", "grant", "list", "--group", name)), resources)
	}
}

// Whatever commands are run in whatever order, tried or done: the gateway holds what
// was done, refuses what cannot be, and a dry run says the same and does nothing.
func TestAdminAgainstAModel(t *testing.T) {
	g := startLive(t)
	tried, failed := 0, false
	rapid.Check(t, func(rt *rapid.T) {
		// Each is a dozen real calls: a few dozen of them, and as many as it takes to
		// make a failing one small.
		if tried++; tried > 30 && !failed {
			return
		}
		done := false
		defer func() { failed = failed || !done }()
		w := &town{
			t: t, g: g, groups: map[string]*townGroup{}, people: []string{"alice", "bob", "admin"},
			names: []string{"red", "Red", "/teams/red", "ünïcode ✓", "a b"},
		}
		steps := []func(*rapid.T){w.create, w.create, w.rename, w.remove, w.addMember, w.addMember, w.removeMember, w.grant, w.grant}
		for range rapid.IntRange(4, 12).Draw(rt, "steps") {
			rapid.SampledFrom(steps).Draw(rt, "step")(rt)
		}
		w.look(rt)
		for name := range w.groups {
			w.expect(rt, ExitOK, "deleted", "group", "delete", name)
		}
		done = true
	})
}

// Of two admins who take each other out at once exactly one is left.
func TestTwoAdminsTakeEachOtherOut(t *testing.T) {
	g := startLive(t)
	for range 5 {
		for _, who := range []string{"alice", "bob"} {
			if r := g.admin("group", "add-member", "Admin", who+"@example.org"); r.code != ExitOK && !strings.Contains(r.err, "already_member") {
				t.Fatalf("%d %s", r.code, r.err)
			}
		}
		// The first admin is one by the identity provider alone; shut out, they are no
		// admin who is left.
		g.as("alice", "admin", "user", "deactivate", "admin@example.org").want(t, ExitOK)
		ends := make(chan result, 2)
		for _, pair := range [][2]string{{"alice", "bob"}, {"bob", "alice"}} {
			go func() { ends <- g.as(pair[0], "admin", "group", "remove-member", "Admin", pair[1]+"@example.org") }()
		}
		first, second := <-ends, <-ends
		done := 0
		for _, r := range []result{first, second} {
			switch {
			case r.code == ExitOK:
				done++
			case !strings.Contains(r.err, "last_admin") && r.code != ExitDenied:
				t.Errorf("refused for another reason: %d %s", r.code, r.err)
			}
		}
		if done != 1 {
			t.Fatalf("%d of two were taken out:\n%s%s\n%s%s", done, first.out, first.err, second.out, second.err)
		}
		left := "alice"
		if g.as("bob", "admin", "group", "list").code == ExitOK {
			left = "bob"
		}
		g.as(left, "admin", "user", "activate", "admin@example.org").want(t, ExitOK)
	}
}

package probe

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/registry"
)

const testID = registry.WorkerID("3f2b8c1e-0000-4000-8000-000000000001")

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func wish() *registry.Worker {
	return &registry.Worker{
		ID: testID, Name: "w", URL: "http://w:1/", Class: registry.ClassResult, Type: registry.TypeGraphSecurity,
		Version: "1", RegisteredAt: epoch, UpdatedAt: epoch, Active: true,
	}
}

func goodFinding() finding {
	return finding{took: 5 * time.Millisecond, info: registry.Info{
		Class: registry.ClassResult, Type: registry.TypeGraphSecurity, ID: testID, Version: "1",
	}}
}

func badFinding() finding { return finding{err: "unreachable: no"} }

// TestScript plays letters against a standing and compares the states: + good
// probe, - failed probe, x another uuid, c another class, t another type, u an
// unreadable uuid, v violation, f failed call, a answered call, s a second later,
// m a minute later, q quarantine stored, p pardoned, r registered anew, n new url.
func TestScript(t *testing.T) {
	for _, c := range []struct{ start, script, want string }{
		{"known", "", "unknown"},
		{"new", "", "healthy"},
		{"known", "+", "healthy"},
		{"known", "-", "suspect"},
		{"known", "--", "suspect"},
		{"known", "---", "unreachable"},
		{"new", "-", "suspect"},
		{"new", "--", "suspect"},
		{"new", "---", "unreachable"},
		{"new", "----+", "unreachable"},
		{"new", "----++", "healthy"},
		{"new", "-+", "suspect"},
		{"new", "-++", "healthy"},
		{"new", "-+-+-+-+", "suspect"},
		{"new", "--+-", "suspect"},
		{"new", "--+--", "suspect"},
		{"new", "---+-", "unreachable"},
		{"new", "---+--+", "unreachable"},
		{"new", "-++-", "suspect"},
		{"new", "x", "quarantined"},
		{"new", "c", "quarantined"},
		{"new", "t", "quarantined"},
		{"new", "u", "quarantined"},
		{"known", "x", "quarantined"},
		{"new", "x+++++", "quarantined"},
		{"new", "xq+++", "quarantined"},
		{"new", "xqp", "healthy"},
		{"new", "---xqp", "healthy"},
		{"new", "xqr", "healthy"},
		{"new", "xqn", "healthy"},
		{"new", "xr", "healthy"},
		{"new", "vvvv", "healthy"},
		{"new", "vvvvv", "quarantined"},
		{"new", "vvvvmv", "healthy"},
		{"new", "vvvvmvvvv", "healthy"},
		{"new", "vsvsvsvsv", "quarantined"},
		{"new", "vvvvvqpvvvv", "healthy"},
		{"new", "ff", "healthy"},
		{"new", "fff", "suspect"},
		{"new", "fff+", "suspect"},
		{"new", "fff++", "suspect"}, // traffic still fails
		{"new", "fffm++", "healthy"},
		{"new", "aaaaaaaaaaaaaaafff", "healthy"}, // 3 of 18
		{"new", "aaaaaaaaaaaafff", "suspect"},    // 3 of 15
		{"new", "ffmf", "healthy"},
		{"new", "fffff---", "unreachable"},
		{"new", "---fff", "unreachable"},
		{"new", "---n", "healthy"},
	} {
		t.Run(c.start+" "+c.script, func(t *testing.T) {
			s, _ := play(c.start, c.script)
			if got := string(s.current()); got != c.want {
				t.Errorf("is %s, want %s", got, c.want)
			}
		})
	}
}

func play(start, script string) (*standing, time.Time) {
	now := epoch.Add(time.Hour)
	s := newStanding(wish(), now)
	if start == "new" {
		s = newRegistered(wish(), now)
	}
	for _, step := range script {
		now = step1(s, step, now)
	}
	return s, now
}

func step1(s *standing, step rune, now time.Time) time.Time {
	f := goodFinding()
	w := *s.wish
	switch step {
	case '+':
		s.probed(f, now)
	case '-':
		s.probed(badFinding(), now)
	case 'x':
		f.info.ID = "3f2b8c1e-0000-4000-8000-000000000002"
		s.probed(f, now)
	case 'c':
		f.info.Class = "auth"
		s.probed(f, now)
	case 't':
		f.info.Type = registry.TypeRuleTransformation
		s.probed(f, now)
	case 'u':
		f.info.ID, f.err = "banana", "uuid_mismatch"
		s.probed(f, now)
	case 'v':
		s.observed(Violated, now)
	case 'f':
		s.observed(Failed, now)
	case 'a':
		s.observed(Answered, now)
	case 's':
		return now.Add(time.Second)
	case 'm':
		return now.Add(time.Minute)
	case 'q':
		if s.pending != nil {
			w.Quarantined = s.pending
			s.sync(&w, now)
		}
	case 'p':
		w.Quarantined = nil
		s.sync(&w, now)
	case 'r':
		now = now.Add(time.Millisecond)
		w.RegisteredAt, w.Quarantined = now, nil
		s.sync(&w, now)
	case 'n':
		w.URL, w.UpdatedAt, w.Quarantined = w.URL+"x", now, nil
		s.sync(&w, now)
	}
	return now
}

func TestUUIDIsComparedWithoutRegardToForm(t *testing.T) {
	s := newRegistered(wish(), epoch)
	f := goodFinding()
	f.info.ID = "{3F2B8C1E-0000-4000-8000-000000000001}"
	s.probed(f, epoch)
	if s.current() != registry.StateHealthy {
		t.Errorf("is %s", s.current())
	}
}

// TestRendering: what a standing says of times, errors and latency.
func TestRendering(t *testing.T) {
	s, now := play("new", "+s-s-")
	got := s.at(now.Add(time.Minute))
	if got.State != registry.StateSuspect || got.LastError != "unreachable: no" || got.LatencyMS != 5 ||
		!got.LastProbe.Equal(now) || !got.Since.Equal(now.Add(-time.Second)) || got.StableFor != time.Minute+time.Second {
		t.Errorf("got %+v", got)
	}
	s, now = play("new", "x")
	if got := s.at(now); got.LastError != "the worker answers another uuid, 3f2b8c1e-0000-4000-8000-000000000002" {
		t.Errorf("got %+v", got)
	}
	s, now = play("new", "vvvvvq+")
	if got := s.at(now.Add(time.Second)); got.LastError == "" || !got.Since.Equal(now) {
		t.Errorf("a quarantine does not say why: %+v", got)
	}
	s, now = play("new", "xqps+")
	if got := s.at(now); got.LastError != "" || !got.Since.Equal(now.Add(-time.Second)) {
		t.Errorf("got %+v", got)
	}
}

// TestLaws checks the rules of section 3 against a history of events, not
// against the machine's own counters.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.SampledFrom([]string{"known", "new"}).Draw(t, "start")
		script := rapid.StringOfN(rapid.RuneFrom([]rune("+++---xvvfffaasmqprn")), 0, 60, -1).Draw(t, "script")
		s, now := play(start, "")
		probes := "" // since the last registration, pardon or quarantine
		for i, step := range script {
			before := s.current()
			now = step1(s, step, now)
			after := s.current()
			switch step {
			case '+', '-', 'x':
				probes += string(step)
			case 'r', 'n':
				probes = ""
			case 'p':
				if before == registry.StateQuarantined {
					probes = ""
				}
			}
			where := fmt.Sprintf("%s %q at %d: %s -> %s", start, script, i, before, after)
			checkLaws(t, where, step, probes, before, after)
			if out := s.at(now); out.State != after || out.StableFor < 0 || out.Since.After(now.Add(time.Millisecond)) {
				t.Fatalf("%s: rendered as %+v", where, out)
			}
		}
	})
}

func checkLaws(t *rapid.T, where string, step rune, probes string, before, after registry.State) {
	switch {
	case step == 'x' && after != registry.StateQuarantined:
		t.Fatalf("%s: an impostor is not quarantined", where)
	case before == registry.StateQuarantined && after != before && !strings.ContainsRune("prn", step):
		t.Fatalf("%s: a quarantine ended by itself", where)
	case after == registry.StateUnreachable && before != after && !strings.HasSuffix(probes, "---") && step != 'p':
		t.Fatalf("%s: unreachable without 3 failed probes", where)
	case step == '-' && after != registry.StateQuarantined && strings.HasSuffix(probes, "---") && after != registry.StateUnreachable:
		t.Fatalf("%s: 3 failed probes and not unreachable", where)
	case step == '-' && after == registry.StateHealthy:
		t.Fatalf("%s: healthy after a failed probe", where)
	case step == '+' && after == registry.StateHealthy && before != after && before != registry.StateUnknown && !strings.HasSuffix(probes, "++"):
		t.Fatalf("%s: healthy again after one good probe", where)
	case strings.ContainsRune("prn", step) && after != registry.StateHealthy && before == registry.StateQuarantined && step != 'p':
		t.Fatalf("%s: registered anew and not healthy", where)
	}
}

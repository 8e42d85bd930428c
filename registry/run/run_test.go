package run

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestAttemptsFollowOneAnotherUntilTheRetriesAreUsedUp(t *testing.T) {
	r := Run{State: Queued, Retries: 2}
	for n := 1; n <= 3; n++ {
		r.Begin(noon)
		if a := r.Current(); a == nil || a.Number != n || r.State != Running || !r.NotBefore.IsZero() {
			t.Fatalf("attempt %d: %+v", n, r)
		}
		r.End(noon, Outcome{State: Failed, Status: 500, Code: "c", Message: "m"})
		if n <= 2 && (r.State != Queued || !r.NotBefore.Equal(noon.Add(Backoff(n))) || !r.EndedAt.IsZero()) {
			t.Errorf("after attempt %d: %+v", n, r)
		}
	}
	if r.State != Failed || !r.EndedAt.Equal(noon) || r.Message() != "m" || r.Current() != nil {
		t.Errorf("%+v", r)
	}
	r.End(noon.Add(time.Hour), Outcome{State: Succeeded})
	if r.State != Failed || !r.EndedAt.Equal(noon) {
		t.Errorf("an end after the end: %+v", r)
	}
}

func TestAnInterruptedAttemptIsTriedAgainAtOnce(t *testing.T) {
	r := Run{State: Queued, Retries: 1}
	r.Begin(noon)
	r.End(noon, Outcome{State: Interrupted})
	if r.State != Queued || !r.NotBefore.Equal(noon) {
		t.Errorf("%+v", r)
	}
	r.Begin(noon)
	r.End(noon, Outcome{State: Interrupted})
	if r.State != Interrupted || r.Attempts[0].State != Interrupted {
		t.Errorf("%+v", r)
	}
}

func TestBackoff(t *testing.T) {
	for n, want := range map[int]time.Duration{1: 5 * time.Second, 2: 10 * time.Second, 4: 40 * time.Second, 7: 5 * time.Minute, 1000: 5 * time.Minute} {
		if got := Backoff(n); got != want {
			t.Errorf("after attempt %d: %s, want %s", n, got, want)
		}
	}
}

func TestCancel(t *testing.T) {
	r := Run{State: Queued, Retries: 5}
	r.Begin(noon)
	if r.TokenEnded(1) || !r.TokenEnded(2) {
		t.Error("whose token it is")
	}
	if !r.Cancel(noon) || r.State != Running || !r.Cancelling || !r.TokenEnded(1) {
		t.Errorf("%+v", r)
	}
	if r.Cancel(noon) {
		t.Error("cancelled twice")
	}
	r.End(noon, Outcome{State: Succeeded, Status: 200})
	if r.State != Cancelled || r.Cancelling || r.Attempts[0].State != Cancelled || r.Cancel(noon) {
		t.Errorf("%+v", r)
	}
}

// Whatever happens, a run moves only forward, and has at most one attempt under
// way, the last one.
func TestRunsMoveForward(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := Run{State: Queued, Retries: rapid.IntRange(0, MaxRetries).Draw(rt, "retries")}
		now, attempts := noon, 0
		rt.Repeat(map[string]func(*rapid.T){
			"begin": func(*rapid.T) {
				if r.State == Queued {
					r.Begin(now)
					attempts++
				}
			},
			"end": func(rt *rapid.T) {
				r.End(now, Outcome{State: rapid.SampledFrom([]State{Succeeded, Failed, Interrupted}).Draw(rt, "state")})
			},
			"cancel": func(*rapid.T) { r.Cancel(now) },
			"": func(rt *rapid.T) {
				now = now.Add(time.Second)
				if len(r.Attempts) != attempts || attempts > r.Retries+1 {
					rt.Fatalf("%d attempts of %d: %+v", attempts, r.Retries+1, r)
				}
				for i, a := range r.Attempts {
					if a.Number != i+1 || (a.State == Running) != (r.State == Running && i == attempts-1) || a.State == Queued {
						rt.Fatalf("attempt %d: %+v", i+1, r)
					}
				}
				if r.State.Ended() != !r.EndedAt.IsZero() || r.Cancelling && r.State != Running {
					rt.Fatalf("%+v", r)
				}
			},
		})
	})
}

func TestCloneSharesNothing(t *testing.T) {
	r := Run{State: Queued}
	r.Begin(noon)
	c := r.Clone()
	c.End(noon, Outcome{State: Failed})
	if r.Attempts[0].State != Running {
		t.Error("the original changed")
	}
}

func TestNames(t *testing.T) {
	for _, good := range []string{"a", "0", "nightly-load", "A.b_c-9", strings.Repeat("x", MaxName)} {
		if err := CheckName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "-a", "_a", "a b", "a/b", "ä", "a\x00", "a:b", strings.Repeat("x", MaxName+1)} {
		if CheckName(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, good := range []string{"loader", "team/loader", "..data/loader", "a.b"} {
		if err := CheckSecretFile(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "/etc/passwd", "..", ".", "../x", "a/../../x", "a/", "a//b", `a\b`, "a\nb", strings.Repeat("x", MaxText+1)} {
		if CheckSecretFile(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, bad := range []string{"", "a\tb", "\xff", strings.Repeat("x", MaxText+1)} {
		if CheckText(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestChoices(t *testing.T) {
	var none Choice[string]
	all, some, empty := Choice[string]{All: true}, Choice[string]{List: []string{"a"}}, Choice[string]{List: []string{}}
	if none.Wanted() || !all.Wanted() || !some.Wanted() || !empty.Wanted() {
		t.Error("what is wanted")
	}
	if none.Has("a") || !all.Has("a") || !some.Has("a") || some.Has("b") || empty.Has("a") {
		t.Error("what is asked for")
	}
	a, b := Step{Name: "x", Users: none}, Step{Name: "x", Users: empty, Revision: 7}
	if a.SameWish(&b) {
		t.Error("no users is the same wish as none at all")
	}
	if b.Users = none; !a.SameWish(&b) {
		t.Error("the revision is part of the wish")
	}
}

func TestDigest(t *testing.T) {
	if got := DigestOf("abc").String(); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Error(got)
	}
}

func TestStates(t *testing.T) {
	for _, s := range States() {
		if want := s != Queued && s != Running; s.Ended() != want {
			t.Errorf("%s", s)
		}
	}
}

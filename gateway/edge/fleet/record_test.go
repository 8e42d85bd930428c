package fleet

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/registry"
)

var moments = rapid.Custom(func(t *rapid.T) time.Time {
	if rapid.Bool().Draw(t, "never") {
		return time.Time{}
	}
	zone := time.FixedZone("", rapid.IntRange(-12, 14).Draw(t, "zone")*3600)
	return time.UnixMicro(rapid.Int64Range(1, 4e15).Draw(t, "at")).In(zone)
})

func workerGen(t *rapid.T) *registry.Worker {
	text := rapid.StringN(0, 20, -1)
	w := &registry.Worker{
		ID: "aaaaaaaa-0000-4000-8000-000000000001", Name: text.Draw(t, "name"), URL: text.Draw(t, "url"),
		Class: text.Draw(t, "class"), Type: text.Draw(t, "type"), Version: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "version"),
		Transport: rapid.SampledFrom([]registry.Transport{registry.TransportREST, registry.TransportGRPC}).Draw(t, "transport"),
		Active:    rapid.Bool().Draw(t, "active"), PausedUntil: moments.Draw(t, "until"),
		Settings: registry.Settings{
			Timeout:   time.Duration(rapid.Int64Range(1, int64(registry.MaxTimeout)).Draw(t, "timeout")),
			OnFailure: registry.HideUnjudged, Identity: registry.IdentityExchange, Audience: text.Draw(t, "audience"),
			MaxElementsPerCall: rapid.IntRange(0, registry.MaxElementsLimit).Draw(t, "elements"),
			MaxConcurrent:      rapid.IntRange(1, registry.MaxConcurrentLimit).Draw(t, "concurrent"),
		},
		RegisteredBy: text.Draw(t, "by"), RegisteredAt: moments.Draw(t, "registered"), UpdatedAt: moments.Draw(t, "updated"),
		Revision: rapid.Int64Min(1).Draw(t, "revision"),
	}
	if rapid.Bool().Draw(t, "conformed") {
		w.Conformance = registry.Conformance{Level: registry.LevelLaws, Version: "1", At: moments.Draw(t, "conformed at")}
	}
	return w
}

// TestOneRendering: what JSON carries and what gRPC carries is the same record,
// and both carry all of it.
func TestOneRendering(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, now := workerGen(t), time.UnixMicro(rapid.Int64Range(1, 4e15).Draw(t, "now"))
		s := registry.Standing{
			State: rapid.SampledFrom(states).Draw(t, "state"), Since: moments.Draw(t, "since"), LastProbe: moments.Draw(t, "probe"),
			LastError: "e", LatencyMS: rapid.Float64Range(0, 5000).Draw(t, "latency"),
			StableFor: time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "stable")),
		}
		r := Render(w, s, now)
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var back Record
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(back)
		if err != nil || string(again) != string(text) {
			t.Fatalf("%s came back as %s", text, again)
		}
		p := r.proto()
		switch {
		case p.GetActive() != w.ActiveAt(now), r.Active != p.GetActive():
			t.Fatalf("active is %v and %v", r.Active, p.GetActive())
		case r.Active && r.PausedUntil != nil, (p.GetPausedUntil() != nil) != (r.PausedUntil != nil):
			t.Fatalf("paused until %v and %v", r.PausedUntil, p.GetPausedUntil())
		case p.GetSettings().GetTimeout().AsDuration() != w.Settings.Timeout:
			t.Fatalf("timeout is %v, want %v", p.GetSettings().GetTimeout(), w.Settings.Timeout)
		case p.GetStanding().GetStableFor().AsDuration() != s.StableFor.Truncate(time.Millisecond):
			t.Fatalf("stableFor is %v, want %v", p.GetStanding().GetStableFor(), s.StableFor)
		case (p.GetStanding().GetLastProbe() == nil) != s.LastProbe.IsZero():
			t.Fatalf("lastProbe is %v, want %v", p.GetStanding().GetLastProbe(), s.LastProbe)
		case !p.GetRegisteredAt().AsTime().Equal(w.RegisteredAt), !p.GetUpdatedAt().AsTime().Equal(w.UpdatedAt):
			t.Fatalf("times are %v and %v", p.GetRegisteredAt(), p.GetUpdatedAt())
		case w.Version == "2" && r.Conformance != Conformance{Level: "none"}:
			t.Fatalf("the conformance of another version is shown: %+v", r.Conformance)
		case p.GetRevision() != w.Revision, p.GetName() != w.Name, p.GetVersion() != w.Version, p.GetConformance().GetLevel() != r.Conformance.Level:
			t.Fatalf("got %v, want %s", p, text)
		}
	})
}

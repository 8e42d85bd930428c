package storetest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

func updateTests() map[string]func(*testing.T, Backend) {
	return map[string]func(*testing.T, Backend){
		"wishes change the record":        testWishes,
		"nothing wished, nothing changed": testNoChange,
		"If-Match":                        testIfMatch,
		"all mistakes at once":            testPatchMistakes,
		"another url":                     testMove,
		"a url that is taken":             testMoveTaken,
		"changed while it is checked":     testMovedMeanwhile,
		"removed while it is checked":     testRemovedMeanwhile,
		"one of many writers wins":        testOneWins,
		"pause, resume, warn":             testPause,
	}
}

func ptr[T any](v T) *T { return &v }

func testWishes(t *testing.T, b Backend) {
	open := b.New(t)
	c := &clock{at: noon}
	s := service(t, open, newFleet().serve(Worker(1)), func(o *registry.Options) { o.Clock = c.now })
	register(t, s, Worker(1))
	c.advance(time.Minute)
	p := registry.Patch{Name: ptr("new name"), Settings: registry.SettingsInput{
		Timeout: ptr("1500ms"), OnFailure: ptr("hide"), Mask: ptr(true), Identity: ptr("exchange"), Audience: ptr("w1"), MaxConcurrent: ptr(3),
	}}
	got, err := s.Update(t.Context(), admin, uuidOf(1), p, "")
	want := registry.Settings{
		Timeout: 1500 * time.Millisecond, OnFailure: registry.HideUnjudged, Mask: true,
		Identity: registry.IdentityExchange, Audience: "w1", MaxConcurrent: 3,
	}
	if err != nil || got.Worker.Settings != want || got.Worker.Name != "new name" || got.Worker.Revision != 2 || got.Warning != "" {
		t.Fatalf("%+v %v", got, err)
	}
	if got.Worker.UpdatedAt != noon.Add(time.Minute) || got.Worker.RegisteredAt != noon {
		t.Errorf("%+v", got.Worker)
	}
	if lastAction(t, s) != registry.ActionUpdated || !same(s.Snapshot().Worker(uuidOf(1)), &got.Worker) {
		t.Errorf("%s %+v", lastAction(t, s), s.Snapshot().Worker(uuidOf(1)))
	}
	got, err = s.Update(t.Context(), admin, uuidOf(1), registry.Patch{Name: ptr("")}, "")
	if err != nil || got.Worker.Name != "w1:8080" {
		t.Errorf("an empty name is the default one: %+v %v", got, err)
	}
	_, err = s.Update(t.Context(), admin, uuidOf(2), p, "")
	refused(t, err, "not_found")
}

func testNoChange(t *testing.T, b Backend) {
	f := newFleet().serve(Worker(1))
	s := service(t, b.New(t), f)
	register(t, s, Worker(1))
	if err := s.Quarantine(t.Context(), uuidOf(1), "x"); err != nil {
		t.Fatal(err)
	}
	calls, rev, rows := f.called(), s.Snapshot().Revision, len(audited(t, s))
	for _, p := range []registry.Patch{
		{}, {Name: ptr(Worker(1).Name), URL: ptr(Worker(1).URL), Active: ptr(true), Settings: registry.SettingsInput{Timeout: ptr("2000ms")}},
	} {
		got, err := s.Update(t.Context(), admin, uuidOf(1), p, "1")
		if err != nil || got.Worker.Revision != 1 || got.Worker.Quarantined == nil {
			t.Errorf("%+v %v", got, err)
		}
	}
	if f.called() != calls || s.Snapshot().Revision != rev || len(audited(t, s)) != rows {
		t.Error("a patch that changes nothing has changed something")
	}
}

func testIfMatch(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet().serve(Worker(1)))
	register(t, s, Worker(1))
	for _, never := range []string{"2", `"2"`, `*, "2"`, `W/"1"`, "01", "+1", `"2", "3"`, `'1'`, "1.0", "-1", "abc"} {
		_, err := s.Update(t.Context(), admin, uuidOf(1), registry.Patch{Name: ptr("x")}, never)
		if e := refused(t, err, "revision_mismatch"); e.Kind != fault.Precondition {
			t.Errorf("%q: %v", never, e)
		}
	}
	for i, match := range []string{"1", `"2"`, "", "*", `"4", "5"`, `W/"6" ,6`} {
		got, err := s.Update(t.Context(), admin, uuidOf(1), registry.Patch{Name: ptr(fmt.Sprint("name ", i))}, match)
		if err != nil || got.Worker.Revision != int64(i+2) {
			t.Errorf("%q: %+v %v", match, got, err)
		}
	}
}

func testPatchMistakes(t *testing.T, b Backend) {
	f := newFleet().serve(Worker(1))
	s := service(t, b.New(t), f)
	register(t, s, Worker(1))
	calls := f.called()
	_, err := s.Update(t.Context(), admin, uuidOf(1), registry.Patch{
		Name: ptr("bad\x07name"), URL: ptr("ftp://x"), Until: ptr(noon),
		Settings:   registry.SettingsInput{Timeout: ptr("-1s"), MaxConcurrent: ptr(0)},
		Violations: []fault.Violation{{Code: "bad_request", Pointer: "/colour", Detail: "is unknown"}},
	}, "")
	e := refused(t, err, "bad_url")
	var all []string
	for _, v := range e.Violations {
		all = append(all, v.Code+v.Pointer)
	}
	want := "bad_url/url bad_settings/settings/timeout bad_settings/settings/maxConcurrent bad_request/colour bad_request/name bad_request/until"
	if got := strings.Join(all, " "); got != want {
		t.Errorf("%s\nnot %s", got, want)
	}
	if f.called() != calls {
		t.Error("called for what was refused")
	}
}

func testMove(t *testing.T, b Backend) {
	f := newFleet().serve(Worker(1))
	s := service(t, b.New(t), f)
	register(t, s, Worker(1))
	if _, err := s.RecordConformance(t.Context(), admin, uuidOf(1), registry.Conformance{Level: registry.LevelLaws}); err != nil {
		t.Fatal(err)
	}
	if err := s.Quarantine(t.Context(), uuidOf(1), "x"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Update(t.Context(), admin, uuidOf(1), registry.Patch{URL: ptr("http://nobody:1/")}, "")
	refused(t, err, "unreachable")
	moved := Worker(1)
	moved.URL, moved.Version, moved.Type = "grpc://w1:9000", "2.0.0", registry.TypeRuleTransformation
	f.serve(moved)
	got, err := s.Update(t.Context(), admin, uuidOf(1), registry.Patch{URL: &moved.URL}, "")
	w := got.Worker
	if err != nil || w.URL != moved.URL || w.Transport != registry.TransportGRPC || w.Version != "2.0.0" || w.Quarantined != nil ||
		w.Conformed().Level != registry.LevelNone || w.Revision != 2 || w.Type != moved.Type {
		t.Errorf("%+v %v", w, err)
	}
	if got.Warning == "" {
		t.Error("the last security worker became another type without a warning")
	}
	other := Worker(2)
	other.URL = "http://w9:1/"
	f.serve(other)
	_, err = s.Update(t.Context(), admin, uuidOf(1), registry.Patch{URL: &other.URL}, "")
	refused(t, err, "uuid_mismatch")
}

func testMoveTaken(t *testing.T, b Backend) {
	f := newFleet().serve(Worker(1), Worker(2))
	s := service(t, b.New(t), f)
	register(t, s, Worker(1), Worker(2))
	calls := f.called()
	_, err := s.Update(t.Context(), admin, uuidOf(1), registry.Patch{URL: ptr("http://W2:8080/filter")}, "")
	refused(t, err, "url_taken")
	if f.called() != calls {
		t.Error("called for what was refused")
	}
	// Taken only while the worker is being called.
	to := Worker(1)
	to.URL = "http://free:1/"
	f.serve(to)
	rival := Worker(3)
	rival.URL = to.URL
	var once sync.Once
	f.before = func() {
		once.Do(func() {
			f.before = nil
			if _, err := s.Deregister(t.Context(), admin, uuidOf(2)); err != nil {
				t.Error(err)
			}
			f.byURL[to.URL] = registry.Info{Class: rival.Class, Type: rival.Type, ID: rival.ID, Version: "1"}
			register(t, s, rival)
			f.serve(to)
		})
	}
	_, err = s.Update(t.Context(), admin, uuidOf(1), registry.Patch{URL: &to.URL}, "")
	// The call itself may already tell who lives there now.
	if !fault.Is(err, "url_taken") && !fault.Is(err, "uuid_mismatch") {
		t.Error(err)
	}
}

func testMovedMeanwhile(t *testing.T, b Backend) {
	f := newFleet().serve(Worker(1))
	s := service(t, b.New(t), f)
	register(t, s, Worker(1))
	to := Worker(1)
	to.URL = "http://free:1/"
	f.serve(to)
	var once sync.Once
	f.before = func() {
		once.Do(func() {
			if _, err := s.Update(t.Context(), admin, uuidOf(1), registry.Patch{Name: ptr("meanwhile")}, ""); err != nil {
				t.Error(err)
			}
		})
	}
	_, err := s.Update(t.Context(), admin, uuidOf(1), registry.Patch{URL: &to.URL}, `"1"`)
	refused(t, err, "revision_mismatch")
	got, err := s.Update(t.Context(), admin, uuidOf(1), registry.Patch{URL: &to.URL}, "")
	if err != nil || got.Worker.Name != "meanwhile" || got.Worker.URL != to.URL {
		t.Errorf("what changed meanwhile is lost: %+v %v", got, err)
	}
}

func testRemovedMeanwhile(t *testing.T, b Backend) {
	f := newFleet().serve(Worker(1))
	s := service(t, b.New(t), f)
	register(t, s, Worker(1))
	to := Worker(1)
	to.URL = "http://free:1/"
	f.serve(to)
	f.before = func() {
		if _, err := s.Deregister(t.Context(), admin, uuidOf(1)); err != nil {
			t.Error(err)
		}
	}
	_, err := s.Update(t.Context(), admin, uuidOf(1), registry.Patch{URL: &to.URL}, "")
	refused(t, err, "not_found")
	if s.Snapshot().Worker(uuidOf(1)) != nil {
		t.Error("it is back")
	}
}

func testOneWins(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet().serve(Worker(1)))
	register(t, s, Worker(1))
	const rounds, writers = 5, 6
	for round := range rounds {
		rev := fmt.Sprintf("%q", fmt.Sprint(round+1))
		var won atomic.Int32
		var wg sync.WaitGroup
		for n := range writers {
			wg.Go(func() {
				_, err := s.Update(t.Context(), admin, uuidOf(1), registry.Patch{Name: ptr(fmt.Sprint(round, " ", n))}, rev)
				if err == nil {
					won.Add(1)
				} else if !fault.Is(err, "revision_mismatch") {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d writers won with the same revision", won.Load())
		}
	}
}

func testPause(t *testing.T, b Backend) {
	c := &clock{at: noon}
	s := service(t, b.New(t), newFleet().serve(Worker(1), Worker(2)), func(o *registry.Options) { o.Clock, o.MinSecurityWorkers = c.now, 1 })
	register(t, s, Worker(1), Worker(2))
	pause := registry.Patch{Active: ptr(false)}
	got, err := s.Update(t.Context(), admin, uuidOf(1), pause, "")
	if err != nil || got.Worker.Active || !strings.Contains(got.Warning, "one active") || lastAction(t, s) != registry.ActionPaused {
		t.Errorf("%+v %v", got, err)
	}
	got, err = s.Update(t.Context(), admin, uuidOf(2), pause, "")
	if err != nil || !strings.Contains(got.Warning, "no_security_worker") {
		t.Errorf("%+v %v", got, err)
	}
	if warning, err := s.Deregister(t.Context(), admin, uuidOf(2)); err != nil || warning != "" {
		t.Errorf("removing a paused worker takes nothing away: %q %v", warning, err)
	}
	for _, until := range []time.Time{noon, noon.Add(-time.Hour)} {
		_, err := s.Update(t.Context(), admin, uuidOf(1), registry.Patch{Until: &until}, "")
		refused(t, err, "bad_request")
	}
	until := noon.Add(time.Hour)
	got, err = s.Update(t.Context(), admin, uuidOf(1), registry.Patch{Until: &until}, "")
	if err != nil || got.Worker.PausedUntil != until || got.Worker.Active {
		t.Errorf("%+v %v", got, err)
	}
	got, err = s.Update(t.Context(), admin, uuidOf(1), registry.Patch{Active: ptr(true)}, "")
	if err != nil || !got.Worker.Active || !got.Worker.PausedUntil.IsZero() || lastAction(t, s) != registry.ActionResumed {
		t.Errorf("%+v %v", got, err)
	}
	_, err = s.Update(t.Context(), admin, uuidOf(1), registry.Patch{Until: &until}, "")
	refused(t, err, "bad_request")
	got, err = s.Update(t.Context(), admin, uuidOf(1), registry.Patch{Active: ptr(false), Until: ptr(until.In(time.FixedZone("x", 3600)))}, "")
	if err != nil || got.Worker.PausedUntil != until {
		t.Errorf("%+v %v", got, err)
	}
	got, err = s.Update(t.Context(), admin, uuidOf(1), pause, "")
	if err != nil || !got.Worker.PausedUntil.IsZero() {
		t.Errorf("a pause without an end keeps the old one's: %+v %v", got, err)
	}
}

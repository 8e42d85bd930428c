package storetest

import (
	"strings"
	"testing"

	"github.com/muster-fleet/muster/registry"
)

func testQuarantine(t *testing.T, b Backend) {
	open := b.New(t)
	f := newFleet().serve(Worker(1))
	s := service(t, open, f)
	register(t, s, Worker(1))
	for range 2 {
		if err := s.Quarantine(t.Context(), uuidOf(1), "answers as another"); err != nil {
			t.Fatal(err)
		}
	}
	w := s.Snapshot().Worker(uuidOf(1))
	if w.Quarantined == nil || w.Quarantined.Reason != "answers as another" || w.Revision != 1 || lastAction(t, s) != registry.ActionQuarantined {
		t.Errorf("%+v %s", w, lastAction(t, s))
	}
	if n := len(audited(t, s)); n != 2 {
		t.Errorf("%d rows", n)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = service(t, open, f) // a restart does not pardon
	if s.Snapshot().Worker(uuidOf(1)).Quarantined == nil {
		t.Fatal("pardoned by a restart")
	}
	for range 2 {
		if err := s.Pardon(t.Context(), admin, uuidOf(1)); err != nil {
			t.Fatal(err)
		}
	}
	if w := s.Snapshot().Worker(uuidOf(1)); w.Quarantined != nil || w.Revision != 1 || lastAction(t, s) != registry.ActionPardoned {
		t.Errorf("%+v", w)
	}
	if err := s.Quarantine(t.Context(), uuidOf(1), strings.Repeat("ä", 2000)+"\x00"); err != nil {
		t.Fatal(err)
	}
	refused(t, s.Quarantine(t.Context(), uuidOf(2), "x"), "not_found")
	refused(t, s.Pardon(t.Context(), admin, uuidOf(2)), "not_found")
	// Registering anew pardons.
	if _, err := s.Deregister(t.Context(), admin, uuidOf(1)); err != nil {
		t.Fatal(err)
	}
	register(t, s, Worker(1))
	if s.Snapshot().Worker(uuidOf(1)).Quarantined != nil {
		t.Error("still in quarantine")
	}
}

func testVersions(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet().serve(Worker(1)))
	register(t, s, Worker(1))
	id, split := uuidOf(1), 500
	_, err := s.Update(t.Context(), admin, id, registry.Patch{Settings: registry.SettingsInput{MaxElementsPerCall: &split}}, "")
	refused(t, err, "bad_settings")
	w, err := s.RecordConformance(t.Context(), admin, id, registry.Conformance{Level: registry.LevelLaws, At: noon})
	if err != nil || w.Revision != 1 || w.Conformed() != (registry.Conformance{Level: registry.LevelLaws, At: noon, Version: "1.0.0"}) {
		t.Fatalf("%+v %v", w, err)
	}
	if _, err := s.Update(t.Context(), admin, id, registry.Patch{Settings: registry.SettingsInput{MaxElementsPerCall: &split}}, ""); err != nil {
		t.Fatal(err)
	}
	if got := s.Snapshot().Worker(id); got.SplitAt() != split || got.Revision != 2 {
		t.Errorf("%+v", got)
	}
	for range 2 {
		if err := s.RecordVersion(t.Context(), id, "2.0.0"); err != nil {
			t.Fatal(err)
		}
	}
	got := s.Snapshot().Worker(id)
	if got.Version != "2.0.0" || got.Revision != 3 || got.Conformed().Level != registry.LevelNone || got.SplitAt() != 0 {
		t.Errorf("%+v", got)
	}
	all := audited(t, s)
	if len(all) != 4 || all[1].Action != registry.ActionConformance || all[3].Action != registry.ActionVersionChanged ||
		all[3].Actor != registry.Muster() || !strings.Contains(string(all[3].Before), `"version":"1.0.0"`) {
		t.Errorf("%+v", all)
	}
	_, err = s.RecordConformance(t.Context(), admin, id, registry.Conformance{Level: registry.LevelLaws, Version: "1.0.0"})
	refused(t, err, "version_changed")
	_, err = s.RecordConformance(t.Context(), admin, id, registry.Conformance{Level: "perfect"})
	refused(t, err, "bad_request")
	_, err = s.RecordConformance(t.Context(), admin, uuidOf(2), registry.Conformance{Level: registry.LevelCore})
	refused(t, err, "not_found")
	// The setting that stands is no hindrance to other changes.
	name := "renamed"
	if _, err := s.Update(t.Context(), admin, id, registry.Patch{Name: &name}, ""); err != nil {
		t.Error(err)
	}
}

func testDeregister(t *testing.T, b Backend) {
	rules := Worker(4)
	rules.Type = registry.TypeRuleTransformation
	s := service(t, b.New(t), newFleet().serve(Worker(1), Worker(2), Worker(3), rules))
	register(t, s, Worker(1), Worker(2), Worker(3), rules)
	for _, c := range []struct {
		n    int
		want string
	}{{4, ""}, {3, ""}, {2, "one active"}, {1, "no active"}} {
		warning, err := s.Deregister(t.Context(), admin, uuidOf(c.n))
		if err != nil || s.Snapshot().Worker(uuidOf(c.n)) != nil || lastAction(t, s) != registry.ActionDeleted {
			t.Fatal(err)
		}
		if (warning == "") != (c.want == "") || !strings.Contains(warning, c.want) {
			t.Errorf("%d: %q", c.n, warning)
		}
	}
	_, err := s.Deregister(t.Context(), admin, uuidOf(1))
	refused(t, err, "not_found")
	all := audited(t, s)
	if last := all[len(all)-1]; last.After != nil || !strings.Contains(string(last.Before), string(uuidOf(1))) {
		t.Errorf("%+v", last)
	}
}

func testUnstorableText(t *testing.T, b Backend) {
	w := Worker(1)
	w.Version = "1\x002"
	f := newFleet().serve(w)
	s := service(t, b.New(t), f)
	actor := registry.Actor{Username: "ad\x00min\xff", Subject: "\x00", RequestID: "\xfe"}
	if _, err := s.Register(t.Context(), actor, input(w), false); err != nil {
		t.Fatal(err)
	}
	if err := s.RecordVersion(t.Context(), w.ID, "1\x003\xff"); err != nil {
		t.Fatal(err)
	}
	if got := s.Snapshot().Worker(w.ID); got.Version != "1\uFFFD3\uFFFD" || got.RegisteredBy != "ad\uFFFDmin\uFFFD" {
		t.Errorf("%+v", got)
	}
}

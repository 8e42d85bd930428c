package ruleloader

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What comes out is what went in, sorted, with exact repetitions dropped at will.
func TestSorterSorts(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.Byte(), 0, 12)
		budget := rapid.Int64Range(1, 4000).Draw(t, "budget")
		s := newSorter(dir, budget)
		defer func() {
			if err := s.close(); err != nil {
				t.Error(err)
			}
		}()
		want := map[string]bool{}
		for range rapid.IntRange(0, 300).Draw(t, "records") {
			k, p := text.Draw(t, "key"), text.Draw(t, "payload")
			want[fmt.Sprintf("%x/%x", k, p)] = true
			if err := s.add(k, p); err != nil {
				t.Fatal(err)
			}
		}
		var last []byte
		got := map[string]bool{}
		err := s.sorted(func(k, p []byte) error {
			if bytes.Compare(last, k) > 0 {
				t.Fatalf("%x after %x", k, last)
			}
			last = bytes.Clone(k)
			got[fmt.Sprintf("%x/%x", k, p)] = true
			return nil
		})
		if err != nil || len(got) != len(want) {
			t.Fatalf("%v: %d records of %d", err, len(got), len(want))
		}
		for k := range want {
			if !got[k] {
				t.Fatalf("%s is lost", k)
			}
		}
	})
}

// Many runs are merged in steps, files have no names, and nothing is left.
func TestSorterSpills(t *testing.T) {
	dir := t.TempDir()
	s := newSorter(dir, MinMemory)
	big := bytes.Repeat([]byte("x"), 1000)
	const n = 60_000 // 60 MB in 1 MiB
	for i := range n {
		if err := s.add(fmt.Appendf(nil, "%08d", i*7919%n), big); err != nil {
			t.Fatal(err)
		}
		if s.held+int64(cap(s.records))*recordBytes > MinMemory || len(s.runs) > mostRuns {
			t.Fatalf("%d bytes held, %d runs", s.held, len(s.runs))
		}
	}
	if names, err := filepath.Glob(dir + "/*/*"); err != nil || len(names) > 0 || len(s.runs) < 2 {
		t.Errorf("%v %v, %d runs", names, err, len(s.runs))
	}
	i := 0
	err := s.sorted(func(k, p []byte) error {
		if string(k) != fmt.Sprintf("%08d", i) || len(p) != len(big) {
			t.Fatalf("%s at %d", k, i)
		}
		i++
		return nil
	})
	if err != nil || i != n {
		t.Errorf("%v after %d", err, i)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
}

func TestSorterTakesRecordsLargerThanItsMemory(t *testing.T) {
	s := newSorter(t.TempDir(), 1)
	for i := range 5 {
		if err := s.add([]byte{byte(9 - i)}, make([]byte, blockBytes*2)); err != nil {
			t.Fatal(err)
		}
	}
	var keys []byte
	if err := s.sorted(func(k, p []byte) error { keys = append(keys, k[0]); return nil }); err != nil || !slices.Equal(keys, []byte{5, 6, 7, 8, 9}) {
		t.Errorf("%v %v", err, keys)
	}
	if err := s.add(make([]byte, maxRecord), []byte{1}); err == nil {
		t.Error("a record without bound was taken")
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

func TestSorterErrors(t *testing.T) {
	s := newSorter(filepath.Join(t.TempDir(), "none"), 1)
	err := errors.Join(s.add([]byte("a"), nil), s.add([]byte("b"), nil))
	if err == nil || !strings.Contains(err.Error(), "tempDir") {
		t.Errorf("%v", err)
	}
	s = newSorter(t.TempDir(), 1)
	for _, k := range []string{"a", "b", "c"} {
		if err := s.add([]byte(k), []byte("payload")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.runs[0].f.Truncate(5); err != nil {
		t.Fatal(err)
	}
	if err := s.sorted(func([]byte, []byte) error { return nil }); !errors.Is(err, errRecord) {
		t.Errorf("a run that was cut off: %v", err)
	}
	stop := errors.New("stop")
	s.runs = s.runs[1:]
	if err := s.sorted(func([]byte, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

// A record reads back as what was written; bytes that are none are refused.
func TestRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfN(rapid.Int64Range(0, 1<<53-1), 0, 5)
		p := permission{
			entity: rapid.Int64Range(0, 1<<53-1).Draw(t, "entity"), title: rapid.String().Draw(t, "title"),
			conditional: rapid.Bool().Draw(t, "conditional"), inactive: rapid.Bool().Draw(t, "inactive"),
			properties: ids.Draw(t, "properties"), relationships: ids.Draw(t, "relationships"), functions: ids.Draw(t, "functions"),
		}
		if p.conditional {
			p.property, p.value = rapid.Int64Range(0, 1<<53-1).Draw(t, "property"), rapid.String().Draw(t, "value")
		}
		names := map[byte]map[string]bool{isUser: {}, isGroup: {}, isClient: {}}
		for range rapid.IntRange(1, 5).Draw(t, "subjects") {
			s := subject{rapid.SampledFrom([]byte{isUser, isGroup, isClient}).Draw(t, "kind"), rapid.StringN(1, 9, -1).Draw(t, "name")}
			names[s.kind][s.name] = true
			p.subjects = append(p.subjects, s)
		}
		g := newGrant(appendKey(nil, &p))
		payload := appendPayload(nil, &p)
		if err := g.add(payload); err != nil {
			t.Fatal(err)
		}
		r, err := g.rule("acl")
		if err != nil || r.Check() != nil {
			t.Fatal(err, r.Check())
		}
		if r.Entities[0].ID != p.entity || r.Inactive != p.inactive || (len(r.Conditions) == 1) != p.conditional ||
			p.conditional && (r.Conditions[0].Property != p.property || r.Conditions[0].Value != p.value) ||
			len(r.Users) != len(names[isUser]) || len(r.Groups) != len(names[isGroup]) || len(r.Clients) != len(names[isClient]) {
			t.Fatalf("%+v of %+v", r, p)
		}
		for _, id := range p.properties {
			if !slices.Contains(r.Entities[0].Properties, id) {
				t.Fatalf("%d is lost", id)
			}
		}
		cut := rapid.IntRange(0, len(payload)-1).Draw(t, "cut")
		if err := newGrant(g.key).add(payload[:cut]); !errors.Is(err, errRecord) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if len(g.key) > 1 {
			if _, err := newGrant(g.key[:len(g.key)-1]).rule("acl"); !errors.Is(err, errRecord) {
				t.Fatalf("a key that was cut off: %v", err)
			}
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte{1, 0, 0, 1, 'u', 1, 'a'}, []byte{0, 0, 0, 0})
	f.Add([]byte{1, 0, 1, 3, 1, 'x', 1, 'g', 1, 'a'}, []byte{1, 7, 0, 0, 1, 'T'})
	f.Add([]byte{}, []byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, key, payload []byte) {
		g := newGrant(key)
		if g.add(payload) != nil {
			return
		}
		if r, err := g.rule("acl"); err == nil && r.Name == "" {
			t.Fatal("a rule without a name")
		}
	})
}

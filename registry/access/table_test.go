package access

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

type numbered1 struct{ key, value int }

func (n numbered1) is(key int) bool { return n.key == key }

// A table holds what was put and not removed, through every size, and what was
// copied before stays as it was.
func TestTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			table table[int, numbered1]
			want  map[int]int
		}
		versions := []version{{want: map[int]int{}}}
		for range rapid.IntRange(1, 6).Draw(t, "versions") {
			last := versions[len(versions)-1]
			next, want, made := last.table.copied(), maps.Clone(last.want), new(stamp)
			first, n := rapid.IntRange(0, 2000).Draw(t, "first"), rapid.SampledFrom([]int{1, 3, 40, 1500}).Draw(t, "how many")
			value, put := rapid.IntRange(0, 9).Draw(t, "value"), rapid.Bool().Draw(t, "put")
			for key := first; key < first+n; key++ {
				if put {
					next.put(key, numbered1{key, value}, made)
					want[key] = value
				} else {
					next.remove(key, made)
					delete(want, key)
				}
			}
			versions = append(versions, version{next, want})
		}
		for _, v := range versions {
			if v.table.values != len(v.want) {
				t.Fatalf("%d values, not %d", v.table.values, len(v.want))
			}
			for key := range 3600 {
				got, there := v.table.get(key)
				want, thereToo := v.want[key]
				if there != thereToo || got.value != want || there && got.key != key {
					t.Fatalf("%d is %v (%v), not %v (%v)", key, got, there, want, thereToo)
				}
			}
		}
	})
}

// A table that has grown over several blocks shrinks to one bucket again.
func TestTableShrinks(t *testing.T) {
	const n = 3 * pageSize * blockSize * fill
	var all table[int, numbered1]
	made := new(stamp)
	for key := range n {
		all.put(key, numbered1{key, key}, made)
	}
	if len(all.blocks) < 3 {
		t.Fatalf("%d blocks", len(all.blocks))
	}
	for key := range n {
		if got, there := all.get(key); !there || got.value != key {
			t.Fatalf("%d is %v", key, got)
		}
		all.remove(key, made)
	}
	if all.values != 0 || all.buckets > 2 || len(all.blocks) != 1 {
		t.Errorf("%d values in %d buckets in %d blocks", all.values, all.buckets, len(all.blocks))
	}
}

type samePlace string

func (s samePlace) is(key string) bool { return string(s) == key }

// Two keys with one hash are told apart: the slot of one is given the other's.
func TestTableWithOneHash(t *testing.T) {
	var all table[string, samePlace]
	made := new(stamp)
	for i := range 10 {
		k := fmt.Sprint(i)
		all.put(k, samePlace(k), made)
	}
	b := &all.blocks[0].pages[0].buckets[0]
	first := b.own[0].value
	for i := range b.n {
		b.own[i].hash = b.own[0].hash
	}
	if got, there := all.get(string(first)); !there || got != first {
		t.Errorf("found %q", got)
	}
	all.remove(string(first), made)
	if got, there := all.get(string(first)); there || all.values != 9 {
		t.Errorf("found %q of %d", got, all.values)
	}
}

// Names of any length are told apart, at the bound of what is kept in place too.
func TestResourceNames(t *testing.T) {
	names := []string{"", "a", strings.Repeat("a", 37), strings.Repeat("a", 38), strings.Repeat("a", 39), strings.Repeat("a", 40), strings.Repeat("a", 255), strings.Repeat("a", 256), strings.Repeat("a", 511)}
	for _, typ := range []string{"worker", "dataset"} {
		for _, one := range names {
			r := newResource(resourceKey{typ, one}, nil)
			for _, other := range names {
				if r.is(resourceKey{typ, other}) != (one == other) || r.is(resourceKey{"connector", other}) {
					t.Errorf("%d bytes and %d", len(one), len(other))
				}
			}
		}
	}
}

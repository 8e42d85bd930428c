package registry_test

import (
	"strings"
	"testing"

	"github.com/muster-fleet/muster/registry"
)

func TestParseWorkerID(t *testing.T) {
	const canonical = "8a8a8a8a-1b1b-4c4c-8d8d-0e0e0e0e0e0e"
	for _, same := range []string{canonical, strings.ToUpper(canonical), "{" + canonical + "}", "{" + strings.ToUpper(canonical) + "}"} {
		if id, err := registry.ParseWorkerID(same); err != nil || id != canonical {
			t.Errorf("%q: %q %v", same, id, err)
		}
	}
	for _, bad := range []string{
		"", "{}", "{" + canonical, canonical + "}", "{{" + canonical + "}}", " " + canonical, canonical + "\n", "urn:uuid:" + canonical,
		strings.ReplaceAll(canonical, "-", ""), canonical[:35], canonical[:35] + "g", "00000000-0000-0000-0000-000000000000",
		"(" + canonical + ")", strings.ReplaceAll(canonical, "-", "_"),
	} {
		if id, err := registry.ParseWorkerID(bad); err == nil || id != "" {
			t.Errorf("%q: %q %v", bad, id, err)
		}
	}
}

func FuzzParseWorkerID(f *testing.F) {
	for _, seed := range []string{"8a8a8a8a-1b1b-4c4c-8d8d-0e0e0e0e0e0e", "{8A8A8A8A-1B1B-4C4C-8D8D-0E0E0E0E0E0E}", "{}", "urn:uuid:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := registry.ParseWorkerID(s)
		if err != nil {
			return
		}
		if again, err := registry.ParseWorkerID(string(id)); err != nil || again != id || len(id) != 36 ||
			!strings.EqualFold(strings.Trim(s, "{}"), string(id)) {
			t.Errorf("%q gives %q, which gives %q %v", s, id, again, err)
		}
	})
}

package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/gateway/config"
)

// samples are two good values for each of these names, besides the default.
var samples = map[string][2]string{
	"http.addr": {":1", "127.0.0.1:2"}, "grpc.addr": {":3", "[::1]:4"}, "ops.addr": {":5", "localhost:6"}, "ops.pprof": {"true", "false"},
	"store": {"duckdb:a.db", "postgres://u@h/d"}, "limits.maxBody": {"1KiB", "4194304"}, "limits.requests": {"64", "65"},
	"filter.minWorkers": {"1", "2"}, "filter.unknownMembers": {"drop", "refuse"}, "drain.grace": {"0s", "1s"}, "drain.timeout": {"1s", "1m"},
	"workers.allowedCIDRs": {"127.0.0.0/8", "10.0.0.0/8,::1/128"}, "workers.probeInterval": {"100ms", "1m"}, "log.level": {"debug", "error"},
	"auth.leeway": {"0s", "1m"}, "auth.managementAudience": {"a", "b"},
}

// field returns the description of a name.
func field(t *rapid.T, key string) config.Field {
	for _, f := range config.Fields() {
		if f.Key == key {
			return f
		}
	}
	t.Fatalf("%s is no name", key)
	return config.Field{}
}

// yamlOf writes flat names as nested sections.
func yamlOf(values map[string]string) string {
	sections := map[string][]string{}
	text := "config_version: 1\n"
	for key, value := range values {
		section, name, nested := strings.Cut(key, ".")
		if !nested {
			text += fmt.Sprintf("%s: %q\n", key, value)
			continue
		}
		sections[section] = append(sections[section], fmt.Sprintf("  %s: %q\n", name, value))
	}
	for section, lines := range sections {
		text += section + ":\n" + strings.Join(lines, "")
	}
	return text
}

// Whatever is set where, each name has the value of the last source that sets
// it, and says so.
func TestTheLastSourceWinsForEveryName(t *testing.T) {
	dir := t.TempDir()
	keys := make([]string, 0, len(samples))
	for _, f := range config.Fields() {
		if _, ok := samples[f.Key]; ok {
			keys = append(keys, f.Key)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		inFile, inEnv, want, source := map[string]string{}, append([]string(nil), good...), map[string]string{}, map[string]string{}
		var flags []config.FlagValue
		for _, key := range keys {
			f := field(t, key)
			value := rapid.SampledFrom([]string{samples[key][0], samples[key][1]})
			want[key], source[key] = f.Default, "default"
			if rapid.Bool().Draw(t, key+" in file") {
				inFile[key] = value.Draw(t, key)
				want[key], source[key] = inFile[key], "muster.yaml:"
			}
			if rapid.Bool().Draw(t, key+" in env") {
				v := value.Draw(t, key)
				inEnv = append(inEnv, f.Env+"="+v)
				want[key], source[key] = v, f.Env
			}
			if f.Flag != "" && rapid.Bool().Draw(t, key+" as flag") {
				v := value.Draw(t, key)
				flags = append(flags, config.FlagValue{Name: "--" + f.Flag, Key: key, Value: v})
				want[key], source[key] = v, "--"+f.Flag
			}
		}
		file := filepath.Join(dir, "muster.yaml")
		if err := os.WriteFile(file, []byte(yamlOf(inFile)), 0o600); err != nil {
			t.Fatal(err)
		}
		loaded, err := config.Load(file, inEnv, flags)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range loaded.Settings {
			if _, ok := want[s.Key]; !ok {
				continue
			}
			wanted := want[s.Key]
			if s.Key == "limits.maxBody" && wanted == "4194304" {
				wanted = "4MiB"
			}
			if s.Value != wanted || !strings.Contains(s.Source, source[s.Key]) {
				t.Fatalf("%s = %q from %q; want %q from %q", s.Key, s.Value, s.Source, wanted, source[s.Key])
			}
		}
	})
}

// What config check shows of a good configuration, read again, is the same
// configuration: nothing is lost in showing it but secrets.
func TestWhatIsShownReadsBack(t *testing.T) {
	first := mustLoad(t, "", with("MUSTER_WORKERS_ALLOWEDCIDRS=127.0.0.0/8,::1/128", "MUSTER_LIMITS_INFLIGHTBYTES=1.5GiB",
		"MUSTER_DRAIN_GRACE=1500ms", "MUSTER_OPS_PPROF=true", "MUSTER_UUID=0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11"))
	environ := []string{}
	for _, s := range first.Settings {
		for _, f := range config.Fields() {
			if f.Key == s.Key && f.Env != "" && s.Value != "" {
				environ = append(environ, f.Env+"="+s.Value)
			}
		}
	}
	second := mustLoad(t, "", environ)
	for i, s := range second.Settings {
		if s.Value != first.Settings[i].Value {
			t.Errorf("%s was shown as %q and read as %q", s.Key, first.Settings[i].Value, s.Value)
		}
	}
}

// A mistyped variable is told with the right one, whichever letter is wrong.
func TestTypingMistakesAreRecognised(t *testing.T) {
	var names []string
	known := map[string]bool{}
	for _, f := range config.Fields() {
		known[f.Env] = true
		if len(f.Env) > len("MUSTER_UUID") {
			names = append(names, f.Env)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "name")
		at := rapid.IntRange(len(config.EnvPrefix), len(name)-1).Draw(t, "at")
		wrong := name[:at] + name[at+1:]
		if known[wrong] {
			t.Skip("the mistake is another name")
		}
		_, err := config.Load("", append([]string{wrong + "=x"}, good...), nil)
		if err == nil || !strings.Contains(err.Error(), wrong+": is not a known variable") || !strings.Contains(err.Error(), "is the nearest one") {
			t.Fatalf("%s for %s: %v", wrong, name, err)
		}
	})
}

// Stores are shown without what is secret in them, in any form that is given.
func TestStoresAreShownSafely(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "duckdb:./muster.db": "duckdb:./muster.db", "postgres://h/d": "postgres://h/d",
		"postgres://u:p@h:5/d?sslmode=x": "postgres://u:(secret)@h:5/d?(secret)", "postgresql://u@h/d": "postgresql://u@h/d",
		"mysql://u:p@h": "(secret)", "postgres://u:p%zz@h": "(secret)", "p": "(secret)",
	} {
		s := config.StoreURL(text)
		shown, err := s.MarshalText()
		if err != nil || string(shown) != want || s.String() != want || s.LogValue().String() != want {
			t.Errorf("%q is shown as %q, want %q", text, s, want)
		}
	}
	if path, ok := config.StoreURL("duckdb:a b.db").Path(); !ok || path != "a b.db" {
		t.Errorf("path %q %v", path, ok)
	}
	if s := config.Secret("x"); s.LogValue().String() != "(secret)" {
		t.Error("a secret shows in the log")
	}
	if config.Secret("").String() != "" {
		t.Error("no secret looks like one")
	}
}

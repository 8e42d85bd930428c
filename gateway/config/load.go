package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

// FlagValue is a flag that was given on the command line.
type FlagValue struct {
	// Name is as it was given, for messages: "--http-addr".
	Name string
	// Key is the configuration name that it sets.
	Key   string
	Value string
}

// Setting is one effective value, for people: secrets are hidden.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	// Source is the place that decided: a file's line, a variable, a flag or "default".
	Source string `json:"source"`
}

// Loaded is a configuration and how it came about.
type Loaded struct {
	Config   Config
	Warnings []string
	Settings []Setting
}

// found is what reading has found so far.
type found struct {
	source   map[string]string
	mistakes []Mistake
}

func (f *found) mistake(where, key, problem, allowed string) {
	f.mistakes = append(f.mistakes, Mistake{Where: where, Key: key, Problem: problem, Allowed: allowed})
}

type reader struct {
	fields   []Field
	found    *found
	warnings []string
}

func (r *reader) warn(text string) { r.warnings = append(r.warnings, text) }

// Load reads the file (none when its name is empty), then the environment
// ("NAME=value" each), then flags, over the values of Default; the later win.
// The error is an *Error with every mistake; the Loaded is then what could be
// made of the rest, good enough to choose how to log.
func Load(file string, environ []string, flags []FlagValue) (*Loaded, error) {
	return LoadOver(Default(), file, environ, flags)
}

// LoadOver is Load with other defaults than those of Default.
func LoadOver(cfg Config, file string, environ []string, flags []FlagValue) (*Loaded, error) {
	r := &reader{fields: Fields(), found: &found{source: map[string]string{}}}
	k := koanf.New(".")
	if file != "" {
		r.file(k, file)
	}
	r.merge(k, r.environment(environ))
	r.merge(k, r.flags(flags))

	bad := r.fill(&cfg, k)
	r.resolveClientSecret(&cfg)
	r.validate(&cfg, bad)
	out := &Loaded{Config: cfg, Warnings: r.warnings, Settings: r.settings(&cfg)}
	if len(r.found.mistakes) > 0 {
		return out, &Error{Mistakes: r.found.mistakes}
	}
	return out, nil
}

func (r *reader) file(k *koanf.Koanf, name string) {
	data, err := readFile(name, maxFile)
	if err != nil {
		r.found.mistake(name, "", "cannot be read: "+err.Error(), "")
		return
	}
	byKey := make(map[string]Field, len(r.fields))
	for _, f := range r.fields {
		byKey[f.Key] = f
	}
	parser := &fileParser{name: name, fields: byKey, found: r.found}
	if err := k.Load(rawbytes.Provider(data), parser); err != nil {
		r.found.mistake(name, "", "cannot be read: "+err.Error(), "")
		return
	}
	if !k.Exists("config_version") {
		r.warn(fmt.Sprintf("%s has no config_version; write config_version: %d, so that a later version of Muster knows how it was meant", name, Version))
	}
}

func (r *reader) merge(k *koanf.Koanf, flat map[string]any) {
	if err := k.Load(confmap.Provider(flat, "."), nil); err != nil {
		// confmap has nothing that can fail; kept so that a change of koanf shows.
		r.found.mistake("(internal)", "", "cannot be merged: "+err.Error(), "")
	}
}

func (r *reader) flags(flags []FlagValue) map[string]any {
	out := map[string]any{}
	for _, f := range flags {
		if f.Key == "store" && StoreURL(f.Value).hasPassword() {
			r.found.mistake(f.Name, f.Key, "holds a password, and a command line can be read by others",
				"the same in "+EnvPrefix+"STORE, or in a file named by "+EnvPrefix+"STORE_FILE")
			continue
		}
		out[f.Key], r.found.source[f.Key] = f.Value, f.Name
	}
	return out
}

// fill decodes every value that is set and returns the keys that were wrong.
func (r *reader) fill(cfg *Config, k *koanf.Koanf) map[string]bool {
	bad := map[string]bool{}
	root := reflect.ValueOf(cfg).Elem()
	for _, f := range r.fields {
		if !k.Exists(f.Key) {
			continue
		}
		v, err := decode(f, k.Get(f.Key))
		if err != nil {
			bad[f.Key] = true
			r.found.mistake(r.found.source[f.Key], f.Key, err.Error(), f.Allowed)
			continue
		}
		root.FieldByIndex(f.index).Set(v)
	}
	return bad
}

func (r *reader) settings(cfg *Config) []Setting {
	root := reflect.ValueOf(cfg).Elem()
	out := make([]Setting, 0, len(r.fields))
	for _, f := range r.fields {
		source, set := r.found.source[f.Key]
		if !set {
			source = "default"
		}
		out = append(out, Setting{Key: f.Key, Value: show(root.FieldByIndex(f.index)), Source: source})
	}
	return out
}

// secretFile reads a secret that a variable names the file of.
func (r *reader) secretFile(where, key, name string) (string, bool) {
	data, err := readFile(name, maxSecret)
	if err != nil {
		r.found.mistake(where, key, "cannot be read: "+err.Error(), "the name of a file with the secret")
		return "", false
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		r.found.mistake(where, key, "names an empty file", "a file with the secret")
		return "", false
	}
	return text, true
}

// resolveClientSecret reads auth.clientSecretFile, so that one field holds the
// secret whichever way it was given.
func (r *reader) resolveClientSecret(cfg *Config) {
	const key = "auth.clientSecretFile"
	if cfg.Auth.ClientSecretFile == "" {
		return
	}
	where := r.found.source[key]
	if cfg.Auth.ClientSecret != "" {
		r.found.mistake(where, key, "is set beside auth.clientSecret", "one of the two")
		return
	}
	if text, ok := r.secretFile(where, key, cfg.Auth.ClientSecretFile); ok {
		cfg.Auth.ClientSecret = Secret(text)
	}
}

// readFile reads a file of at most limit bytes.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	// Nothing was written, so closing cannot lose anything.
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, errors.New("it is larger than " + Size(limit).String())
	}
	return data, nil
}

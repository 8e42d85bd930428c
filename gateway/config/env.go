package config

import (
	"regexp"
	"sort"
	"strings"
)

// The variables of ours that other parts read. MUSTER_TEST_* belongs to tests.
var knownElsewhere = map[string]bool{
	EnvPrefix + "URL": true, EnvPrefix + "TOKEN": true, EnvPrefix + "TOKEN_FILE": true,
}

// Kubernetes tells every pod where the services of its namespace are, in
// variables named after them: a service "muster" or "muster-ops" collides with
// our prefix (https://kubernetes.io/docs/tutorials/services/connect-applications-service/).
var (
	serviceLink = regexp.MustCompile(`^MUSTER(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	linkedPort  = regexp.MustCompile(`^MUSTER_[A-Z0-9_]+_PORT$`)
	linkAddress = regexp.MustCompile(`^(tcp|udp|sctp)://`)
)

func isServiceLink(name, value string) bool {
	return name == EnvPrefix+"PORT" || serviceLink.MatchString(name) ||
		linkedPort.MatchString(name) && linkAddress.MatchString(value)
}

// environment reads the MUSTER_* variables among environ ("NAME=value") into
// flat keys.
func (r *reader) environment(environ []string) map[string]any {
	byEnv := map[string]Field{}
	for _, f := range r.fields {
		if f.Env != "" {
			byEnv[f.Env] = f
		}
	}
	out := map[string]any{}
	var links []string
	for _, pair := range sorted(environ) {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || !strings.HasPrefix(name, EnvPrefix) {
			continue
		}
		field, known := byEnv[name]
		base, isFile := strings.CutSuffix(name, "_FILE")
		secret, ofSecret := byEnv[base]
		switch {
		case known:
			r.set(out, field.Key, name, value)
		case isFile && ofSecret && secret.Secret:
			if text, ok := r.secretFile(name, secret.Key, value); ok {
				r.set(out, secret.Key, name, text)
			}
		case knownElsewhere[name] || strings.HasPrefix(name, EnvPrefix+"TEST_"):
		case isServiceLink(name, value):
			links = append(links, name)
		default:
			r.found.mistake(name, "", "is not a known variable"+suggest(name, envNames(r.fields)), "")
		}
	}
	if links != nil {
		r.warn("ignored, as they look like Kubernetes' service links: " + strings.Join(links, ", ") +
			"; enableServiceLinks: false in the pod keeps them away")
	}
	return out
}

func (r *reader) set(out map[string]any, key, where, value string) {
	if _, twice := out[key]; twice {
		r.found.mistake(where, key, "is set twice, by "+r.found.source[key]+" as well", "one of the two")
		return
	}
	out[key], r.found.source[key] = value, where
}

func sorted(environ []string) []string {
	out := append([]string(nil), environ...)
	sort.Strings(out)
	return out
}

func envNames(fields []Field) []string {
	var names []string
	for _, f := range fields {
		if f.Env != "" {
			names = append(names, f.Env)
		}
	}
	return names
}

// suggest returns "; NAME is the nearest one" when a known name is at most
// three typing mistakes away.
func suggest(name string, known []string) string {
	best, at := "", 4
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < at {
			best, at = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; " + best + " is the nearest one"
}

// distance is the number of letters to add, leave out or change (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

package registry

import (
	"context"
	"slices"
	"strings"

	"github.com/muster-fleet/muster/proto/fault"
)

// Inspector asks a worker who it is: the network part of fleet.md, section 2.
type Inspector interface {
	// Inspect calls the root of the url's origin, or Describe. A refusal is a
	// *fault.Error of kind Unprocessable with the codes of that section. Members
	// that the answer lacks are empty in the Info, or reported as missing_field
	// beside it; what it has is judged by the Service. Info.ID is as the worker
	// wrote it, or canonical. It must be safe for concurrent use.
	Inspect(ctx context.Context, url string, t Transport) (Info, error)
}

// supported are the classes, with their types, that the gateway can speak.
var supported = []struct {
	class string
	types []string
}{
	{ClassResult, []string{TypeGraphSecurity, TypeRuleTransformation}},
}

// inspect calls the worker and judges its answer.
func (s *Service) inspect(ctx context.Context, id WorkerID, url string, t Transport) (Info, error) {
	info, err := s.opts.Inspector.Inspect(ctx, url, t)
	var v violations
	if !v.fromInspection(err) {
		if refused := v.err(); refused != nil {
			return Info{}, refused
		}
		return Info{}, fault.From(err)
	}
	info.Version = storable(info.Version)
	checkInfo(id, &info, &v)
	return info, v.err()
}

// checkInfo judges an answer, puts its uuid into canonical form, and reports
// everything that is wrong with it. Members already reported as missing are not
// reported again.
func checkInfo(id WorkerID, info *Info, v *violations) {
	if len(v.list) == 0 {
		if missing := missingMembers(info); len(missing) > 0 {
			v.add(codeMissingField, "", "the worker's answer lacks %s (missing, empty, null or not a string)",
				strings.Join(missing, ", "))
		}
	}
	if info.ID != "" {
		got, err := ParseWorkerID(string(info.ID))
		if err != nil || got != id {
			v.add(codeUUIDMismatch, "/uuid", "%s is wanted, but the worker answers %s", id, shown(string(info.ID)))
		}
		info.ID = got
	}
	if info.Class == "" {
		return // which types there are depends on it
	}
	for _, c := range supported {
		if c.class != info.Class {
			continue
		}
		if info.Type != "" && !slices.Contains(c.types, info.Type) {
			v.add(codeUnsupportedType, "", "the worker's type is %s; supported with class %s: %s",
				shown(info.Type), c.class, strings.Join(c.types, ", "))
		}
		return
	}
	v.add(codeUnsupportedClass, "", "the worker's class is %s; supported: %s", shown(info.Class), strings.Join(classes(), ", "))
	if info.Type != "" && !slices.Contains(allTypes(), info.Type) {
		v.add(codeUnsupportedType, "", "the worker's type is %s; supported: %s", shown(info.Type), strings.Join(allTypes(), ", "))
	}
}

func missingMembers(info *Info) []string {
	var missing []string
	for _, m := range []struct{ name, value string }{
		{"class", info.Class}, {"type", info.Type}, {"uuid", string(info.ID)}, {"version", info.Version},
	} {
		if m.value == "" {
			missing = append(missing, m.name)
		}
	}
	return missing
}

func classes() []string {
	var all []string
	for _, c := range supported {
		all = append(all, c.class)
	}
	return all
}

func allTypes() []string {
	var all []string
	for _, c := range supported {
		all = append(all, c.types...)
	}
	return all
}

// Kind is a class and one of its types.
type Kind struct{ Class, Type string }

// Supported returns the kinds of workers that can be registered.
func Supported() []Kind {
	var out []Kind
	for _, s := range supported {
		for _, t := range s.types {
			out = append(out, Kind{s.class, t})
		}
	}
	return out
}

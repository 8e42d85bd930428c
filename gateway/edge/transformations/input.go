package transformations

import (
	"encoding/json"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/registry/run"
)

const codeBadStep = "bad_step"

// readStep reads the body of PUT /api/rule-transformations/{name}. Mistakes that
// leave it a JSON object are in the input's Violations, for the registry to
// report together with its own.
func readStep(name string, body []byte) (registry.StepInput, error) {
	var r rest.Reader
	in := registry.StepInput{Name: name}
	var given *string
	err := r.Read(body, rest.Fields{
		"name":   rest.OptionalText(codeBadStep, &given),
		"worker": rest.Text(codeBadStep, func(s string) { in.Worker = s }),
		"client": r.Object("/client", codeBadStep, rest.Fields{
			"id":         rest.Text(codeBadStep, func(s string) { in.Client.ID = s }),
			"secretFile": rest.Text(codeBadStep, func(s string) { in.Client.SecretFile = s }),
		}),
		"users":         names(&in.Users),
		"groups":        names(&in.Groups),
		"clients":       names(&in.Clients),
		"entities":      ids(&in.Entities),
		"relationships": ids(&in.Relationships),
		"timeout":       rest.OptionalText(codeBadStep, &in.Timeout),
		"retries":       rest.Whole(codeBadStep, &in.Retries),
	})
	if given != nil && *given != name {
		r.Add(codeBadStep, "/name", "name is not the one in the path; leave it out, or write the same")
	}
	in.Violations = r.Violations
	return in, err
}

// names is a member that is "all" or a list of strings.
func names(to *run.Choice[string]) rest.Field {
	return rest.Field{Code: codeBadStep, Want: `"all" or a list of strings`, Set: func(raw []byte) bool {
		return choose(raw, to, func(string) bool { return true })
	}}
}

// ids is a member that is "all" or a list of ids.
func ids(to *run.Choice[int64]) rest.Field {
	return rest.Field{Code: codeBadStep, Want: `"all" or a list of ids, whole numbers from 0 to 2^53-1`, Set: func(raw []byte) bool {
		return choose(raw, to, func(id int64) bool { return id >= 0 && id <= int64(rule.MaxID) })
	}}
}

func choose[T comparable](raw []byte, to *run.Choice[T], good func(T) bool) bool {
	if string(raw) == `"`+all+`"` {
		to.All = true
		return true
	}
	if len(raw) == 0 || raw[0] != '[' {
		return false
	}
	// A null would pass for the zero value.
	var list []*T
	if json.Unmarshal(raw, &list) != nil {
		return false
	}
	chosen := make([]T, 0, len(list))
	for _, one := range list {
		if one == nil || !good(*one) {
			return false
		}
		chosen = append(chosen, *one)
	}
	to.List = chosen
	return true
}

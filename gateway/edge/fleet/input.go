package fleet

import (
	"errors"
	"slices"
	"time"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// The codes of mistakes in bodies.
const (
	codeBadURL       = "bad_url"
	codeBadUUID      = "bad_uuid"
	codeBadSettings  = "bad_settings"
	codeBadTransport = "bad_transport"
)

// readRegistration reads the body of POST /api/workers. Mistakes that leave it a
// JSON object are in the input's Violations, for the registry to report together
// with its own.
func readRegistration(body []byte) (registry.RegisterInput, error) {
	var r rest.Reader
	var in registry.RegisterInput
	var enrols *bool
	err := r.Read(body, rest.Fields{
		"url":       rest.Text(codeBadURL, func(s string) { in.URL = s }),
		"uuid":      rest.Text(codeBadUUID, func(s string) { in.UUID = s }),
		"name":      rest.Text(rest.CodeBadRequest, func(s string) { in.Name = s }),
		"transport": rest.Text(codeBadTransport, func(s string) { in.Transport = s }),
		"active":    rest.Flag(rest.CodeBadRequest, &in.Active),
		"enrols":    rest.Flag(rest.CodeBadRequest, &enrols),
		"settings":  settings(&r, &in.Settings),
	})
	in.Enrols = enrols != nil && *enrols
	in.Violations = r.Violations
	return in, err
}

// readChange reads the body of PATCH /api/workers/{uuid}, as readRegistration
// does.
func readChange(body []byte) (registry.Patch, error) {
	var r rest.Reader
	var p registry.Patch
	err := r.Read(body, rest.Fields{
		"name":     rest.OptionalText(rest.CodeBadRequest, &p.Name),
		"url":      rest.OptionalText(codeBadURL, &p.URL),
		"active":   rest.Flag(rest.CodeBadRequest, &p.Active),
		"until":    rest.Moment(rest.CodeBadRequest, &p.Until),
		"settings": settings(&r, &p.Settings),
	})
	p.Violations = r.Violations
	return p, err
}

func settings(r *rest.Reader, to *registry.SettingsInput) rest.Field {
	return r.Object("/settings", codeBadSettings, rest.Fields{
		"timeout":            rest.OptionalText(codeBadSettings, &to.Timeout),
		"onFailure":          rest.OptionalText(codeBadSettings, &to.OnFailure),
		"mask":               rest.Flag(codeBadSettings, &to.Mask),
		"identity":           rest.OptionalText(codeBadSettings, &to.Identity),
		"audience":           rest.OptionalText(codeBadSettings, &to.Audience),
		"maxElementsPerCall": rest.Whole(codeBadSettings, &to.MaxElementsPerCall),
		"maxConcurrent":      rest.Whole(codeBadSettings, &to.MaxConcurrent),
	})
}

// readConformance reads the body of PUT /api/workers/{uuid}/conformance.
func readConformance(body []byte) (registry.Conformance, error) {
	var r rest.Reader
	var level, version *string
	var at *time.Time
	err := r.Read(body, rest.Fields{
		"level":   rest.OptionalText(rest.CodeBadRequest, &level),
		"version": rest.OptionalText(rest.CodeBadRequest, &version),
		"at":      rest.Moment(rest.CodeBadRequest, &at),
	})
	if err != nil {
		return registry.Conformance{}, err
	}
	var c registry.Conformance
	levels := []registry.Level{registry.LevelNone, registry.LevelCore, registry.LevelRobust, registry.LevelLaws}
	switch {
	case level == nil && !slices.ContainsFunc(r.Violations, func(v fault.Violation) bool { return v.Pointer == "/level" }):
		r.Add(rest.CodeBadRequest, "/level", "level is missing; it is one of none, core, robust, laws")
	case level != nil && !slices.Contains(levels, registry.Level(*level)):
		r.Add(rest.CodeBadRequest, "/level", "level is none of none, core, robust, laws")
	case level != nil:
		c.Level = registry.Level(*level)
	}
	if version != nil {
		c.Version = *version
	}
	if at != nil {
		c.At = *at
	}
	return c, registry.Refused(r.Violations)
}

// once keeps, of several mistakes with one code at one place, the first: a url of
// the wrong type is not missing as well.
func once(err error) error {
	var e *fault.Error
	if !errors.As(err, &e) || len(e.Violations) < 2 {
		return err
	}
	type place struct{ code, pointer string }
	seen := map[place]bool{}
	kept := *e
	kept.Violations = slices.DeleteFunc(slices.Clone(e.Violations), func(v fault.Violation) bool {
		p := place{v.Code, v.Pointer}
		again := seen[p] && v.Pointer != ""
		seen[p] = true
		return again
	})
	return &kept
}

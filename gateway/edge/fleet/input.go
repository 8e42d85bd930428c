package fleet

import (
	"errors"
	"slices"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// readRegistration reads the body of POST /api/workers. Mistakes that leave it a
// JSON object are in the input's Violations, for the registry to report together
// with its own.
func readRegistration(body []byte) (registry.RegisterInput, error) {
	var r reader
	var in registry.RegisterInput
	var enrols *bool
	err := r.read(body, fields{
		"url":       text(codeBadURL, func(s string) { in.URL = s }),
		"uuid":      text(codeBadUUID, func(s string) { in.UUID = s }),
		"name":      text(codeBadRequest, func(s string) { in.Name = s }),
		"transport": text(codeBadTransport, func(s string) { in.Transport = s }),
		"active":    flag(codeBadRequest, &in.Active),
		"enrols":    flag(codeBadRequest, &enrols),
		"settings":  r.settings(&in.Settings),
	})
	in.Enrols = enrols != nil && *enrols
	in.Violations = r.violations
	return in, err
}

// readChange reads the body of PATCH /api/workers/{uuid}, as readRegistration
// does.
func readChange(body []byte) (registry.Patch, error) {
	var r reader
	var p registry.Patch
	err := r.read(body, fields{
		"name":     optionalText(codeBadRequest, &p.Name),
		"url":      optionalText(codeBadURL, &p.URL),
		"active":   flag(codeBadRequest, &p.Active),
		"until":    moment(codeBadRequest, &p.Until),
		"settings": r.settings(&p.Settings),
	})
	p.Violations = r.violations
	return p, err
}

func (r *reader) settings(to *registry.SettingsInput) field {
	return r.object("/settings", codeBadSettings, fields{
		"timeout":            optionalText(codeBadSettings, &to.Timeout),
		"onFailure":          optionalText(codeBadSettings, &to.OnFailure),
		"mask":               flag(codeBadSettings, &to.Mask),
		"identity":           optionalText(codeBadSettings, &to.Identity),
		"audience":           optionalText(codeBadSettings, &to.Audience),
		"maxElementsPerCall": whole(codeBadSettings, &to.MaxElementsPerCall),
		"maxConcurrent":      whole(codeBadSettings, &to.MaxConcurrent),
	})
}

// readConformance reads the body of PUT /api/workers/{uuid}/conformance.
func readConformance(body []byte) (registry.Conformance, error) {
	var r reader
	var level, version *string
	var at *time.Time
	err := r.read(body, fields{
		"level":   optionalText(codeBadRequest, &level),
		"version": optionalText(codeBadRequest, &version),
		"at":      moment(codeBadRequest, &at),
	})
	if err != nil {
		return registry.Conformance{}, err
	}
	var c registry.Conformance
	levels := []registry.Level{registry.LevelNone, registry.LevelCore, registry.LevelRobust, registry.LevelLaws}
	switch {
	case level == nil && !slices.ContainsFunc(r.violations, func(v fault.Violation) bool { return v.Pointer == "/level" }):
		r.add(codeBadRequest, "/level", "level is missing; it is one of none, core, robust, laws")
	case level != nil && !slices.Contains(levels, registry.Level(*level)):
		r.add(codeBadRequest, "/level", "level is none of none, core, robust, laws")
	case level != nil:
		c.Level = registry.Level(*level)
	}
	if version != nil {
		c.Version = *version
	}
	if at != nil {
		c.At = *at
	}
	return c, registry.Refused(r.violations)
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

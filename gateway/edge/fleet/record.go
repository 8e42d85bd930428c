package fleet

import (
	"math"
	"time"

	"github.com/muster-fleet/muster/registry"
)

// Record is a worker as the API shows it (fleet specification, section 1). It is
// the one rendering: REST, gRPC and, through REST, the command line use it.
type Record struct {
	UUID      string `json:"uuid" format:"uuid" doc:"Canonical: 36 characters, lower case."`
	Name      string `json:"name" maxLength:"200" doc:"Need not be unique."`
	URL       string `json:"url" format:"uri"`
	Class     string `json:"class" doc:"As the worker answers it."`
	Type      string `json:"type" doc:"As the worker answers it."`
	Version   string `json:"version" doc:"As the worker answers it; show it with control characters escaped."`
	Transport string `json:"transport" enum:"rest,grpc"`
	Active    bool   `json:"active" doc:"Whether the operator wants the worker called."`
	// PausedUntil is left out when the worker is active or its pause has no end.
	PausedUntil  *time.Time  `json:"pausedUntil,omitempty" doc:"When a pause ends by itself."`
	Settings     Settings    `json:"settings"`
	Standing     Standing    `json:"standing"`
	Conformance  Conformance `json:"conformance"`
	RegisteredBy string      `json:"registeredBy" doc:"User name."`
	RegisteredAt time.Time   `json:"registeredAt"`
	UpdatedAt    time.Time   `json:"updatedAt"`
	Revision     int64       `json:"revision" doc:"Changes with every change of wish or recorded version, and with nothing else; also the ETag."`
}

// Settings are an operator's wishes about calls to one worker.
type Settings struct {
	Timeout            string `json:"timeout" example:"2s" doc:"Bounds one call: a Go duration above 0 and at most 60s."`
	OnFailure          string `json:"onFailure" enum:"fail,hide" doc:"What a failing worker does to a request."`
	Mask               bool   `json:"mask" doc:"Whether the worker may change property values."`
	Identity           string `json:"identity" enum:"forward,exchange" doc:"Whose token the worker gets."`
	Audience           string `json:"audience" doc:"Of the token that is exchanged; needed with exchange."`
	MaxElementsPerCall int    `json:"maxElementsPerCall" minimum:"0" doc:"Splits larger batches; 0 never does. Needs conformance level laws."`
	MaxConcurrent      int    `json:"maxConcurrent" minimum:"1" doc:"Calls in flight, per replica."`
}

// Standing is what this replica has found of the worker.
type Standing struct {
	State     string     `json:"state" enum:"unknown,healthy,suspect,unreachable,quarantined"`
	Since     time.Time  `json:"since"`
	LastProbe *time.Time `json:"lastProbe" nullable:"true" doc:"null before the first probe."`
	LastError string     `json:"lastError" doc:"Of the last probe, or why the worker is quarantined; empty when all is well. Control characters are escaped."`
	LatencyMS float64    `json:"latencyMs" doc:"Of the last good probe, from DNS to the last byte."`
	StableFor string     `json:"stableFor" example:"1h2m3s" doc:"How long the state has lasted: a Go duration."`
}

// Conformance is the recorded outcome of "muster conform --record".
type Conformance struct {
	Level   string     `json:"level" enum:"none,core,robust,laws"`
	At      *time.Time `json:"at" nullable:"true" doc:"null with level none."`
	Version string     `json:"version" doc:"The version that passed; empty with level none."`
}

// Render makes the record of a worker at time now.
func Render(w *registry.Worker, s registry.Standing, now time.Time) Record {
	r := Record{
		UUID: string(w.ID), Name: w.Name, URL: w.URL, Class: w.Class, Type: w.Type, Version: w.Version,
		Transport: string(w.Transport), Active: w.ActiveAt(now),
		Settings: Settings{
			Timeout: w.Settings.Timeout.String(), OnFailure: string(w.Settings.OnFailure), Mask: w.Settings.Mask,
			Identity: string(w.Settings.Identity), Audience: w.Settings.Audience,
			MaxElementsPerCall: w.Settings.MaxElementsPerCall, MaxConcurrent: w.Settings.MaxConcurrent,
		},
		Standing:     RenderStanding(s),
		RegisteredBy: w.RegisteredBy, RegisteredAt: w.RegisteredAt.UTC(), UpdatedAt: w.UpdatedAt.UTC(), Revision: w.Revision,
	}
	if !r.Active {
		r.PausedUntil = timeOrNil(w.PausedUntil)
	}
	c := w.Conformed()
	r.Conformance = Conformance{Level: string(c.Level), At: timeOrNil(c.At), Version: c.Version}
	return r
}

// RenderStanding makes the standing's part of a record.
func RenderStanding(s registry.Standing) Standing {
	return Standing{
		State: string(s.State), Since: s.Since.UTC(), LastProbe: timeOrNil(s.LastProbe), LastError: s.LastError,
		LatencyMS: math.Round(s.LatencyMS*1000) / 1000, StableFor: s.StableFor.Truncate(time.Millisecond).String(),
	}
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

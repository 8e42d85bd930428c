package registry

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// The bounds of settings.
const (
	// MaxTimeout is the longest that one call to a worker may take.
	MaxTimeout = 60 * time.Second
	// MaxConcurrentLimit is the most calls in flight that can be asked for.
	MaxConcurrentLimit = 100_000
	// MaxElementsLimit is the largest split that can be asked for.
	MaxElementsLimit = 10_000_000
	maxAudience      = 256
)

// DefaultSettings are those of a registration that names none.
func DefaultSettings() Settings {
	return Settings{
		Timeout: 2 * time.Second, OnFailure: FailRequest,
		Identity: IdentityForward, MaxConcurrent: 64,
	}
}

// settingsJSON is how settings travel and are stored.
type settingsJSON struct {
	Timeout            string    `json:"timeout"`
	OnFailure          OnFailure `json:"onFailure"`
	Mask               bool      `json:"mask"`
	Identity           Identity  `json:"identity"`
	Audience           string    `json:"audience"`
	MaxElementsPerCall int       `json:"maxElementsPerCall"`
	MaxConcurrent      int       `json:"maxConcurrent"`
}

// MarshalJSON writes the settings as a worker record shows them (fleet.md,
// section 1).
func (s Settings) MarshalJSON() ([]byte, error) {
	return json.Marshal(settingsJSON{
		Timeout: s.Timeout.String(), OnFailure: s.OnFailure, Mask: s.Mask, Identity: s.Identity,
		Audience: s.Audience, MaxElementsPerCall: s.MaxElementsPerCall, MaxConcurrent: s.MaxConcurrent,
	})
}

// UnmarshalJSON reads what MarshalJSON wrote; members that are missing get their
// defaults.
func (s *Settings) UnmarshalJSON(data []byte) error {
	d := DefaultSettings()
	in := settingsJSON{
		Timeout: d.Timeout.String(), OnFailure: d.OnFailure, Identity: d.Identity, MaxConcurrent: d.MaxConcurrent,
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	timeout, err := time.ParseDuration(in.Timeout)
	if err != nil {
		return fmt.Errorf("settings: timeout: %w", err)
	}
	*s = Settings{
		Timeout: timeout, OnFailure: in.OnFailure, Mask: in.Mask, Identity: in.Identity,
		Audience: in.Audience, MaxElementsPerCall: in.MaxElementsPerCall, MaxConcurrent: in.MaxConcurrent,
	}
	return nil
}

// SettingsInput is a wish about settings; nil keeps the default or the present
// value.
type SettingsInput struct {
	// Timeout is a duration in Go's form, such as "2s".
	Timeout            *string
	OnFailure          *string
	Mask               *bool
	Identity           *string
	Audience           *string
	MaxElementsPerCall *int
	MaxConcurrent      *int
}

// over returns s with the wishes of in, and reports every one that cannot be.
// level is the conformance of the worker that they are for.
func (in *SettingsInput) over(s Settings, level Level, v *violations) Settings {
	bad := func(member, format string, args ...any) {
		v.add(codeBadSettings, "/settings/"+member, format, args...)
	}
	if in.Timeout != nil {
		d, err := time.ParseDuration(*in.Timeout)
		switch {
		case err != nil:
			bad("timeout", "%s is not a duration such as \"2s\" or \"700ms\"", shown(*in.Timeout))
		case d <= 0 || d > MaxTimeout:
			bad("timeout", "%s is not above 0 and at most %s", d, MaxTimeout)
		}
		s.Timeout = d
	}
	if in.OnFailure != nil {
		if s.OnFailure = OnFailure(*in.OnFailure); s.OnFailure != FailRequest && s.OnFailure != HideUnjudged {
			bad("onFailure", "%s is neither \"fail\" nor \"hide\"; there is no way to fail open", shown(*in.OnFailure))
		}
	}
	if in.Mask != nil {
		s.Mask = *in.Mask
	}
	in.identityOver(&s, bad)
	if in.MaxElementsPerCall != nil {
		s.MaxElementsPerCall = *in.MaxElementsPerCall
		switch {
		case s.MaxElementsPerCall < 0 || s.MaxElementsPerCall > MaxElementsLimit:
			bad("maxElementsPerCall", "%d is not between 0 and %d", s.MaxElementsPerCall, MaxElementsLimit)
		case s.MaxElementsPerCall > 0 && level != LevelLaws:
			bad("maxElementsPerCall", "%d splits batches, which is right only for a worker whose present version passed "+
				"conformance level \"laws\"; this one's level is %q: run muster conform --record first", s.MaxElementsPerCall, level)
		}
	}
	if in.MaxConcurrent != nil {
		if s.MaxConcurrent = *in.MaxConcurrent; s.MaxConcurrent < 1 || s.MaxConcurrent > MaxConcurrentLimit {
			bad("maxConcurrent", "%d is not between 1 and %d", s.MaxConcurrent, MaxConcurrentLimit)
		}
	}
	return s
}

func (in *SettingsInput) identityOver(s *Settings, bad func(member, format string, args ...any)) {
	if in.Identity != nil {
		if s.Identity = Identity(*in.Identity); s.Identity != IdentityForward && s.Identity != IdentityExchange {
			bad("identity", "%s is neither \"forward\" nor \"exchange\"", shown(*in.Identity))
		}
	}
	if in.Audience != nil {
		s.Audience = *in.Audience
		if len(s.Audience) > maxAudience || strings.ContainsFunc(s.Audience, notGraphic) {
			bad("audience", "is longer than %d bytes or holds characters that cannot be printed", maxAudience)
		}
	}
	if s.Identity == IdentityExchange && strings.TrimSpace(s.Audience) == "" {
		bad("audience", "is needed with identity \"exchange\": the audience that this worker's tokens are issued for")
	}
}

func notGraphic(r rune) bool { return !unicode.IsPrint(r) }

// shown quotes an observed value for an error, cut to a length that a person
// reads.
func shown(s string) string {
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}

package fleet

// The types below describe bodies for OpenAPI. They are read by hand, in
// input.go, and a test holds the two equal.

// Registration is the body of POST /api/workers.
type Registration struct {
	URL       string         `json:"url" doc:"Absolute, http, https, grpc or grpcs, without user and fragment."`
	UUID      string         `json:"uuid" doc:"What the worker answers; any case, with or without braces."`
	Name      *string        `json:"name,omitempty" doc:"host:port when left out or empty."`
	Transport *string        `json:"transport,omitempty" enum:"rest,grpc" doc:"Follows from the url when left out."`
	Active    *bool          `json:"active,omitempty" default:"true"`
	Settings  *SettingsInput `json:"settings,omitempty"`
	Enrols    *bool          `json:"enrols,omitempty" doc:"The worker registers itself: to be registered already, with the same uuid and url, is success."`
}

// SettingsInput is a wish about settings; what is left out keeps its default or
// present value.
type SettingsInput struct {
	Timeout            *string `json:"timeout,omitempty" example:"2s" doc:"A Go duration above 0 and at most 60s; 2s by default."`
	OnFailure          *string `json:"onFailure,omitempty" enum:"fail,hide"`
	Mask               *bool   `json:"mask,omitempty"`
	Identity           *string `json:"identity,omitempty" enum:"forward,exchange"`
	Audience           *string `json:"audience,omitempty"`
	MaxElementsPerCall *int    `json:"maxElementsPerCall,omitempty" minimum:"0"`
	MaxConcurrent      *int    `json:"maxConcurrent,omitempty" minimum:"1"`
}

// Change is the body of PATCH /api/workers/{uuid}; what is left out stays.
type Change struct {
	Name     *string        `json:"name,omitempty" doc:"Empty means host:port again."`
	URL      *string        `json:"url,omitempty" doc:"A new one is probed first, as at registration."`
	Active   *bool          `json:"active,omitempty"`
	Until    *string        `json:"until,omitempty" format:"date-time" doc:"Ends a pause by itself."`
	Settings *SettingsInput `json:"settings,omitempty"`
}

// ConformanceInput is the body of PUT /api/workers/{uuid}/conformance.
type ConformanceInput struct {
	Level   string  `json:"level" enum:"none,core,robust,laws"`
	At      *string `json:"at,omitempty" format:"date-time" doc:"Now when left out."`
	Version *string `json:"version,omitempty" doc:"The version that was measured; it must be the present one, which it is when left out."`
}

// Changed is the answer to a change: the record, and what to beware of.
type Changed struct {
	Record
	Warning string `json:"warning,omitempty" doc:"Set when the change leaves few or no active security workers; the header Muster-Warning says the same."`
}

// Page is one page of a list.
type Page struct {
	Items      []Record `json:"items" nullable:"false" doc:"Ordered by name, then uuid."`
	NextCursor string   `json:"nextCursor" doc:"Of the next page; empty on the last one."`
}

package transformations

import (
	"encoding/json"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// The types below describe bodies for OpenAPI. StepInput is read by hand, in
// input.go, and a test holds the two equal.

// StepInput is the body of PUT /api/rule-transformations/{name}.
type StepInput struct {
	Name          *string `json:"name,omitempty" doc:"The name in the path, if it is given at all."`
	Worker        string  `json:"worker" doc:"The uuid of a registered RuleTransformation worker."`
	Client        Client  `json:"client"`
	Users         *Names  `json:"users,omitempty"`
	Groups        *Names  `json:"groups,omitempty"`
	Clients       *Names  `json:"clients,omitempty"`
	Entities      *IDs    `json:"entities,omitempty"`
	Relationships *IDs    `json:"relationships,omitempty"`
	Timeout       *string `json:"timeout,omitempty" example:"10m" doc:"Bounds one attempt: a Go duration from 1s to 24h; 10m by default."`
	Retries       *int    `json:"retries,omitempty" minimum:"0" maximum:"10" doc:"How many attempts may follow one that did not succeed; 0 by default. They wait 5 s, then twice as long each time, at most 5 min."`
}

// Client is the Keycloak client that a step's worker acts as.
type Client struct {
	ID         string `json:"id" doc:"The client's id; each step should have its own."`
	SecretFile string `json:"secretFile" doc:"The file with its secret, below the directory transformations.secretsDir of the gateway. The secret itself is neither stored nor shown."`
}

// Step is a step as the API shows it.
type Step struct {
	Name          string    `json:"name" maxLength:"100"`
	Worker        string    `json:"worker,omitempty" format:"uuid" doc:"In lists, of administrators alone; so are the members down to relationships."`
	Client        *Client   `json:"client,omitempty"`
	Users         *Names    `json:"users,omitempty"`
	Groups        *Names    `json:"groups,omitempty"`
	Clients       *Names    `json:"clients,omitempty"`
	Entities      *IDs      `json:"entities,omitempty"`
	Relationships *IDs      `json:"relationships,omitempty"`
	Timeout       string    `json:"timeout" example:"10m0s"`
	Retries       int       `json:"retries"`
	CreatedBy     string    `json:"createdBy" doc:"User name."`
	CreatedAt     time.Time `json:"createdAt"`
	UpdatedAt     time.Time `json:"updatedAt"`
	Revision      int64     `json:"revision" doc:"Counts the changes of this step; also the ETag."`
}

// StepPage is one page of steps.
type StepPage struct {
	Items      []Step `json:"items" nullable:"false" doc:"Ordered by name."`
	NextCursor string `json:"nextCursor" doc:"Of the next page; empty on the last one."`
}

// Names is what a step asks for by name: "all", or a list.
type Names struct {
	All  bool
	List []string
}

// IDs is what a step asks for by id: "all", or a list.
type IDs struct {
	All  bool
	List []int64
}

const all = "all"

// MarshalJSON writes "all" or the list.
func (n Names) MarshalJSON() ([]byte, error) { return marshalChoice(n.All, n.List) }

// MarshalJSON writes "all" or the list.
func (n IDs) MarshalJSON() ([]byte, error) { return marshalChoice(n.All, n.List) }

func marshalChoice[T any](whole bool, list []T) ([]byte, error) {
	if whole {
		return json.Marshal(all)
	}
	if list == nil {
		list = []T{}
	}
	return json.Marshal(list)
}

// Schema describes the two forms.
func (Names) Schema(huma.Registry) *huma.Schema {
	return choiceSchema(&huma.Schema{Type: huma.TypeString}, "Names: users' names, groups' whole paths, clients' ids. Left out: none are sent.")
}

// Schema describes the two forms.
func (IDs) Schema(huma.Registry) *huma.Schema {
	return choiceSchema(&huma.Schema{Type: huma.TypeInteger}, "Ids of the graph model. Left out: none are sent.")
}

func choiceSchema(item *huma.Schema, doc string) *huma.Schema {
	return &huma.Schema{Description: doc, OneOf: []*huma.Schema{
		{Type: huma.TypeString, Enum: []any{all}}, {Type: huma.TypeArray, Items: item},
	}}
}

// Run is a run as the API shows it.
type Run struct {
	ID         string     `json:"id" format:"uuid"`
	Step       string     `json:"step"`
	State      string     `json:"state" enum:"queued,running,succeeded,failed,cancelled,interrupted" doc:"queued before the first attempt and between attempts."`
	Cancelling bool       `json:"cancelling,omitempty" doc:"It was cancelled, and its attempt is about to end."`
	StartedBy  string     `json:"startedBy" doc:"User name."`
	QueuedAt   time.Time  `json:"queuedAt"`
	NotBefore  *time.Time `json:"notBefore,omitempty" doc:"When it may be tried again."`
	EndedAt    *time.Time `json:"endedAt,omitempty"`
	Message    string     `json:"message" doc:"The worker's, or why there is none; of the newest attempt. Control characters are escaped."`
	Attempts   []Attempt  `json:"attempts" nullable:"false"`
	Rules      Counts     `json:"rules" doc:"What the rules posted with the tokens of its attempts came to."`
	Lines      int64      `json:"lines" doc:"How many lines its log has."`
	Log        []Line     `json:"log,omitempty" doc:"The last 100 lines; left out in lists."`
}

// Attempt is one call of the step's worker.
type Attempt struct {
	Number    int        `json:"number"`
	State     string     `json:"state" enum:"running,succeeded,failed,cancelled,interrupted"`
	StartedAt time.Time  `json:"startedAt"`
	EndedAt   *time.Time `json:"endedAt,omitempty"`
	Status    int        `json:"status,omitempty" doc:"The HTTP status that the worker answered with, if it answered."`
	Code      string     `json:"code,omitempty" doc:"A stable name of what went wrong."`
	Message   string     `json:"message,omitempty"`
}

// Counts are numbers of rules.
type Counts struct {
	Created int64 `json:"created"`
	Ignored int64 `json:"ignored"`
	Deleted int64 `json:"deleted"`
}

// Line is one line of a run's log; it is also one line of NDJSON.
type Line struct {
	Number int64     `json:"number"`
	At     time.Time `json:"at"`
	Text   string    `json:"text"`
}

// RunPage is one page of runs.
type RunPage struct {
	Items      []Run  `json:"items" nullable:"false" doc:"The newest first."`
	NextCursor string `json:"nextCursor" doc:"Of the next page; empty on the last one."`
}

package transformations

import (
	"time"

	"github.com/muster-fleet/muster/registry/run"
)

// renderStep makes the record of a step.
func renderStep(s *run.Step) Step {
	return Step{
		Name: s.Name, Worker: s.Worker, Client: &Client{ID: s.Client.ID, SecretFile: s.Client.SecretFile},
		Users: renderNames(s.Users), Groups: renderNames(s.Groups), Clients: renderNames(s.Clients),
		Entities: renderIDs(s.Entities), Relationships: renderIDs(s.Relationships),
		Timeout: s.Timeout.String(), Retries: s.Retries, CreatedBy: s.CreatedBy,
		CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(), Revision: s.Revision,
	}
}

// renderListed makes the record of a step for a list: whole for administrators,
// else what tells it from others.
func renderListed(s *run.Step, admin bool) Step {
	record := renderStep(s)
	if !admin {
		record = Step{
			Name: record.Name, Timeout: record.Timeout, Retries: record.Retries,
			CreatedBy: record.CreatedBy, CreatedAt: record.CreatedAt, UpdatedAt: record.UpdatedAt, Revision: record.Revision,
		}
	}
	return record
}

func renderNames(c run.Choice[string]) *Names {
	if !c.Wanted() {
		return nil
	}
	return &Names{All: c.All, List: c.List}
}

func renderIDs(c run.Choice[int64]) *IDs {
	if !c.Wanted() {
		return nil
	}
	return &IDs{All: c.All, List: c.List}
}

// renderRun makes the record of a run.
func renderRun(r *run.Run) Run {
	out := Run{
		ID: string(r.ID), Step: r.Step, State: string(r.State), Cancelling: r.Cancelling, StartedBy: r.StartedBy,
		QueuedAt: r.QueuedAt.UTC(), NotBefore: timeOrNil(r.NotBefore), EndedAt: timeOrNil(r.EndedAt), Message: r.Message(),
		Attempts: make([]Attempt, 0, len(r.Attempts)), Lines: r.Lines,
		Rules: Counts{Created: r.Counts.Created, Ignored: r.Counts.Ignored, Deleted: r.Counts.Deleted},
	}
	for _, a := range r.Attempts {
		out.Attempts = append(out.Attempts, Attempt{
			Number: a.Number, State: string(a.State), StartedAt: a.StartedAt.UTC(), EndedAt: timeOrNil(a.EndedAt),
			Status: a.Status, Code: a.Code, Message: a.Message,
		})
	}
	return out
}

func renderLine(l run.Line) Line { return Line{Number: l.Number, At: l.At.UTC(), Text: l.Text} }

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

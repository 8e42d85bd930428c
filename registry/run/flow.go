package run

import "time"

// Begin makes the next attempt. The run must be Queued.
func (r *Run) Begin(now time.Time) {
	r.State, r.NotBefore = Running, time.Time{}
	r.Attempts = append(r.Attempts, Attempt{Number: len(r.Attempts) + 1, State: Running, StartedAt: now})
}

// Outcome is how an attempt ended.
type Outcome struct {
	// State is Succeeded, Failed, Cancelled or Interrupted.
	State State
	// Status, Code and Message are as in Attempt.
	Status  int
	Code    string
	Message string
}

// CodeCancelled and CodeInterrupted are the codes of attempts that ended so.
const (
	CodeCancelled   = "cancelled"
	CodeInterrupted = "interrupted"
)

// End ends the attempt under way and says where the run goes from there: to its
// end, or back into the queue when the step allows one more attempt. A run that
// was being cancelled ends as Cancelled whatever the worker says: some of what it
// posted may have been refused.
func (r *Run) End(now time.Time, o Outcome) {
	a := r.Current()
	if a == nil {
		return
	}
	if r.Cancelling {
		o.State, o.Code = Cancelled, CodeCancelled
	}
	a.State, a.EndedAt = o.State, now
	a.Status, a.Code, a.Message = o.Status, o.Code, o.Message
	again := o.State == Failed || o.State == Interrupted
	if again && a.Number <= r.Retries {
		r.State, r.NotBefore = Queued, now.Add(Backoff(a.Number))
		if o.State == Interrupted {
			r.NotBefore = now // nothing is known to be wrong with the worker
		}
		return
	}
	r.State, r.EndedAt, r.Cancelling = o.State, now, false
}

// Cancel ends a run that is waiting, and marks one that is under way; it reports
// whether that changed anything.
func (r *Run) Cancel(now time.Time) bool {
	switch {
	case r.State == Queued:
		r.State, r.EndedAt, r.NotBefore = Cancelled, now, time.Time{}
		return true
	case r.State == Running && !r.Cancelling:
		r.Cancelling = true
		return true
	}
	return false
}

// TokenEnded reports whether what is posted with the token of an attempt is to be
// refused.
func (r *Run) TokenEnded(attempt int) bool {
	a := r.Current()
	return a == nil || a.Number != attempt || r.Cancelling
}

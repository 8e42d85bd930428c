package transformations

import (
	"net/http"
	"strings"
	"time"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
)

const (
	// maxWait is the longest that a call waits for a run.
	maxWait = 5 * time.Minute
	// shownLines is how many lines of its log a run's record shows.
	shownLines = 100
	// headerKey is the header of draft-ietf-httpapi-idempotency-key-header.
	headerKey = "Idempotency-Key"
)

func (a *api) startRun(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	q := rest.ReadQuery(r, "coalesce", "wait")
	coalesce, wait := q.Flag("coalesce"), readWait(q)
	key, err := readKey(r)
	if err := q.Err(); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	in := registry.StartInput{Step: r.PathValue("name"), Key: key, Coalesce: coalesce != nil && *coalesce}
	got, err := a.Registry.StartRun(r.Context(), who.Actor, in)
	if err != nil {
		return a.withRun(w, err, &got)
	}
	w.Header().Set("Location", Root+"/"+got.Step+"/runs/"+string(got.ID))
	if wait == 0 {
		return a.writeRun(w, r, http.StatusAccepted, &got)
	}
	if got, err = a.await(r.Context(), got, wait); err != nil {
		return err
	}
	switch {
	case !got.State.Ended():
		return a.writeRun(w, r, http.StatusAccepted, &got)
	case got.State == run.Succeeded:
		return a.writeRun(w, r, http.StatusOK, &got)
	default:
		return a.withRun(w, unsuccessful(&got), &got)
	}
}

// unsuccessful is the answer to who has waited for a run that did not succeed:
// its detail is what should be logged.
func unsuccessful(r *run.Run) error {
	detail := r.Message()
	if detail == "" {
		detail = "the run is " + string(r.State)
	}
	return fault.New(fault.BadWorker, "run_"+string(r.State), "%s", detail)
}

// readKey reads the header Idempotency-Key. The draft has it a quoted string;
// most callers send it bare. Both forms of a text are the same key.
func readKey(r *http.Request) (string, error) {
	values := r.Header.Values(headerKey)
	if len(values) == 0 {
		return "", nil
	}
	key := strings.TrimSpace(values[0])
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1]
	}
	plain := !strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' })
	if len(values) > 1 || key == "" || len(key) > run.MaxKey || !plain {
		return "", fault.New(fault.Invalid, rest.CodeInvalidRequest,
			"the header %s is there once, with 1 to %d printable characters of ASCII", headerKey, run.MaxKey)
	}
	return key, nil
}

// readWait reads the parameter wait; 0 when it is not given.
func readWait(q *rest.Parameters) time.Duration {
	if !q.Has("wait") {
		return 0
	}
	d, err := time.ParseDuration(q.Get("wait"))
	if err != nil || d <= 0 || d > maxWait {
		q.Add("wait is a duration above 0s and at most %s, such as 60s", maxWait)
		return 0
	}
	return d
}

func (a *api) listRuns(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	q := rest.ReadQuery(r, "limit", "cursor")
	limit, before := q.Limit(), readCursor(q, isUUID)
	if err := q.Err(); err != nil {
		return err
	}
	found, err := a.Registry.Runs(r.Context(), r.PathValue("name"), run.ID(before), limit+1)
	if err != nil {
		return err
	}
	page := RunPage{Items: []Run{}}
	for i, one := range found {
		if i == limit {
			page.NextCursor = cursor(string(found[i-1].ID))
			break
		}
		page.Items = append(page.Items, renderRun(one))
	}
	return rest.WriteJSON(w, http.StatusOK, page)
}

func isUUID(s string) bool {
	_, err := registry.ParseWorkerID(s)
	return err == nil
}

// runOf reads the run that the path names.
func (a *api) runOf(r *http.Request) (run.Run, error) {
	return a.Registry.Run(r.Context(), r.PathValue("name"), run.ID(strings.ToLower(r.PathValue("id"))))
}

func (a *api) getRun(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	q := rest.ReadQuery(r, "wait")
	wait := readWait(q)
	if err := q.Err(); err != nil {
		return err
	}
	got, err := a.runOf(r)
	if err != nil {
		return err
	}
	if wait > 0 {
		if got, err = a.await(r.Context(), got, wait); err != nil {
			return err
		}
	}
	return a.writeRun(w, r, http.StatusOK, &got)
}

func (a *api) cancelRun(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	id, ok := strings.CutSuffix(r.PathValue("id"), cancelSuffix)
	if !ok {
		return fault.New(fault.NotFound, "not_found", "a run is cancelled by POST to its path and %s behind it", cancelSuffix)
	}
	got, err := a.Registry.CancelRun(r.Context(), who.Actor, r.PathValue("name"), run.ID(strings.ToLower(id)))
	if err != nil {
		return err
	}
	if !got.State.Ended() {
		return a.writeRun(w, r, http.StatusAccepted, &got)
	}
	return a.writeRun(w, r, http.StatusOK, &got)
}

// writeRun answers with a run and the end of its log.
func (a *api) writeRun(w http.ResponseWriter, r *http.Request, status int, of *run.Run) error {
	record := renderRun(of)
	lines, err := a.Registry.RunLog(r.Context(), of.ID, max(of.Lines-shownLines, 0), shownLines)
	if err != nil {
		return err
	}
	for _, l := range lines {
		record.Log = append(record.Log, renderLine(l))
	}
	return rest.WriteJSON(w, status, record)
}

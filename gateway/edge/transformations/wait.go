package transformations

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/run"
)

const (
	// lookAgain is how often a call that waits looks at its run when nothing was
	// heard of a change.
	lookAgain = 2 * time.Second
	// followAgain is how often a follower looks for new lines: they are no changes
	// that anybody is told of.
	followAgain = 250 * time.Millisecond
	// linesAtOnce is how many lines are read at once.
	linesAtOnce = 500

	mediaText   = "text/plain; charset=utf-8"
	mediaNDJSON = "application/x-ndjson"
)

// await returns the run when it has ended, after a time, or when the gateway
// begins to drain: as it is then.
func (a *api) await(ctx context.Context, r run.Run, wait time.Duration) (run.Run, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := a.Registry.Watch(ctx)
	over := time.NewTimer(wait)
	defer over.Stop()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for !r.State.Ended() {
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-over.C:
			return r, nil
		case <-a.Ending:
			return r, nil
		case _, open := <-changes:
			if !open {
				changes = nil // the registry is being closed
			}
		case <-tick.C:
		}
		now, err := a.Registry.Run(ctx, r.Step, r.ID)
		if err != nil {
			return r, err
		}
		r = now
	}
	return r, nil
}

// problem is a refusal that shows the run that it is about.
type problem struct {
	fault.Problem
	Run Run `json:"run"`
}

// withRun answers an error together with a run; it is the error itself when there
// is no run to show.
func (a *api) withRun(w http.ResponseWriter, err error, of *run.Run) error {
	var e *fault.Error
	if of == nil || of.ID == "" || !errors.As(err, &e) {
		return err
	}
	body, failed := json.Marshal(problem{Problem: e.Problem(), Run: renderRun(of)})
	if failed != nil {
		return failed
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(e.Kind.HTTPStatus())
	// Once the status is out, a failed write only means that the caller went away.
	_, _ = w.Write(append(body, '\n'))
	return nil
}

// readLog answers with the log, and with follow goes on until the run has ended,
// the caller goes away, or the gateway begins to drain.
func (a *api) readLog(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	q := rest.ReadQuery(r, "follow", "after")
	follow := q.Flag("follow")
	number := int64(0)
	if q.Has("after") {
		n, err := strconv.ParseInt(q.Get("after"), 10, 64)
		if err != nil || n < 0 {
			q.Add("after is the number of a line, from 0 on")
		}
		number = n
	}
	if err := q.Err(); err != nil {
		return err
	}
	of, err := a.runOf(r)
	if err != nil {
		return err
	}
	out := &logWriter{w: w, json: wantsNDJSON(r)}
	first, err := a.Registry.RunLog(r.Context(), of.ID, number, linesAtOnce)
	if err != nil {
		return err
	}
	out.begin()
	number = out.lines(first, number)
	a.goOn(r.Context(), out, of, number, len(first) == linesAtOnce, follow != nil && *follow)
	return nil
}

// goOn writes what follows the first lines. The status is out: an error can only
// end the answer, and so that it does not look whole, it ends broken off.
func (a *api) goOn(ctx context.Context, out *logWriter, of run.Run, number int64, more, follow bool) {
	tick := time.NewTicker(followAgain)
	defer tick.Stop()
	for more || follow && !of.State.Ended() {
		if !more {
			select {
			case <-ctx.Done():
				return
			case <-a.Ending:
				return
			case <-tick.C:
			}
		}
		// The run first: lines come before its end.
		now, err := a.Registry.Run(ctx, of.Step, of.ID)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		of = now
		for more = true; more; {
			lines, err := a.Registry.RunLog(ctx, of.ID, number, linesAtOnce)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			number, more = out.lines(lines, number), len(lines) == linesAtOnce
		}
	}
}

// wantsNDJSON reports whether the caller asks for JSON in so many words.
func wantsNDJSON(r *http.Request) bool {
	for _, accept := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(accept, ",") {
			if media, _, err := mime.ParseMediaType(part); err == nil && media == mediaNDJSON {
				return true
			}
		}
	}
	return false
}

// logWriter writes lines as they come.
type logWriter struct {
	w    http.ResponseWriter
	json bool
}

func (l *logWriter) begin() {
	media := mediaText
	if l.json {
		media = mediaNDJSON
	}
	h := l.w.Header()
	h.Set("Content-Type", media)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	l.w.WriteHeader(http.StatusOK)
}

// lines writes lines and returns the number of the last one. A write that fails
// means that the caller went away, which its context tells.
func (l *logWriter) lines(all []run.Line, number int64) int64 {
	for _, line := range all {
		number = line.Number
		if l.json {
			_ = json.NewEncoder(l.w).Encode(renderLine(line))
			continue
		}
		_, _ = fmt.Fprintf(l.w, "%s %s\n", line.At.UTC().Format("2006-01-02T15:04:05.000Z07:00"), line.Text)
	}
	_ = http.NewResponseController(l.w).Flush()
	return number
}

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
)

// maxPosted bounds a gateway's answer: the names of a request's rules, and on a
// commit those of all.
const maxPosted = 256 << 20

// maxProblem bounds an error's body.
const maxProblem = 1 << 20

// send makes one request, again and again while that may help. read takes the
// answer in; it may be called more than once.
func (r *Rules) send(ctx context.Context, target string, body []byte, read func(io.Reader) error) error {
	pause := r.c.FirstPause
	for attempt := 1; ; attempt++ {
		again, err := r.try(ctx, target, body, read)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fault.From(ctx.Err())
		}
		if !again || attempt >= r.c.Attempts {
			return err
		}
		if !sleep(ctx, r.wait(pause, err)) {
			return fault.From(ctx.Err())
		}
		pause = min(pause*2, r.c.MaxPause)
	}
}

// wait is half jitter, so that workers that failed together come back apart, and
// not before the gateway asks them to.
func (r *Rules) wait(pause time.Duration, err error) time.Duration {
	var f *fault.Error
	asked := time.Duration(0)
	if errors.As(err, &f) {
		asked = min(f.RetryAfter, r.c.MaxPause)
	}
	return max(pause/2+rand.N(pause/2+1), asked)
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// try makes one attempt; again says whether another may help.
func (r *Rules) try(ctx context.Context, target string, body []byte, read func(io.Reader) error) (again bool, err error) {
	bearer, err := r.c.Token(ctx)
	if err != nil {
		return false, fmt.Errorf("client: get the token: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.c.Within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("client: make the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := r.c.HTTP.Do(req)
	if err != nil {
		return true, unreachable(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return repeatable(resp.StatusCode), r.refusal(resp)
	}
	in := &watched{r: resp.Body, left: maxPosted}
	if err := read(in); err != nil {
		if in.broke != nil {
			return true, unreachable(in.broke)
		}
		return false, fault.New(fault.BadWorker, "bad_answer",
			"the gateway took the rules but answered something that is not of the documented form; is the URL that of a gateway?").Wrap(err)
	}
	return false, nil
}

// watched is an answer's body, bounded, that remembers whether the connection
// broke rather than the text.
type watched struct {
	r     io.Reader
	left  int64
	broke error
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	if w.left <= 0 {
		return 0, fmt.Errorf("the answer has more than %d bytes", int64(maxPosted))
	}
	n, err := w.r.Read(p[:min(int64(len(p)), w.left)])
	w.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		w.broke = err
	}
	return n, err
}

// unreachable leaves the URL out, which the caller knows.
func unreachable(err error) *fault.Error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fault.New(fault.Unavailable, "gateway_unreachable",
		"the gateway cannot be reached, or broke off; rules cannot be posted").Wrap(err)
}

func repeatable(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// ErrRefused is in the chain of errors that a gateway answered, as against those of
// calls that never reached one.
var ErrRefused = errors.New("the gateway refused the rules")

// refusal reads RFC 9457 problems and the contract's {description, error}.
func (r *Rules) refusal(resp *http.Response) *fault.Error {
	kind := fault.HTTPKind(resp.StatusCode)
	if resp.StatusCode/100 == 3 || resp.StatusCode/100 == 2 {
		kind = fault.BadWorker
	}
	f := fault.New(kind, "status_"+strconv.Itoa(resp.StatusCode),
		"the gateway answered status %d without saying why; is the URL that of a gateway?", resp.StatusCode)
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		f.RetryAfter = time.Duration(seconds) * time.Second
	}
	var body struct {
		fault.Problem
		// Contract's members; Error is apart from Problem's errors.
		Description string `json:"description"`
		Error       string `json:"error"`
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err == nil {
		err = json.Unmarshal(text, &body)
	}
	switch {
	case err != nil:
		return f.Wrap(errors.Join(ErrRefused, err))
	case body.Code != "":
		f.Code, f.Detail, f.Violations, f.Worker = body.Code, body.Detail, body.Errors, body.Worker
	case body.Error != "":
		f.Code, f.Detail = body.Error, body.Description
	}
	return f.Wrap(ErrRefused)
}

package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxLogLine bounds one line of a log, in bytes: a line of the API has at most
// 2,000 characters, escaped.
const maxLogLine = 64 << 10

// logLine is one line of a run's log. raw is what the API gave.
type logLine struct {
	Number int64     `json:"number"`
	At     time.Time `json:"at"`
	Text   string    `json:"text"`

	raw json.RawMessage
}

// text is the line for people.
func (l logLine) text() string {
	return l.At.Local().Format("15:04:05") + " " + clean(l.Text)
}

// followLog reads a run's log behind a line, gives each to take, and returns the
// number of the last one. With follow it goes on until the run has ended or the
// gateway ends the answer.
func (c *client) followLog(ctx context.Context, path string, after int64, follow bool, take func(logLine) error) (int64, error) {
	query := url.Values{"after": {strconv.FormatInt(after, 10)}}
	if follow {
		query.Set("follow", "true")
	}
	target := c.base.JoinPath(path + "/log")
	target.RawQuery = query.Encode()
	where := http.MethodGet + " " + target.String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return after, &trouble{code: ExitFailed, what: "the request could not be made: " + err.Error(), where: where, cause: err}
	}
	req.Header.Set("Accept", "application/x-ndjson, application/problem+json")
	req.Header.Set("User-Agent", c.agent)
	if err := c.authorize(ctx, req); err != nil {
		return after, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return after, c.unreachable(ctx, where, callTimeout, err)
	}
	// What was wanted has been read; a failed close changes nothing.
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return after, c.unreachable(ctx, where, callTimeout, err)
		}
		return after, c.refused(where, resp, body)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLogLine)
	for lines.Scan() {
		l := logLine{raw: json.RawMessage(append([]byte(nil), lines.Bytes()...))}
		if err := json.Unmarshal(l.raw, &l); err != nil {
			return after, unreadable("line of a log", err)
		}
		if err := take(l); err != nil {
			return after, err
		}
		after = l.Number
	}
	if err := lines.Err(); err != nil {
		return after, c.unreachable(ctx, where, callTimeout, err)
	}
	return after, nil
}

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// The modes: how the workers answer.
const (
	modeREST     = "rest"     // bytes as they came, in order
	modeReformat = "reformat" // the same JSON with other white space
	modeGRPC     = "grpc"     // verdicts
)

// The subjects.
const (
	muster  = "muster"
	raw     = "bytes-raw"
	viaHTTP = "bytes-http"
	plain   = "plain-go"
	rows    = "grpc-rows"
	// rowsReady keeps the rows of a batch that it has seen, so that nothing is
	// left but reading the body and the streams.
	rowsReady = "grpc-rows-ready"
	nginx1    = "nginx"
	nginx2    = "nginx-2"
	direct    = "direct"
)

// point is one thing that is measured.
type point struct {
	Subject string `json:"subject"`
	Mode    string `json:"mode"`
	N       int    `json:"nodes"`
	W       int    `json:"workers"`
	C       int    `json:"connections"`
}

// measurement is the median over the repetitions of one point.
type measurement struct {
	point
	P50 time.Duration `json:"p50Ns"`
	P99 time.Duration `json:"p99Ns"`
	Max time.Duration `json:"maxNs"`
	CPU time.Duration `json:"cpuNs"`
	// Rate is in requests a second.
	Rate float64 `json:"requestsPerSecond"`
	// Spread is half the distance between the largest and the smallest CPU time,
	// as a share of the median.
	Spread      float64 `json:"spread"`
	Repetitions int     `json:"repetitions"`
	AnswerBytes int64   `json:"answerBytes"`

	samples []sample
}

// subject is something that can be loaded.
type subject struct {
	name  string
	w     int
	procs []int
	// target is asked for before every repetition, as tokens expire.
	target func(context.Context) (target, error)
	// exact says that the answer must be the merged one.
	exact bool
	// atMost bounds the repetitions; 0 does not.
	atMost int
}

// effort is how long and how often to measure.
type effort struct {
	repetitions int
	length      time.Duration
	warm        time.Duration
}

// measureAll loads the subjects in turn, repetition by repetition, so that
// whatever else the machine does falls on all of them alike.
func measureAll(ctx context.Context, subjects []subject, c cell, e effort) ([]measurement, error) {
	body := requestBody(c.n)
	samples := make([][]sample, len(subjects))
	for rep := range e.repetitions {
		for i, s := range subjects {
			if s.atMost > 0 && rep >= s.atMost {
				continue
			}
			got, err := s.repetition(ctx, body, c, rep, e)
			if err != nil {
				return nil, fmt.Errorf("%s, %d nodes, %d workers, %s: %w", s.name, c.n, s.w, c.mode, err)
			}
			samples[i] = append(samples[i], got)
		}
	}
	var all []measurement
	for i, s := range subjects {
		all = append(all, summarize(point{s.name, c.mode, c.n, s.w, c.c}, samples[i]))
	}
	return all, nil
}

func (s *subject) repetition(ctx context.Context, body []byte, c cell, rep int, e effort) (sample, error) {
	t, err := s.target(ctx)
	if err != nil {
		return sample{}, err
	}
	if rep == 0 {
		if err := warm(ctx, *s, t, body, c, e); err != nil {
			return sample{}, err
		}
	}
	return timed(ctx, *s, t, body, c.c, e.length)
}

// warm proves that the subject answers rightly, and loads it for a moment.
func warm(ctx context.Context, s subject, t target, body []byte, c cell, e effort) error {
	answer, err := once(ctx, t, body)
	if err != nil {
		return err
	}
	if s.exact {
		if err := checkMerged(answer, c.n, s.w); err != nil {
			return err
		}
	}
	_, err = load(ctx, t, body, c.c, e.warm)
	return err
}

func timed(ctx context.Context, s subject, t target, body []byte, c int, d time.Duration) (sample, error) {
	before, err := cpuOf(s.procs)
	if err != nil {
		return sample{}, err
	}
	got, err := load(ctx, t, body, c, d)
	if err != nil {
		return sample{}, err
	}
	after, err := cpuOf(s.procs)
	got.CPU = (after - before) / time.Duration(got.Requests)
	return got, err
}

func cpuOf(pids []int) (time.Duration, error) {
	total := time.Duration(0)
	for _, pid := range pids {
		t, err := cpuTime(pid)
		if err != nil {
			return 0, err
		}
		total += t
	}
	return total, nil
}

// checkMerged proves that an answer holds exactly the nodes that all workers
// show, in order, byte by byte.
func checkMerged(answer []byte, n, w int) error {
	var got struct {
		Result struct {
			Nodes []json.RawMessage `json:"nodes"`
		} `json:"result"`
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		return fmt.Errorf("the answer is no JSON: %w", err)
	}
	at := 0
	for i := range n {
		if !visible(w, i) {
			continue
		}
		if at >= len(got.Result.Nodes) {
			return fmt.Errorf("the answer ends after %d nodes; node %d is missing", at, i)
		}
		if !bytes.Equal(got.Result.Nodes[at], []byte(node(i))) {
			return fmt.Errorf("element %d of the answer is not node %d as it was sent", at, i)
		}
		at++
	}
	if at != len(got.Result.Nodes) {
		return fmt.Errorf("the answer has %d nodes too many", len(got.Result.Nodes)-at)
	}
	return nil
}

// summarize takes the median of every number by itself, and the worst maximum.
func summarize(p point, samples []sample) measurement {
	m := measurement{point: p, Repetitions: len(samples), AnswerBytes: samples[0].AnswerBytes, samples: samples}
	pick := func(of func(sample) time.Duration) []time.Duration {
		var all []time.Duration
		for _, s := range samples {
			all = append(all, of(s))
		}
		slices.Sort(all)
		return all
	}
	m.P50 = median(pick(func(s sample) time.Duration { return s.P50 }))
	m.P99 = median(pick(func(s sample) time.Duration { return s.P99 }))
	m.Max = slices.Max(pick(func(s sample) time.Duration { return s.Max }))
	cpu := pick(func(s sample) time.Duration { return s.CPU })
	m.CPU = median(cpu)
	if m.CPU > 0 {
		m.Spread = float64(cpu[len(cpu)-1]-cpu[0]) / 2 / float64(m.CPU)
	}
	m.Rate = 1 / median(pick(func(s sample) time.Duration { return s.Elapsed / time.Duration(s.Requests) })).Seconds()
	return m
}

func median[T cmp.Ordered](sorted []T) T { return sorted[len(sorted)/2] }

func brief(all []measurement, w int) string {
	var b bytes.Buffer
	for _, m := range all {
		if m.W != w {
			continue
		}
		fmt.Fprintf(&b, "%s %s/%s  ", m.Subject, ms(m.CPU), ms(m.P50))
	}
	return b.String()
}

// ms writes a duration in milliseconds with three significant digits.
func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	switch {
	case v < 1:
		return fmt.Sprintf("%.3f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}
